/* Optimizer steps: a stretch of a weight, its slots and its gradient. scalars[0] is the step size,
 * scalars[1] the share of the weight that decay takes first; the rest is the optimizer's own:
 * optimizers.def. */

/* read only where there are so many */
#define c2 scalars[2]
#define c3 scalars[3]
#define c4 scalars[4]
#define c5 scalars[5]

#define UPDATE(number, name, keeps, ...)                                                                 \
    static void name##_update(int64_t n, const float *scalars, const float *restrict gradient,           \
                              float *restrict w, float *restrict s0, float *restrict s1,                 \
                              float *restrict s2) {                                                      \
        (void)s0, (void)s1, (void)s2;                                                                    \
        const float step = scalars[0], keep = 1.0f - scalars[1];                                         \
        for (int64_t i = 0; i < n; i++) {                                                                \
            const float g = gradient[i];                                                                 \
            float x = w[i] * keep;                                                                       \
            __VA_ARGS__;                                                                                 \
            w[i] = x;                                                                                    \
        }                                                                                                \
    }

#include "optimizers.def"
#undef UPDATE

#undef c2
#undef c3
#undef c4
#undef c5
