/* Optimizer steps: a stretch of a weight, its slots and its gradient. scalars[0] is the step size,
 * scalars[1] the share of the weight that decay takes first; the rest is the optimizer's own.
 * Arithmetic: Keras 3's. */

/* read only where there are so many */
#define c2 scalars[2]
#define c3 scalars[3]
#define c4 scalars[4]
#define c5 scalars[5]

#define UPDATE(name, BODY)                                                                               \
    static void name(int64_t n, const float *scalars, const float *restrict gradient, float *restrict w, \
                     float *restrict s0, float *restrict s1, float *restrict s2) {                       \
        (void)s0, (void)s1, (void)s2;                                                                    \
        const float step = scalars[0], keep = 1.0f - scalars[1];                                         \
        for (int64_t i = 0; i < n; i++) {                                                                \
            const float g = gradient[i];                                                                 \
            float x = w[i] * keep;                                                                       \
            BODY;                                                                                        \
            w[i] = x;                                                                                    \
        }                                                                                                \
    }

UPDATE(sgd, x -= step * g)

UPDATE(momentum, {
    const float m = c2 * s0[i] - step * g;
    s0[i] = m;
    x += m;
})

UPDATE(nesterov, {
    const float m = c2 * s0[i] - step * g;
    s0[i] = m;
    x += c2 * m - step * g;
})

/* Kingma & Ba 2015; step = learning rate with both bias corrections, c2 = 1 - beta_1, c3 = 1 - beta_2 */
UPDATE(adam, {
    const float m = s0[i] + (g - s0[i]) * c2;
    const float v = s1[i] + (g * g - s1[i]) * c3;
    s0[i] = m;
    s1[i] = v;
    x -= m * step / (sqrtf(v) + c4);
})

/* Reddi et al. 2018 */
UPDATE(adam_amsgrad, {
    const float m = s0[i] + (g - s0[i]) * c2;
    const float v = s1[i] + (g * g - s1[i]) * c3;
    const float v_hat = s2[i] > v ? s2[i] : v;
    s0[i] = m;
    s1[i] = v;
    s2[i] = v_hat;
    x -= m * step / (sqrtf(v_hat) + c4);
})

/* Tieleman & Hinton 2012; c2 = rho, c3 = epsilon, c4 = momentum */
UPDATE(rmsprop, {
    const float v = c2 * s0[i] + (1.0f - c2) * (g * g);
    s0[i] = v;
    x -= step * g / sqrtf(v + c3);
})

UPDATE(rmsprop_momentum, {
    const float v = c2 * s0[i] + (1.0f - c2) * (g * g);
    s0[i] = v;
    s1[i] = c4 * s1[i] + step * g / sqrtf(v + c3);
    x -= s1[i];
})

UPDATE(rmsprop_centered, {
    const float v = c2 * s0[i] + (1.0f - c2) * (g * g);
    const float a = c2 * s2[i] + (1.0f - c2) * g;
    s0[i] = v;
    s2[i] = a;
    s1[i] = c4 * s1[i] + step * g / sqrtf(v - a * a + c3);
    x -= s1[i];
})

/* Duchi et al. 2011; c2 = epsilon */
UPDATE(adagrad, {
    const float a = s0[i] + g * g;
    s0[i] = a;
    x -= step * g / sqrtf(a + c2);
})

/* Dozat 2016; step, c5 = factors of momentum and gradient, c2 = 1 - beta_1, c3 = 1 - beta_2 */
UPDATE(nadam, {
    const float m = s0[i] + (g - s0[i]) * c2;
    const float v = s1[i] + (g * g - s1[i]) * c3;
    s0[i] = m;
    s1[i] = v;
    x -= (step * m + c5 * g) / (sqrtf(v) + c4);
})

/* Chen et al. 2023; c2 = beta_1, c3 = beta_2. The sign of NaN is NaN, that of 0 is 0. */
UPDATE(lion, {
    const float d = c2 * s0[i] + (1.0f - c2) * g;
    const float sign = d > 0.0f ? 1.0f : d < 0.0f ? -1.0f : d;
    s0[i] = c3 * s0[i] + (1.0f - c3) * g;
    x -= step * sign;
})

#undef c2
#undef c3
#undef c4
#undef c5
