/* Compares every level of the kernels that this CPU runs with scalar twins in double.
 *
 *   selfcheck [LEVEL]
 *
 * Prints the level that would be chosen. The exit status is 1 if a result is wrong, or if LEVEL is
 * given and another was chosen. For emulated CPUs: tools/emulate.sh. The Python tests look closer. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fnn.h"

enum { B = FNN_BLOCK, ROWS = 37, INPUTS = 150, UNITS = 70, STRIDE = ROWS * B };

static const double U = 0x1p-24; /* unit roundoff */
static int wrong;

static void check(const char *level, const char *what, double got, double want, double bound) {
    if (fabs(got - want) <= bound) return;
    if (wrong++ < 20) printf("%s: %s: got %.9g, want %.9g within %.2g\n", level, what, got, want, bound);
}

/* In -1..1, the same on every machine; `zeros` of 8 are zero. */
static float draw(unsigned zeros) {
    static uint32_t state = 12345;
    state = state * 1664525u + 1013904223u;
    const uint32_t x = state >> 8;
    return x % 8 < zeros ? 0.0f : (float)(x >> 3) * (2.0f / (1 << 21)) - 1.0f;
}

static float *floats(size_t n) {
    const size_t bytes = (n * sizeof(float) + 63) / 64 * 64;
    float *p = aligned_alloc(64, bytes);
    if (!p) exit(2);
    return memset(p, 0, bytes);
}

/* Where element (row, column) of a matrix in blocks lies; `rows` of a block. */
static size_t at(int row, int column, int rows) {
    return (size_t)(column / B) * (size_t)rows * B + (size_t)row * B + (size_t)(column % B);
}

static size_t blocks(int columns) { return (size_t)((columns + B - 1) / B); }

static void products(const fnn_kernels *k) {
    float *x = floats(blocks(INPUTS) * STRIDE), *w = floats(blocks(UNITS) * INPUTS * B);
    float *y = floats(blocks(UNITS) * STRIDE), *sparse_y = floats(blocks(UNITS) * STRIDE);
    float *dw = floats(blocks(UNITS) * INPUTS * B), *sparse_dw = floats(blocks(UNITS) * INPUTS * B);
    int64_t order[ROWS], start[ROWS];
    uint16_t granule[ROWS * 3], column[ROWS * INPUTS];
    float value[ROWS * INPUTS];
    int64_t n = 0;
    for (int r = 0; r < ROWS; r++) {
        order[r] = r;
        start[r] = n;
        for (int i = 0; i < INPUTS; i++) {
            const float v = x[at(r, i, ROWS)] = draw(5);
            if (i % FNN_GRANULE == 0) granule[r * 3 + i / FNN_GRANULE] = (uint16_t)(n - start[r]);
            if (v != 0.0f) column[n] = (uint16_t)i, value[n++] = v;
        }
        granule[r * 3 + 2] = (uint16_t)(n - start[r]);
    }
    for (int i = 0; i < INPUTS; i++)
        for (int j = 0; j < UNITS; j++) w[at(i, j, INPUTS)] = draw(0);
    const fnn_sparse sparse = {2, start, granule, column, value};

    k->product(ROWS, (int64_t)blocks(UNITS), INPUTS, x, STRIDE, w, INPUTS * B, y, STRIDE, 0);
    k->sparse_product(ROWS, order, &sparse, (int64_t)blocks(UNITS), w, INPUTS * B, sparse_y, STRIDE);
    for (int r = 0; r < ROWS; r++)
        for (int j = 0; j < UNITS; j++) {
            double sum = 0, size = 0;
            for (int i = 0; i < INPUTS; i++) {
                const double term = (double)x[at(r, i, ROWS)] * w[at(i, j, INPUTS)];
                sum += term, size += fabs(term);
            }
            check(k->name, "product", y[at(r, j, ROWS)], sum, (INPUTS + 2) * U * size);
            check(k->name, "sparse_product", sparse_y[at(r, j, ROWS)], y[at(r, j, ROWS)], 0);
        }

    static int32_t column_start[INPUTS + 1];
    static uint16_t row[ROWS * INPUTS];
    static float by_column[ROWS * INPUTS];
    const fnn_columns columns = {column_start, row, by_column};
    k->sparse_columns(ROWS, order, 0, 2, INPUTS, &sparse, 0, &columns);
    k->product_transposed(INPUTS, (int64_t)blocks(UNITS), ROWS, x, STRIDE, B, y, STRIDE, dw, INPUTS * B, 0);
    k->sparse_product_transposed(0, INPUTS, &columns, (int64_t)blocks(UNITS), y, STRIDE, sparse_dw, INPUTS * B, 0);
    for (int i = 0; i < INPUTS; i++)
        for (int j = 0; j < UNITS; j++) {
            double sum = 0, size = 0;
            for (int r = 0; r < ROWS; r++) {
                const double term = (double)x[at(r, i, ROWS)] * y[at(r, j, ROWS)];
                sum += term, size += fabs(term);
            }
            check(k->name, "product_transposed", dw[at(i, j, INPUTS)], sum, (ROWS + 2) * U * size);
            check(k->name, "sparse_product_transposed", sparse_dw[at(i, j, INPUTS)], dw[at(i, j, INPUTS)], 0);
        }
    free(x), free(w), free(y), free(sparse_y), free(dw), free(sparse_dw);
}

static double selu_twin(double x) {
    return 1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * expm1(x));
}

/* Twins of the activations, by their number; params are 0.3, 6, 0.5. */
static double activation_twin(int kind, double x) {
    switch (kind) {
        case FNN_LINEAR: return x;
        case FNN_RELU: return x > 0 ? x : 0;
        case FNN_LEAKY_RELU: return x > 0 ? x : (double)0.3f * x;
        case FNN_ELU: return x > 0 ? x : (double)0.3f * expm1(x);
        case FNN_SELU: return selu_twin(x);
        case FNN_GELU: return 0.5 * x * erfc(-x * sqrt(0.5));
        case FNN_GELU_TANH: return 0.5 * x * (1 + tanh(sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x)));
        case FNN_SILU: return x / (1 + exp(-x));
        case FNN_TANH: return tanh(x);
        case FNN_SIGMOID: return 1 / (1 + exp(-x));
        case FNN_HARD_SIGMOID: return fmin(fmax(x / 6 + 0.5, 0), 1);
        case FNN_SOFTPLUS: return fmax(x, 0) + log1p(exp(-fabs(x)));
        case FNN_SOFTSIGN: return x / (1 + fabs(x));
        case FNN_RELU_GENERAL: return x < 0.5 ? (double)0.3f * (x - 0.5) : fmin(x, 6);
        case FNN_SCALED_RELU: return x > 0 ? (double)0.3f * x : 0;
        default: return NAN;
    }
}

static void elementwise(const fnn_kernels *k) {
    enum { N = 4 * B };
    const float params[4] = {0.3f, 6.0f, 0.5f, 0.0f};
    float *x = floats(N), *y = floats(N), *dy = floats(N), *dx = floats(N);
    for (int i = 0; i < N; i++) x[i] = 8 * draw(0), dy[i] = draw(0);
    for (int kind = 0; kind < FNN_N_ACTIVATIONS; kind++) {
        k->activation[kind](N, params, x, y);
        k->activation_backward[kind](N, params, x, y, dy, dx);
        for (int i = 0; i < N; i++) {
            const double h = 1e-5, v = x[i];
            const double slope = (activation_twin(kind, v + h) - activation_twin(kind, v - h)) / (2 * h);
            check(k->name, "activation", y[i], activation_twin(kind, v), 16 * U * fmax(1, fabs(v)));
            check(k->name, "activation_backward", dx[i], dy[i] * slope, fabs((double)dy[i]) * (64 * U * fmax(1, fabs(v)) + 1e-8));
        }
    }

    float turned[B * B];
    k->transpose(3, x, turned);
    for (int i = 0; i < B; i++)
        for (int r = 0; r < B; r++) check(k->name, "transpose", turned[i * B + r], r < 3 ? x[r * B + i] : 0, 0);

    const float scalars[5] = {0.01f, 0.1f, 0.1f, 0.001f, 1e-7f};
    float *w = floats(N), *m = floats(N), *v = floats(N);
    memcpy(w, y, N * sizeof(float));
    k->update[FNN_ADAM](N, scalars, dy, w, m, v, NULL);
    for (int i = 0; i < N; i++) {
        const double g = dy[i], want_m = g * scalars[2], want_v = g * g * scalars[3];
        const double want = y[i] * (1 - (double)scalars[1]) - scalars[0] * want_m / (sqrt(want_v) + scalars[4]);
        check(k->name, "adam", w[i], want, 8 * U * (fabs(want) + fabs((double)y[i]) + 0.04));
        check(k->name, "adam's momentum", m[i], want_m, 4 * U * fabs(want_m));
        check(k->name, "adam's velocity", v[i], want_v, 4 * U * want_v);
    }
    free(x), free(y), free(dy), free(dx), free(w), free(m), free(v);
}

static void rows(const fnn_kernels *k) {
    enum { CLASSES = 21 };
    const uint8_t bytes[CLASSES] = {0, 1, 2, 254, 255, 128, 7};
    float *z = floats(2 * B), *p = floats(2 * B), *d = floats(2 * B);
    k->gather[FNN_UINT8](CLASSES, bytes, 1.0f / 64, -1.0f, B, z);
    for (int i = 0; i < 2 * B; i++) check(k->name, "gather", z[i], i < CLASSES ? bytes[i] / 64.0 - 1 : 0, 0);

    const int32_t label = 3;
    const float params[4] = {0};
    float loss;
    const fnn_target target = {
        .rows = 1, .features = CLASSES, .stride = B, .y_pred = z, .labels = &label, .params = params,
        .scale = 0.5f, .row_values = &loss, .d_y_pred = d, .probabilities = p,
    };
    k->loss[FNN_SOFTMAX_CROSSENTROPY](&target);
    double sum = 0;
    for (int i = 0; i < CLASSES; i++) sum += exp(z[i]);
    check(k->name, "loss", loss, log(sum) - z[label], 16 * U * 4);
    for (int i = 0; i < 2 * B; i++) {
        const double want = i < CLASSES ? exp(z[i]) / sum : 0;
        check(k->name, "softmax", p[i], want, 32 * U * want);
        check(k->name, "d_y_pred", d[i], 0.5 * (want - (i == label)), 32 * U);
    }
    free(z), free(p), free(d);
}

/* Philox4x32 as Salmon et al. (2011) write it. */
static void philox(int rounds, const uint32_t key[2], const uint32_t counter[4], uint32_t c[4]) {
    uint32_t k0 = key[0], k1 = key[1];
    memcpy(c, counter, 4 * sizeof *c);
    for (int round = 0; round < rounds; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
        const uint64_t p0 = (uint64_t)0xD2511F53u * c[0], p1 = (uint64_t)0xCD9E8D57u * c[2];
        c[0] = (uint32_t)(p1 >> 32) ^ c[1] ^ k0, c[1] = (uint32_t)p1;
        c[2] = (uint32_t)(p0 >> 32) ^ c[3] ^ k1, c[3] = (uint32_t)p0;
    }
}

static void noise(const fnn_kernels *k) {
    static const uint32_t known[2][4] = {{0x5f6fb709, 0x0d893f64, 0x4f121f81, 0x4f730a48},
                                         {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}};
    const uint32_t zero[4] = {0};
    uint32_t word[4];
    for (int i = 0; i < 2; i++) {
        philox(i ? 10 : 7, zero, zero, word);
        for (int j = 0; j < 4; j++) check("twin", "philox", word[j], known[i][j], 0);
    }
    const fnn_noise noise = {.key = 0x123456789abcdef0, .step = 0x500000007, .stream = 3, .threshold = 1u << 30, .scale = 1.5f};
    const uint32_t key[2] = {0x9abcdef0, 0x12345678};
    float *x = floats(ROWS * B), *y = floats(ROWS * B), *marked = floats(ROWS * B), *normal = floats(ROWS * B);
    for (int i = 0; i < ROWS * B; i++) x[i] = draw(1);
    k->drop(&noise, ROWS, 8, 32, x, y);
    k->drop_marked(&noise, ROWS, 8, 32, x, marked);
    k->add_normal(&noise, ROWS, 8, 32, 13, x, normal);
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < B; c++) {
            const uint32_t counter[4] = {32 + (uint32_t)c, (uint32_t)(8 + r) / 4, 7, 3 << 16 | 5};
            philox(7, key, counter, word);
            const int i = r * B + c, kept = word[r % 4] >= 1u << 30;
            check(k->name, "drop", y[i], kept ? 1.5f * x[i] : 0, 0);
            check(k->name, "drop_marked", marked[i], kept ? 1.5f * x[i] : 0, 0);
            check(k->name, "the mark", signbit(marked[i]) && marked[i] == 0, !kept, 0);
            const int pair = r % 4 / 2 * 2;
            const double u = ((word[pair] >> 1) + 0.5) / 0x1p31, angle = 2 * acos(-1) * word[pair + 1] / 0x1p32;
            const double radius = sqrt(-2 * log(u)), want = radius * (r % 2 ? sin(angle) : cos(angle));
            check(k->name, "add_normal", normal[i], c < 13 ? x[i] + 1.5 * want : x[i], 32 * U * (1 + radius + 1 / radius));
        }
    free(x), free(y), free(marked), free(normal);
}

int main(int argc, char **argv) {
    const char *chosen = fnn_select(NULL)->name;
    printf("chosen: %s; checked:", chosen);
    for (const char *const *name = fnn_levels(); *name; name++) {
        const fnn_kernels *k = fnn_select(*name);
        printf(" %s", k->name);
        products(k);
        elementwise(k);
        rows(k);
        noise(k);
    }
    printf("\n");
    if (argc > 1 && strcmp(argv[1], chosen) != 0) {
        printf("%s was to be chosen\n", argv[1]);
        return 1;
    }
    if (wrong) printf("%d results are wrong\n", wrong);
    return wrong != 0;
}
