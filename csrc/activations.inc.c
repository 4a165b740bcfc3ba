/* Activations and their derivatives, element by element: activations.def. dz may be dy itself. */

#define SELU_ALPHA 1.6732632423543772f
#define SELU_SCALE 1.0507009873554805f
#define GELU_C 0.7978845608028654f /* sqrt(2 / pi) */

SCALAR float d_gelu(float x) {
    const float density = 0.3989422804f * exp_(-0.5f * x * x);
    return normal_cdf_(x) + x * density;
}

SCALAR float d_gelu_tanh(float x) {
    const float t = tanh_(GELU_C * (x + 0.044715f * x * x * x));
    return 0.5f * (1.0f + t) + 0.5f * x * (1.0f - t * t) * GELU_C * (1.0f + 3.0f * 0.044715f * x * x);
}

SCALAR float d_silu(float x) {
    const float s = sigmoid_(x);
    return s * (1.0f + x * (1.0f - s));
}

/* The params are read first: a loop that might overwrite them, or read them in one case only, would have
 * to go number by number. */
#define ACTIVATION(number, name, reads, Y, DZ)                                                         \
    static void name##_forward(int64_t n, const float *given, const float *z, float *y) {              \
        const float params[3] = {given[0], given[1], given[2]};                                        \
        (void)params;                                                                                  \
        for (int64_t i = 0; i < n; i++) {                                                              \
            const float x = z[i];                                                                      \
            y[i] = (Y);                                                                                \
        }                                                                                              \
    }                                                                                                  \
    static void name##_backward(int64_t n, const float *given, const float *z, const float *y,         \
                                const float *dy, float *dz) {                                          \
        const float params[3] = {given[0], given[1], given[2]};                                        \
        (void)params, (void)z, (void)y;                                                                \
        for (int64_t i = 0; i < n; i++) dz[i] = dy[i] * (DZ);                                          \
    }
#include "activations.def"
#undef ACTIVATION
