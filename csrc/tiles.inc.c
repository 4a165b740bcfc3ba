/* Register tiles: C = A B for a few rows of A and a few blocks of 16 columns of B.
 *
 * Design
 * - One tile for all products: the sum of A_t B_t over a list of segments t, all summed in registers (Georganas et al.
 *   2020, "Harnessing deep learning via a single building block"). A matrix is one segment; a convolution has one
 *   for each tap of its window, and nothing is copied into columns first (convolution.inc.c).
 * - B lies in blocks of 16 columns, one row of a block is one cache line: a tile reads it from top
 *   to bottom and packs nothing.
 * - Each element of C is ONE chain of multiply-adds over ascending segments and k, whatever the tile, the thread
 *   or the number of rows: so no partition of the work changes a bit. The caller may cut it anywhere
 *   (accumulate != 0): a product over features goes on with the chain that C holds; a product over the
 *   rows of a batch, which can be very long, adds a chain of its own to C (see FNN_CHUNK).
 * - A is read one scalar at a time. For sums over features, row r of a segment begins at a pointer and goes on in blocks
 *   of 16: the pointers of neighbouring rows (activations in forward, weights in dX) follow from the first; the rows
 *   of a window are where the caller says. For sums over lines (dW), a and b are lines of 16: neighbouring ones, or
 *   pairs that the caller names.
 * - Few rows leave registers free, so they take more blocks at a time: a matrix-vector product
 *   needs as many independent chains as a full tile to hide the latency of an addition.
 */

static const float no_line[BLOCK] __attribute__((aligned(64)));

/* C (mr, 16 * nb) [+]= the sum over segments t of A_t (mr, K) B_t (K, 16 * nb). Row r of A_t goes on in blocks of 16, a_block
 * apart; B_t follows B_(t-1). pointed: it begins at lines[r * row_segments + t], NULL for zeros; else r lines after
 * lines[t]. */
INLINE void tile(const int mr, const int nb, const int pointed, int64_t segments, int64_t K, const float *const *lines,
                 int64_t row_segments, int64_t a_block, const float *b, int64_t b_block, float *c, int64_t c_block,
                 int accumulate) {
    vf acc[MR][REGISTERS];
    for (int r = 0; r < mr; r++)
        for (int v = 0; v < nb * BV; v++)
            acc[r][v] = accumulate ? load(c + (v / BV) * c_block + r * BLOCK + (v % BV) * VL) : (vf){0};
    for (int64_t t = 0; t < segments; t++, b += K * BLOCK) {
        const float *line[MR];
        uintptr_t any = 0;
        for (int r = 0; r < mr; r++)
            any |= (uintptr_t)(line[r] = pointed ? lines[r * row_segments + t] : lines[t] + r * BLOCK);
        if (pointed && !any) continue;
        for (int64_t k0 = 0; k0 < K; k0 += BLOCK) {
            const float *a[MR];
            const float *bk0 = b + k0 * BLOCK;
            for (int r = 0; r < mr; r++)
                a[r] = !pointed || line[r] ? line[r] + (k0 / BLOCK) * a_block : no_line;
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

/* C (mr, 16 * nb) [+]= the sum over examples and k < K of a_k' b_k: a chain of its own, which is added to C. a_k are mr
 * numbers from a + from[k] of the example on, b_k is the line at b + to[k]; without such tables, line k of both. */
INLINE void line_tile(const int mr, const int nb, const int paired, int64_t examples, int64_t K, const float *a,
                      int64_t a_example, const int32_t *from, const float *b, int64_t b_example, const int32_t *to,
                      int64_t b_block, float *c, int64_t c_block, int accumulate) {
    vf acc[MR][REGISTERS];
    for (int r = 0; r < mr; r++)
        for (int v = 0; v < nb * BV; v++) acc[r][v] = (vf){0};
    for (int64_t e = 0; e < examples; e++, a += a_example, b += b_example)
        for (int64_t k = 0; k < K; k++) {
            const float *ak = a + (paired ? from[k] : k * BLOCK);
            const float *bk0 = b + (paired ? to[k] : k * BLOCK);
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
            store(out, accumulate ? load(out) + acc[r][v] : acc[r][v]);
        }
}

/* Blocks that a tile of mr rows takes at a time. */
#define TILE_BLOCKS(mr) \
    ((mr) == MR ? NB : REGISTERS / ((mr) * BV) > 8 ? 8 : REGISTERS / ((mr) * BV) > NB ? REGISTERS / ((mr) * BV) : NB)

/* TILE(mr, nb, j) of the rows at hand for the blocks j0 to j1, as many at a time as fit the registers. */
#define TILE_CASE(mr, TILE)                                                                   \
    case mr: {                                                                                \
        int64_t j = j0;                                                                       \
        for (; j + TILE_BLOCKS(mr) <= j1; j += TILE_BLOCKS(mr)) TILE(mr, TILE_BLOCKS(mr), j); \
        for (; j < j1; j++) TILE(mr, 1, j);                                                   \
    } break;

/* CASE(rows, TILE) for as many rows as a tile may have. */
#if MR > 6
#define ROW_CASES(CASE, TILE)                                                       \
    CASE(1, TILE) CASE(2, TILE) CASE(3, TILE) CASE(4, TILE) CASE(5, TILE) CASE(6, TILE) \
    CASE(7, TILE) CASE(8, TILE)
#elif MR > 2
#define ROW_CASES(CASE, TILE) \
    CASE(1, TILE) CASE(2, TILE) CASE(3, TILE) CASE(4, TILE) CASE(5, TILE) CASE(6, TILE)
#else
#define ROW_CASES(CASE, TILE) CASE(1, TILE) CASE(2, TILE)
#endif

/* Rows of the next tile. A tile of one to three rows has too few chains to hide the latency of an addition:
 * where one would be left over, the last two share their rows. */
INLINE int64_t tile_rows(int64_t rows) {
    if (rows <= MR) return rows;
    return rows < MR + 4 && rows < 2 * MR ? (rows + 1) / 2 : MR;
}

/* Blocks that go through all rows together: few rows are done with all of them at once. */
INLINE int64_t blocks_together(int64_t rows, int64_t blocks) { return rows < MR ? blocks : NB; }

/* C (rows, 16 * blocks) [+]= A (rows, K) B (K, 16 * blocks), A in blocks of 16 features. */
static void product(int64_t rows, int64_t blocks, int64_t K, const float *a, int64_t a_block,
                    const float *b, int64_t b_block, float *c, int64_t c_block, int accumulate) {
#define TILE(mr, nb, j)                                                                                        \
    tile(mr, nb, 0, 1, K, &row, 1, a_block, b + (j) * b_block, b_block, c + (j) * c_block + r * BLOCK, c_block, \
         accumulate)
    const int64_t group = blocks_together(rows, blocks);
    for (int64_t j0 = 0; j0 < blocks; j0 += group) {
        const int64_t j1 = blocks - j0 < group ? blocks : j0 + group;
        for (int64_t r = 0, m; r < rows; r += m) {
            const float *const row = a + r * BLOCK;
            m = tile_rows(rows - r);
            switch (m) { ROW_CASES(TILE_CASE, TILE) }
        }
    }
#undef TILE
}

/* C (rows, 16 * blocks) [+]= A' (rows, K) B (K, 16 * blocks), A in blocks of 16 of its columns, which rows may span; its
 * lines are a_line apart. */
static void product_transposed(int64_t rows, int64_t blocks, int64_t K, const float *a, int64_t a_block, int64_t a_line,
                               const float *b, int64_t b_block, float *c, int64_t c_block, int accumulate) {
#define TILE(mr, nb, j)                                                                                            \
    line_tile(mr, nb, 0, K, 1, a + (r / BLOCK) * a_block + r % BLOCK, a_line, NULL, b + (j) * b_block, BLOCK, NULL, \
              b_block, c + (j) * c_block + r * BLOCK, c_block, accumulate)
    for (int64_t j0 = 0; j0 < blocks; j0 += NB) {
        const int64_t j1 = blocks - j0 < NB ? blocks : j0 + NB;
        for (int64_t r = 0, m; r < rows; r += m) {
            m = BLOCK - r % BLOCK < MR ? BLOCK - r % BLOCK : MR;
            m = rows - r < m ? rows - r : m;
            switch (m) { ROW_CASES(TILE_CASE, TILE) }
        }
    }
#undef TILE
}
