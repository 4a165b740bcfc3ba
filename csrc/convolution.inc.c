/* Products over windows: C = the sum over taps of A_t B_t, each tap read where it lies.
 *
 * Design
 * - A convolution is a batch of small products, one for each tap of the window, all summed in the registers of
 *   one tile (Georganas et al. 2020, "Harnessing deep learning via a single building block"). Nothing is
 *   copied into columns first.
 * - A pointer tells where a tap of a row of the tile lies (Dukhan 2019, "The indirect convolution
 *   algorithm"), NULL outside the picture. Stride, dilation and padding so cost nothing here, and the rows of
 *   a tile may belong to several examples.
 * - The gradient of the weights of a tap goes over the pairs of lines that the tap connects.
 * - Each element is ONE chain of multiply-adds in ascending order (see tiles.inc.c), of taps and channels, or of
 *   pairs. What lies outside the picture is left out, or multiplied as zero: the same bits.
 */

static const float no_line[BLOCK] __attribute__((aligned(64)));

/* C (mr, 16 * nb) [+]= the sum over taps of A_t (mr, K) B_t (K, 16 * nb). Row r of A_t begins at lines[r * row_taps + t]
 * and goes on in blocks of 16, a_block apart; B_t follows B_(t-1). */
INLINE void window_tile(const int mr, const int nb, int64_t taps, int64_t K, const float *const *lines,
                        int64_t row_taps, int64_t a_block, const float *b, int64_t b_block, float *c,
                        int64_t c_block, int accumulate) {
    vf acc[MR][REGISTERS];
    for (int r = 0; r < mr; r++)
        for (int v = 0; v < nb * BV; v++)
            acc[r][v] = accumulate ? load(c + (v / BV) * c_block + r * BLOCK + (v % BV) * VL) : (vf){0};
    for (int64_t t = 0; t < taps; t++, b += K * BLOCK) {
        const float *line[MR];
        uintptr_t any = 0;
        for (int r = 0; r < mr; r++) any |= (uintptr_t)(line[r] = lines[r * row_taps + t]);
        if (!any) continue;
        for (int64_t k0 = 0; k0 < K; k0 += BLOCK) {
            const float *a[MR];
            const float *bk0 = b + k0 * BLOCK;
            for (int r = 0; r < mr; r++) a[r] = line[r] ? line[r] + (k0 / BLOCK) * a_block : no_line;
            const int64_t n = K - k0 < BLOCK ? K - k0 : BLOCK;
            for (int64_t k = 0; k < n; k++) {
                vf bk[REGISTERS];
                for (int v = 0; v < nb * BV; v++)
                    bk[v] = load(bk0 + (v / BV) * b_block + k * BLOCK + (v % BV) * VL);
                for (int r = 0; r < mr; r++) {
                    const vf ak = splat(a[r][k]);
                    for (int v = 0; v < nb * BV; v++) acc[r][v] += ak * bk[v];
                }
            }
        }
    }
    for (int r = 0; r < mr; r++)
        for (int v = 0; v < nb * BV; v++) store(c + (v / BV) * c_block + r * BLOCK + (v % BV) * VL, acc[r][v]);
}

/* C (mr, 16 * nb) += the sum over examples and pairs k of a' b: a the mr numbers at `from[k]` of the example, b the
 * line at `to[k]`. A chain of its own, which is added to C. */
INLINE void pairs_tile(const int mr, const int nb, int64_t examples, int64_t K, const float *a, int64_t a_example,
                       const int32_t *from, const float *b, int64_t b_example, const int32_t *to, int64_t b_block,
                       float *c, int64_t c_block) {
    vf acc[MR][REGISTERS];
    for (int r = 0; r < mr; r++)
        for (int v = 0; v < nb * BV; v++) acc[r][v] = (vf){0};
    for (int64_t e = 0; e < examples; e++, a += a_example, b += b_example)
        for (int64_t k = 0; k < K; k++) {
            const float *ak = a + from[k];
            const float *bk0 = b + to[k];
            vf bk[REGISTERS];
            for (int v = 0; v < nb * BV; v++) bk[v] = load(bk0 + (v / BV) * b_block + (v % BV) * VL);
            for (int r = 0; r < mr; r++) {
                const vf x = splat(ak[r]);
                for (int v = 0; v < nb * BV; v++) acc[r][v] += x * bk[v];
            }
        }
    for (int r = 0; r < mr; r++)
        for (int v = 0; v < nb * BV; v++) {
            float *out = c + (v / BV) * c_block + r * BLOCK + (v % BV) * VL;
            store(out, load(out) + acc[r][v]);
        }
}

#if MR > 6
#define ROW_CASES(CASE) CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8)
#elif MR > 2
#define ROW_CASES(CASE) CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)
#else
#define ROW_CASES(CASE) CASE(1) CASE(2)
#endif

#define WINDOW_TILE(mr, nb)                                                                                     \
    window_tile(mr, nb, taps, K, lines + r * row_taps, row_taps, a_block, b + j * b_block, b_block,             \
                c + j * c_block + r * BLOCK, c_block, accumulate)
#define WINDOW_CASE(mr)                \
    case mr:                           \
        if (n == NB)                   \
            WINDOW_TILE(mr, NB);       \
        else                           \
            WINDOW_TILE(mr, 1);        \
        break;

/* C (rows, 16 * blocks) [+]= A (rows, taps, K) B (taps * K, 16 * blocks) */
static void window_product(int64_t rows, int64_t blocks, int64_t taps, int64_t K, const float *const *lines,
                           int64_t row_taps, int64_t a_block, const float *b, int64_t b_block, float *c,
                           int64_t c_block, int accumulate) {
    for (int64_t j = 0; j < blocks; j += NB) {
        const int64_t n = blocks - j < NB ? 1 : NB;
        for (int64_t r = 0, m; r < rows; r += m) {
            m = tile_rows(rows - r);
            switch (m) { ROW_CASES(WINDOW_CASE) }
        }
    }
}

#define PAIRS_TILE(mr, nb)                                                                               \
    pairs_tile(mr, nb, examples, K, a + r, a_example, from, b + j * b_block, b_example, to, b_block,     \
               c + j * c_block + r * BLOCK, c_block)
#define PAIRS_CASE(mr)                 \
    case mr:                           \
        if (n == NB)                   \
            PAIRS_TILE(mr, NB);        \
        else                           \
            PAIRS_TILE(mr, 1);         \
        break;

/* C (rows, 16 * blocks) += the sum over examples and pairs of a' b, for `rows` neighbouring numbers. */
static void pairs_product(int64_t rows, int64_t blocks, int64_t examples, int64_t K, const float *a,
                          int64_t a_example, const int32_t *from, const float *b, int64_t b_example,
                          const int32_t *to, int64_t b_block, float *c, int64_t c_block) {
    for (int64_t j = 0; j < blocks; j += NB) {
        const int64_t n = blocks - j < NB ? 1 : NB;
        for (int64_t r = 0, m; r < rows; r += m) {
            m = rows - r < MR ? rows - r : MR;
            switch (m) { ROW_CASES(PAIRS_CASE) }
        }
    }
}

/* What the windows of some positions see of a picture of few channels, whose pixels lie one after another: a patch
 * (taps * channels,) for each, `patch` floats apart. Where a row of the window lies inside the picture, starts says
 * where; whole vectors are moved then, and up to 16 floats after the last may be read and written.
 *
 * starts: (positions, window_rows), -1 unless it lies inside as a whole, and in one piece.
 * windows: (positions, taps): pixels, -1 outside. */
static void gather_patches(int64_t rows, int64_t position, int64_t window_rows, int64_t taps, int64_t channels,
                           const int32_t *starts, const int32_t *windows, const float *x, int64_t patch,
                           float *patches) {
    const int64_t run = taps / window_rows * channels;
    for (int64_t r = 0; r < rows; r++, patches += patch) {
        const int32_t *start = starts + (position + r) * window_rows;
        const int32_t *window = windows + (position + r) * taps;
        float *to = patches;
        for (int64_t w = 0; w < window_rows; w++, to += run) {
            if (start[w] >= 0) {
                const float *from = x + start[w];
                for (int64_t i = 0; i < run; i += BLOCK) memcpy(to + i, from + i, BLOCK * sizeof(float));
                continue;
            }
            for (int64_t t = 0; t < run / channels; t++) {
                const int32_t pixel = window[w * (run / channels) + t];
                for (int64_t k = 0; k < channels; k++) to[t * channels + k] = pixel < 0 ? 0.0f : x[pixel * channels + k];
            }
        }
    }
}
