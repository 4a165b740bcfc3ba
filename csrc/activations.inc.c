/* Activations and their derivatives, element by element. A backward function may read z (the input)
 * or y (the output); which one is said in fastnn/activations.py (NEEDS_INPUT), so that the input is
 * kept only where it is read. dz may be dy itself. */

#define SELU_ALPHA 1.6732632423543772f
#define SELU_SCALE 1.0507009873554805f
#define GELU_C 0.7978845608028654f /* sqrt(2 / pi) */

/* The params are read first: a loop that might overwrite them, or read them in one case only, would have
 * to go number by number. */
#define ACTIVATION(name, Y, DZ)                                                                        \
    static void name(int64_t n, const float *given, const float *z, float *y) {                        \
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

ACTIVATION(linear, x, 1.0f)
/* a NaN must come out as one: x < 0 is false for it */
ACTIVATION(relu, x < 0.0f ? 0.0f : x, y[i] > 0.0f ? 1.0f : 0.0f)
ACTIVATION(leaky_relu, x < 0.0f ? params[0] * x : x, y[i] > 0.0f ? 1.0f : params[0])
ACTIVATION(elu, x > 0.0f ? x : params[0] * (exp_(x) - 1.0f), y[i] > 0.0f ? 1.0f : y[i] + params[0])
ACTIVATION(selu, SELU_SCALE *(x > 0.0f ? x : SELU_ALPHA * (exp_(x) - 1.0f)),
           y[i] > 0.0f ? SELU_SCALE : y[i] + SELU_SCALE * SELU_ALPHA)
ACTIVATION(gelu, x *normal_cdf_(x), d_gelu(z[i]))
ACTIVATION(gelu_tanh, 0.5f * x * (1.0f + tanh_(GELU_C * (x + 0.044715f * x * x * x))), d_gelu_tanh(z[i]))
ACTIVATION(silu, x *sigmoid_(x), d_silu(z[i]))
ACTIVATION(tanh_activation, tanh_(x), 1.0f - y[i] * y[i])
ACTIVATION(sigmoid, sigmoid_(x), y[i] * (1.0f - y[i]))
ACTIVATION(hard_sigmoid, x < -3.0f ? 0.0f : x > 3.0f ? 1.0f : x * (1.0f / 6.0f) + 0.5f,
           y[i] > 0.0f && y[i] < 1.0f ? 1.0f / 6.0f : 0.0f)
ACTIVATION(softplus, (x > 0.0f ? x : 0.0f) + log1p_(exp_(-fabsf(x))), sigmoid_(z[i]))
ACTIVATION(softsign, x / (1.0f + fabsf(x)), (1.0f - fabsf(y[i])) * (1.0f - fabsf(y[i])))
/* params: negative_slope, max_value, threshold (the arguments of Keras's ReLU layer) */
ACTIVATION(relu_general,
           x < params[2] ? params[0] * (x - params[2]) : x > params[1] ? params[1] : x,
           z[i] < params[2] ? params[0] : z[i] > params[1] ? 0.0f : 1.0f)
/* with Dropout, which leaves zeros: the derivative at them is 0, too */
ACTIVATION(scaled_relu, x < 0.0f ? 0.0f : params[0] * x, y[i] > 0.0f ? params[0] : 0.0f)
