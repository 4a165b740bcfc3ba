/* Moves between the caller's rows and the blocked layout, and small passes over blocks. */

/* One stage of a transposition: of rows `d` apart, the lanes of the upper one whose number has the bit d
 * change places with those of the lower one that lack it. */
#define FIRST_OF_1(l) ((l) & 1 ? VL + (l) - 1 : (l))
#define SECOND_OF_1(l) ((l) & 1 ? VL + (l) : (l) + 1)
#define FIRST_OF_2(l) ((l) & 2 ? VL + (l) - 2 : (l))
#define SECOND_OF_2(l) ((l) & 2 ? VL + (l) : (l) + 2)
#define FIRST_OF_4(l) ((l) & 4 ? VL + (l) - 4 : (l))
#define SECOND_OF_4(l) ((l) & 4 ? VL + (l) : (l) + 4)
#define FIRST_OF_8(l) ((l) & 8 ? VL + (l) - 8 : (l))
#define SECOND_OF_8(l) ((l) & 8 ? VL + (l) : (l) + 8)
#define EXCHANGE(d)                                          \
    for (int r = 0; r < VL; r++)                             \
        if (!(r & (d))) {                                    \
            const vf a = m[r], b = m[r + (d)];               \
            m[r] = SHUFFLE(a, b, FIRST_OF_##d);              \
            m[r + (d)] = SHUFFLE(a, b, SECOND_OF_##d);       \
        }

/* (rows, 16) -> (16, 16): column r of the result is row r; columns from `rows` on are zero. */
static void transpose(int64_t rows, const float *x, float *y) {
    for (int i = 0; i < BLOCK; i += VL)
        for (int r0 = 0; r0 < BLOCK; r0 += VL) {
            vf m[VL];
            for (int r = 0; r < VL; r++) m[r] = r0 + r < rows ? load(x + (r0 + r) * BLOCK + i) : (vf){0};
            EXCHANGE(1)
            EXCHANGE(2)
#if VL > 4
            EXCHANGE(4)
#endif
#if VL > 8
            EXCHANGE(8)
#endif
            for (int r = 0; r < VL; r++) store(y + (i + r) * BLOCK + r0, m[r]);
        }
}

#undef EXCHANGE

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
