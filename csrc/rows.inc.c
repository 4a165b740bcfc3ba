/* Moves between the caller's rows and the blocked layout, and small passes over blocks. */

/* (rows, 16) -> (16, 16): column r of the result is row r; columns from `rows` on are zero. */
static void transpose(int64_t rows, const float *x, float *y) {
    for (int i = 0; i < BLOCK; i++)
        for (int r = 0; r < BLOCK; r++) y[i * BLOCK + r] = r < rows ? x[r * BLOCK + i] : 0.0f;
}

static void add_bias(int64_t rows, const float *bias, float *x) {
    for (int64_t r = 0; r < rows; r++)
        for (int v = 0; v < BV; v++)
            store(x + r * BLOCK + v * VL, load(x + r * BLOCK + v * VL) + load(bias + v * VL));
}

/* sums (16,) [+]= the sum of the rows of x (rows, 16), one chain over ascending rows. */
static void add_rows(int64_t rows, int accumulate, const float *x, float *sums) {
    for (int v = 0; v < BV; v++) {
        vf acc = (vf){0};
        for (int64_t r = 0; r < rows; r++) acc += load(x + r * BLOCK + v * VL);
        store(sums + v * VL, accumulate ? load(sums + v * VL) + acc : acc);
    }
}

static void add(int64_t n, const float *x, float *y) {
    for (int64_t i = 0; i < n; i++) y[i] += x[i];
}

static void affine(int64_t n, float scale, float offset, const float *x, float *y) {
    for (int64_t i = 0; i < n; i++) y[i] = x[i] * scale + offset;
}

static void axpby(int64_t n, float a, const float *x, float b, float *y) {
    for (int64_t i = 0; i < n; i++) y[i] = a * x[i] + b * y[i];
}

#define GATHER(name, type)                                                                          \
    static void name(int64_t features, const void *row, float scale, float offset, int64_t stride,  \
                     float *y) {                                                                    \
        const type *x = row;                                                                        \
        for (int64_t f = 0; f < features; f += BLOCK) {                                             \
            float *block = y + (f / BLOCK) * stride;                                                \
            const int64_t n = features - f < BLOCK ? features - f : BLOCK;                          \
            if (n == BLOCK)                                                                         \
                for (int i = 0; i < BLOCK; i++) block[i] = (float)x[f + i] * scale + offset;        \
            else                                                                                    \
                for (int i = 0; i < BLOCK; i++) block[i] = i < n ? (float)x[f + i] * scale + offset : 0.0f; \
        }                                                                                           \
    }

GATHER(gather_float32, float)
GATHER(gather_float64, double)
GATHER(gather_uint8, uint8_t)
GATHER(gather_int32, int32_t)
GATHER(gather_int64, int64_t)

static void scatter(int64_t features, int64_t stride, const float *x, float *y) {
    for (int64_t f = 0; f < features; f += BLOCK) {
        const int64_t n = features - f < BLOCK ? features - f : BLOCK;
        memcpy(y + f, x + (f / BLOCK) * stride, sizeof(float) * (size_t)n);
    }
}
