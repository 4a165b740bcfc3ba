/* Products over windows: C = the sum over taps of A_t B_t, each tap read where it lies.
 *
 * Design
 * - A pointer tells where a tap of a row of the tile lies (Dukhan 2019, "The indirect convolution
 *   algorithm"), NULL outside the picture. Stride, dilation and padding so cost nothing here, and the rows of
 *   a tile may belong to several examples.
 * - The gradient of the weights of a tap goes over the pairs of lines that the tap connects.
 * - What lies outside the picture is left out, or multiplied as zero: the same bits.
 */

/* C (rows, 16 * blocks) [+]= A (rows, taps, K) B (taps * K, 16 * blocks), tap t of row r at lines[r * taps + t]. */
static void window_product(int64_t rows, int64_t blocks, int64_t taps, int64_t K, const float *const *lines,
                           int64_t a_block, const float *b, int64_t b_block, float *c, int64_t c_block,
                           int accumulate) {
#define TILE(mr, nb, j)                                                                               \
    tile(mr, nb, 1, taps, K, lines + r * taps, taps, a_block, b + (j) * b_block, b_block,             \
         c + (j) * c_block + r * BLOCK, c_block, accumulate)
    const int64_t group = blocks_together(rows, blocks);
    for (int64_t j0 = 0; j0 < blocks; j0 += group) {
        const int64_t j1 = blocks - j0 < group ? blocks : j0 + group;
        for (int64_t r = 0, m; r < rows; r += m) {
            m = tile_rows(rows - r);
            switch (m) { ROW_CASES(TILE_CASE, TILE) }
        }
    }
#undef TILE
}

/* C (rows, 16 * blocks) += the sum over examples and pairs of a' b, for `rows` neighbouring numbers. */
static void pairs_product(int64_t rows, int64_t blocks, int64_t examples, int64_t K, const float *a,
                          int64_t a_example, const int32_t *from, const float *b, int64_t b_example,
                          const int32_t *to, int64_t b_block, float *c, int64_t c_block) {
#define TILE(mr, nb, j)                                                                                 \
    line_tile(mr, nb, 1, examples, K, a + r, a_example, from, b + (j) * b_block, b_example, to, b_block, \
              c + (j) * c_block + r * BLOCK, c_block, 1)
    for (int64_t j0 = 0; j0 < blocks; j0 += NB) {
        const int64_t j1 = blocks - j0 < NB ? blocks : j0 + NB;
        for (int64_t r = 0, m; r < rows; r += m) {
            m = rows - r < MR ? rows - r : MR;
            switch (m) { ROW_CASES(TILE_CASE, TILE) }
        }
    }
#undef TILE
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
