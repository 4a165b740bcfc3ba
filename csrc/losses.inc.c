/* Losses, their gradients, and metrics, row by row over the blocked layout.
 *
 * A row's loss is Keras's: the mean over the outputs for regression and binary losses, the sum over
 * classes for categorical ones. row_values[r] = weight * loss; d_y_pred is scaled so that it is the
 * gradient of the batch's loss. The padding of d_y_pred is written as zero: what follows relies on it. */

#define KERAS_EPSILON 1e-7f /* probabilities are clipped to [eps, 1 - eps] */

typedef struct {
    const float *y_pred, *y_true;
    float *d;
    int n; /* columns in this block */
} segment;

/* Visit a row's blocks: `at` is the block's first column, `s` its pointers. */
#define FOR_SEGMENTS(t, r)                                                                           \
    for (int64_t at = 0; at < (t)->features; at += BLOCK)                                            \
        for (segment s = segment_at(t, r, at), *once = &s; once; once = NULL)

SCALAR segment segment_at(const fnn_target *t, int64_t r, int64_t at) {
    const int64_t offset = (at / BLOCK) * t->stride + r * BLOCK;
    return (segment){
        .y_pred = t->y_pred + offset,
        .y_true = t->y_true ? t->y_true + offset : NULL,
        .d = t->d_y_pred ? t->d_y_pred + offset : NULL,
        .n = (int)(t->features - at < BLOCK ? t->features - at : BLOCK),
    };
}

SCALAR void clear_padding(segment s) {
    if (s.d)
        for (int i = s.n; i < BLOCK; i++) s.d[i] = 0.0f;
}

SCALAR float weight_of(const fnn_target *t, int64_t r) { return t->weights ? t->weights[r] : 1.0f; }

/* Target probability of class `at + i`, label smoothing applied (Szegedy et al. 2016). */
SCALAR float target(const fnn_target *t, segment s, int64_t r, int64_t at, int i, float smoothing) {
    const float y = t->labels ? (t->labels[r] == at + i ? 1.0f : 0.0f) : s.y_true[i];
    return smoothing == 0.0f ? y : y * (1.0f - smoothing) + smoothing / (float)t->features;
}

/* y = exp(z - max) / sum; returns max + log(sum), NaN if a logit is NaN. */
static float softmax_row(int64_t features, int64_t stride, const float *z, float *y) {
    float largest = z[0];
    for (int64_t at = 0; at < features; at += BLOCK) {
        const int n = (int)(features - at < BLOCK ? features - at : BLOCK);
        const float *zs = z + (at / BLOCK) * stride;
        for (int i = 0; i < n; i++) largest = zs[i] > largest ? zs[i] : largest;
    }
    float lanes[BLOCK] = {0};
    for (int64_t at = 0; at < features; at += BLOCK) {
        const int n = (int)(features - at < BLOCK ? features - at : BLOCK);
        const float *zs = z + (at / BLOCK) * stride;
        float *ys = y + (at / BLOCK) * stride;
        for (int i = 0; i < BLOCK; i++) {
            const float e = exp_(zs[i] - largest);
            ys[i] = i < n ? e : 0.0f;
            lanes[i] += ys[i];
        }
    }
    float sum = 0.0f;
    for (int i = 0; i < BLOCK; i++) sum += lanes[i];
    const float scale = 1.0f / sum;
    for (int64_t at = 0; at < features; at += BLOCK) {
        float *ys = y + (at / BLOCK) * stride;
        for (int i = 0; i < BLOCK; i++) ys[i] = at + i < features ? ys[i] * scale : 0.0f; /* scale may be NaN */
    }
    return largest + log_(sum);
}

static void softmax(int64_t rows, int64_t features, int64_t stride, const float *z, float *y) {
    for (int64_t r = 0; r < rows; r++) softmax_row(features, stride, z + r * BLOCK, y + r * BLOCK);
}

/* dz [+]= y * (dy - sum(y * dy)) */
static void softmax_backward(int64_t rows, int64_t features, int64_t stride, const float *y, const float *dy,
                             int accumulate, float *dz) {
    for (int64_t r = 0; r < rows; r++) {
        float dot = 0.0f;
        for (int64_t f = 0; f < features; f++) {
            const int64_t p = (f / BLOCK) * stride + r * BLOCK + f % BLOCK;
            dot += y[p] * dy[p];
        }
        for (int64_t at = 0; at < features; at += BLOCK) {
            const int64_t p = (at / BLOCK) * stride + r * BLOCK;
            for (int i = 0; i < BLOCK; i++) {
                const float g = at + i < features ? y[p + i] * (dy[p + i] - dot) : 0.0f;
                dz[p + i] = accumulate ? dz[p + i] + g : g;
            }
        }
    }
}

/* params: label_smoothing. loss = -sum(t log softmax(z)) */
static void softmax_crossentropy(const fnn_target *t) {
    for (int64_t r = 0; r < t->rows; r++) {
        float *p = t->probabilities + r * BLOCK;
        const float log_sum = softmax_row(t->features, t->stride, t->y_pred + r * BLOCK, p);
        const float w = weight_of(t, r), scale = w * t->scale, smoothing = t->params[0];
        float loss = 0.0f;
        if (t->labels && smoothing == 0.0f) {
            const int64_t label = t->labels[r];
            loss = log_sum - t->y_pred[(label / BLOCK) * t->stride + r * BLOCK + label % BLOCK];
            if (t->d_y_pred) {
                FOR_SEGMENTS(t, r) {
                    const float *ps = p + (at / BLOCK) * t->stride;
                    for (int i = 0; i < BLOCK; i++)
                        s.d[i] = (ps[i] - (at + i == label ? 1.0f : 0.0f)) * scale;
                }
            }
        } else {
            float total = 0.0f;
            FOR_SEGMENTS(t, r) {
                for (int i = 0; i < s.n; i++) {
                    const float y = target(t, s, r, at, i, smoothing);
                    loss += y * (log_sum - s.y_pred[i]);
                    total += y;
                }
            }
            if (t->d_y_pred) {
                FOR_SEGMENTS(t, r) {
                    const float *ps = p + (at / BLOCK) * t->stride;
                    for (int i = 0; i < s.n; i++)
                        s.d[i] = (ps[i] * total - target(t, s, r, at, i, smoothing)) * scale;
                    clear_padding(s);
                }
            }
        }
        t->row_values[r] = w * loss;
    }
}

SCALAR float clip_probability(float p) {
    return p < KERAS_EPSILON ? KERAS_EPSILON : p > 1.0f - KERAS_EPSILON ? 1.0f - KERAS_EPSILON : p;
}

SCALAR int inside(float p) { return p >= KERAS_EPSILON && p <= 1.0f - KERAS_EPSILON; }

SCALAR float row_sum(const fnn_target *t, int64_t r) {
    float sum = 0.0f;
    FOR_SEGMENTS(t, r)
        for (int i = 0; i < s.n; i++) sum += s.y_pred[i];
    return sum;
}

/* params: label_smoothing. Of probabilities, made to sum to one and clipped as Keras does:
 * q = p / sum(p), loss = -sum(t log clip(q)); dp = (dq - sum(dq q)) / sum(p). */
static void crossentropy(const fnn_target *t) {
    for (int64_t r = 0; r < t->rows; r++) {
        const float w = weight_of(t, r), scale = w * t->scale, smoothing = t->params[0];
        const float sum = row_sum(t, r);
        float loss = 0.0f, dot = 0.0f;
        FOR_SEGMENTS(t, r) {
            for (int i = 0; i < s.n; i++) {
                const float y = target(t, s, r, at, i, smoothing), q = s.y_pred[i] / sum;
                /* 0 * log 0 is 0 here: a class that is not the target costs nothing */
                loss -= y == 0.0f ? 0.0f : y * log_(clip_probability(q));
                dot -= inside(q) ? y : 0.0f;
            }
        }
        if (t->d_y_pred) {
            FOR_SEGMENTS(t, r) {
                for (int i = 0; i < s.n; i++) {
                    const float y = target(t, s, r, at, i, smoothing), q = s.y_pred[i] / sum;
                    const float dq = inside(q) && y != 0.0f ? -y / q : 0.0f;
                    s.d[i] = (dq - dot) / sum * scale;
                }
                clear_padding(s);
            }
        }
        t->row_values[r] = w * loss;
    }
}

/* params: alpha, gamma, from_logits, label_smoothing (Lin et al. 2017).
 * loss = sum(alpha (1 - q)^gamma * -t log q) */
static void focal_crossentropy(const fnn_target *t) {
    const float alpha = t->params[0], gamma = t->params[1];
    const int from_logits = t->params[2] != 0.0f;
    const float smoothing = t->params[3];
    for (int64_t r = 0; r < t->rows; r++) {
        const float w = weight_of(t, r), scale = w * t->scale;
        float sum = 1.0f;
        if (from_logits) softmax_row(t->features, t->stride, t->y_pred + r * BLOCK, t->probabilities + r * BLOCK);
        else sum = row_sum(t, r);
        float loss = 0.0f, dot = 0.0f;
        for (int pass = 0; pass < (t->d_y_pred ? 2 : 1); pass++) {
            FOR_SEGMENTS(t, r) {
                const float *ps = from_logits ? t->probabilities + (s.y_pred - t->y_pred) : s.y_pred;
                for (int i = 0; i < s.n; i++) {
                    const float y = target(t, s, r, at, i, smoothing), p = ps[i] / sum;
                    const float q = clip_probability(p), modulation = powf(1.0f - q, gamma), l = log_(q);
                    const float dq = !inside(p) || y == 0.0f ? 0.0f
                        : -alpha * y * (modulation / q - gamma * powf(1.0f - q, gamma - 1.0f) * l);
                    if (pass == 0) {
                        loss -= y == 0.0f ? 0.0f : alpha * modulation * y * l;
                        dot += dq * p;
                    } else {
                        s.d[i] = (from_logits ? p * (dq - dot) : (dq - dot) / sum) * scale;
                    }
                }
                if (pass == 1) clear_padding(s);
            }
        }
        t->row_values[r] = w * loss;
    }
}

/* A loss that is the mean over outputs of f(y, p): `VALUE` and `SLOPE` (df/dp) of y and p. */
#define MEAN_LOSS(name, PREPARE, VALUE, SLOPE)                                            \
    static void name(const fnn_target *t) {                                               \
        const float mean = 1.0f / (float)t->features;                                     \
        const float *params = t->params;                                                  \
        (void)params;                                                                     \
        for (int64_t r = 0; r < t->rows; r++) {                                           \
            const float w = weight_of(t, r), scale = w * t->scale * mean;                 \
            float lanes[BLOCK] = {0};                                                     \
            FOR_SEGMENTS(t, r) {                                                          \
                for (int i = 0; i < s.n; i++) {                                           \
                    const float p = s.y_pred[i];                                          \
                    float y = s.y_true[i];                                                \
                    PREPARE;                                                              \
                    lanes[i] += (VALUE);                                                  \
                    if (s.d) s.d[i] = (SLOPE)*scale;                                      \
                }                                                                         \
                clear_padding(s);                                                         \
            }                                                                             \
            float loss = 0.0f;                                                            \
            for (int i = 0; i < BLOCK; i++) loss += lanes[i];                             \
            t->row_values[r] = w * loss * mean;                                           \
        }                                                                                 \
    }

SCALAR float sign(float x) { return x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : 0.0f; }

MEAN_LOSS(mean_squared_error, , (p - y) * (p - y), 2.0f * (p - y))
MEAN_LOSS(mean_absolute_error, , fabsf(p - y), sign(p - y))
/* params: delta (Huber 1964) */
MEAN_LOSS(huber, const float e = p - y,
          fabsf(e) <= params[0] ? 0.5f * e * e : params[0] * (fabsf(e) - 0.5f * params[0]),
          fabsf(e) <= params[0] ? e : params[0] * sign(e))
MEAN_LOSS(poisson, , p - y * log_(p + KERAS_EPSILON), 1.0f - y / (p + KERAS_EPSILON))
/* params: label_smoothing */
#define SMOOTH_BINARY y = params[0] == 0.0f ? y : y * (1.0f - params[0]) + 0.5f * params[0]
MEAN_LOSS(sigmoid_crossentropy_mean, SMOOTH_BINARY,
          (p > 0.0f ? p : 0.0f) - p * y + log1p_(exp_(-fabsf(p))), sigmoid_(p) - y)
MEAN_LOSS(binary_crossentropy, SMOOTH_BINARY,
          -(y * log_(clip_probability(p)) + (1.0f - y) * log_(1.0f - clip_probability(p))),
          inside(p) ? (p - y) / (p * (1.0f - p)) : 0.0f)

/* Logits in; the probabilities are written too, for the metrics. */
static void sigmoid_crossentropy(const fnn_target *t) {
    sigmoid_crossentropy_mean(t);
    for (int64_t r = 0; r < t->rows; r++)
        for (int64_t at = 0; at < t->features; at += BLOCK) {
            const int64_t offset = (at / BLOCK) * t->stride + r * BLOCK;
            sigmoid_forward(BLOCK, t->params, t->y_pred + offset, t->probabilities + offset);
        }
}

/* params: k. 1 where fewer than k outputs are larger than the target's (or equal to it and before
 * it, so that k = 1 is argmax); the target of a dense y_true is its first largest. A NaN is never right. */
static void categorical_accuracy(const fnn_target *t) {
    for (int64_t r = 0; r < t->rows; r++) {
        int64_t label = 0;
        if (t->labels) {
            label = t->labels[r];
        } else {
            float largest = -INFINITY;
            FOR_SEGMENTS(t, r)
                for (int i = 0; i < s.n; i++)
                    if (s.y_true[i] > largest) {
                        largest = s.y_true[i];
                        label = at + i;
                    }
        }
        const float p = t->y_pred[(label / BLOCK) * t->stride + r * BLOCK + label % BLOCK];
        const int plain = t->params[0] == 1.0f;
        int64_t ahead = 0;
        FOR_SEGMENTS(t, r)
            for (int i = 0; i < s.n; i++)
                ahead += s.y_pred[i] > p || (plain && s.y_pred[i] == p && at + i < label);
        t->row_values[r] = (float)ahead < t->params[0] && p == p ? weight_of(t, r) : 0.0f;
    }
}

/* params: threshold. The share of outputs on the same side of the threshold as the target is of 1/2. */
static void binary_accuracy(const fnn_target *t) {
    for (int64_t r = 0; r < t->rows; r++) {
        int64_t right = 0;
        FOR_SEGMENTS(t, r)
            for (int i = 0; i < s.n; i++) right += (s.y_pred[i] > t->params[0] ? 1.0f : 0.0f) == s.y_true[i];
        t->row_values[r] = weight_of(t, r) * ((float)right / (float)t->features);
    }
}
