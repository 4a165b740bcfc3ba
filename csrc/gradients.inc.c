/* What happens to a stretch of a gradient between its computation and the optimizer's step. */

/* sums (16,) = the squares of each column of x (rows, 16), one chain over ascending rows. */
static void squares(int64_t rows, const float *x, float *sums) {
    for (int v = 0; v < BV; v++) {
        vf acc = (vf){0};
        for (int64_t r = 0; r < rows; r++) {
            const vf t = load(x + r * BLOCK + v * VL);
            acc += t * t;
        }
        store(sums + v * VL, acc);
    }
}

/* The largest |x| of n numbers, n a multiple of 16, as its bits: these order infinity after all
 * numbers, and NaN after infinity. */
static int32_t magnitude(int64_t n, const float *x) {
    vi most[BV];
    for (int v = 0; v < BV; v++) most[v] = (vi){0};
    for (int64_t i = 0; i < n; i += BLOCK)
        for (int v = 0; v < BV; v++) {
            const vi t = bits(load(x + i + v * VL)) & 0x7fffffff;
            const vi more = t > most[v];
            most[v] = (more & t) | (~more & most[v]);
        }
    int32_t result = 0;
    for (int v = 0; v < BV; v++)
        for (int lane = 0; lane < VL; lane++)
            if (most[v][lane] > result) result = most[v][lane];
    return result;
}

/* g += d(l1 |w| + l2 w^2) / dw */
static void regularize(int64_t n, float l1, float l2, const float *w, float *g) {
    for (int64_t i = 0; i < n; i++) {
        const float sign = (float)(w[i] > 0.0f) - (float)(w[i] < 0.0f);
        g[i] += 2.0f * l2 * w[i] + l1 * sign;
    }
}

/* The penalty l1 |w| + l2 w^2, each column's chain over rows in sums (16,). */
static void penalty(int64_t rows, float l1, float l2, const float *w, float *sums) {
    for (int v = 0; v < BV; v++) {
        vf acc = (vf){0};
        for (int64_t r = 0; r < rows; r++) {
            const vf t = load(w + r * BLOCK + v * VL);
            acc += l1 * vabs(t) + l2 * (t * t);
        }
        store(sums + v * VL, acc);
    }
}

/* NaN stays NaN */
static void clip(int64_t n, float low, float high, float *x) {
    for (int64_t i = 0; i < n; i++) {
        float t = x[i];
        t = t < low ? low : t;
        t = t > high ? high : t;
        x[i] = t;
    }
}

/* y (rows, 16) = x times a factor for each column */
static void scale_columns(int64_t rows, const float *factors, const float *x, float *y) {
    for (int64_t r = 0; r < rows; r++)
        for (int v = 0; v < BV; v++)
            store(y + r * BLOCK + v * VL, load(x + r * BLOCK + v * VL) * load(factors + v * VL));
}

/* average = momentum * average + (1 - momentum) * w */
static void average(int64_t n, float momentum, const float *w, float *average) {
    for (int64_t i = 0; i < n; i++) average[i] = momentum * average[i] + (1.0f - momentum) * w[i];
}
