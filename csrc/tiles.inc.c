/* Register tiles: C = A B for a few rows of A and a few blocks of 16 columns of B.
 *
 * Design
 * - B lies in blocks of 16 columns, one row of a block is one cache line: a tile reads it from top
 *   to bottom and packs nothing.
 * - Each element of C is ONE chain of multiply-adds over ascending k, whatever the tile, the thread
 *   or the number of rows: so no partition of the work changes a bit. The caller may cut k anywhere
 *   (accumulate != 0): a product over features goes on with the chain that C holds; a product over the
 *   rows of a batch, which can be very long, adds a chain of its own to C (see FNN_CHUNK).
 * - A is read one scalar at a time, in one of two ways:
 *     rows:    a[(k / 16) * a_block + r * 16 + k % 16]   activations (forward), weights (dX)
 *     columns: a[(r / 16) * a_block + k * 16 + r % 16]   activations (dW)
 * - Few rows leave registers free, so they take more blocks at a time: a matrix-vector product
 *   needs as many independent chains as a full tile to hide the latency of an addition.
 */

INLINE void tile(const int mr, const int nb, const int by_column, int64_t K, const float *a,
                 int64_t a_block, const float *b, int64_t b_block, float *c, int64_t c_block,
                 int accumulate) {
    vf acc[MR][REGISTERS];
    for (int r = 0; r < mr; r++)
        for (int v = 0; v < nb * BV; v++)
            acc[r][v] = !by_column && accumulate ? load(c + (v / BV) * c_block + r * BLOCK + (v % BV) * VL)
                                                 : (vf){0};
    if (by_column) {
        for (int64_t k = 0; k < K; k++) {
            vf bk[REGISTERS];
            for (int v = 0; v < nb * BV; v++)
                bk[v] = load(b + (v / BV) * b_block + k * BLOCK + (v % BV) * VL);
            for (int r = 0; r < mr; r++) {
                const vf ak = splat(a[k * BLOCK + r]);
                for (int v = 0; v < nb * BV; v++) acc[r][v] += ak * bk[v];
            }
        }
    } else {
        for (int64_t k0 = 0; k0 < K; k0 += BLOCK) {
            const float *ak0 = a + (k0 / BLOCK) * a_block;
            const float *bk0 = b + k0 * BLOCK;
            const int64_t n = K - k0 < BLOCK ? K - k0 : BLOCK;
            for (int64_t k = 0; k < n; k++) {
                vf bk[REGISTERS];
                for (int v = 0; v < nb * BV; v++)
                    bk[v] = load(bk0 + (v / BV) * b_block + k * BLOCK + (v % BV) * VL);
                for (int r = 0; r < mr; r++) {
                    const vf ak = splat(ak0[r * BLOCK + k]);
                    for (int v = 0; v < nb * BV; v++) acc[r][v] += ak * bk[v];
                }
            }
        }
    }
    for (int r = 0; r < mr; r++)
        for (int v = 0; v < nb * BV; v++) {
            float *out = c + (v / BV) * c_block + r * BLOCK + (v % BV) * VL;
            store(out, by_column && accumulate ? load(out) + acc[r][v] : acc[r][v]);
        }
}

/* Blocks that a tile of mr rows takes at a time. */
#define TILE_BLOCKS(mr) \
    ((mr) == MR ? NB : REGISTERS / ((mr) * BV) > 8 ? 8 : REGISTERS / ((mr) * BV) > NB ? REGISTERS / ((mr) * BV) : NB)

#define TILE_CASE(mr)                                                                                  \
    case mr:                                                                                           \
        if ((mr) <= MR) {                                                                              \
            int64_t j = 0;                                                                             \
            for (; j + TILE_BLOCKS(mr) <= blocks; j += TILE_BLOCKS(mr))                                \
                tile(mr, TILE_BLOCKS(mr), by_column, K, a, a_block, b + j * b_block, b_block,          \
                     c + j * c_block, c_block, accumulate);                                            \
            for (; j < blocks; j++)                                                                    \
                tile(mr, 1, by_column, K, a, a_block, b + j * b_block, b_block, c + j * c_block, c_block, \
                     accumulate);                                                                      \
        }                                                                                              \
        break;

INLINE void product_rows(const int by_column, int rows, int64_t blocks, int64_t K, const float *a,
                         int64_t a_block, const float *b, int64_t b_block, float *c, int64_t c_block,
                         int accumulate) {
    switch (rows) {
        TILE_CASE(1)
        TILE_CASE(2)
#if MR > 2
        TILE_CASE(3)
        TILE_CASE(4)
        TILE_CASE(5)
        TILE_CASE(6)
#endif
#if MR > 6
        TILE_CASE(7)
        TILE_CASE(8)
#endif
    }
}

/* Rows of the next tile. A tile of one to three rows has too few chains to hide the latency of an addition:
 * where one would be left over, the last two share their rows. */
INLINE int64_t tile_rows(int64_t rows) {
    if (rows <= MR) return rows;
    return rows < MR + 4 && rows < 2 * MR ? (rows + 1) / 2 : MR;
}

/* C (rows, 16 * blocks) [+]= A (rows, K) B (K, 16 * blocks), A read by rows. */
static void product(int64_t rows, int64_t blocks, int64_t K, const float *a, int64_t a_block,
                    const float *b, int64_t b_block, float *c, int64_t c_block, int accumulate) {
    if (rows < MR) {
        product_rows(0, (int)rows, blocks, K, a, a_block, b, b_block, c, c_block, accumulate);
        return;
    }
    for (int64_t j = 0; j < blocks; j += NB) {
        const int64_t n = blocks - j < NB ? blocks - j : NB;
        for (int64_t r = 0, m; r < rows; r += m) {
            m = tile_rows(rows - r);
            product_rows(0, (int)m, n, K, a + r * BLOCK, a_block, b + j * b_block, b_block,
                         c + j * c_block + r * BLOCK, c_block, accumulate);
        }
    }
}

/* C (rows, 16) [+]= A' (rows, K) B (K, 16), A read by columns; rows may span several blocks of A. */
static void product_transposed(int64_t rows, int64_t blocks, int64_t K, const float *a, int64_t a_block,
                               const float *b, int64_t b_block, float *c, int64_t c_block, int accumulate) {
    for (int64_t j = 0; j < blocks; j += NB) {
        const int64_t n = blocks - j < NB ? blocks - j : NB;
        for (int64_t r0 = 0; r0 < rows; r0 += BLOCK)
            for (int64_t r = r0; r < r0 + BLOCK && r < rows; r += MR) {
                int64_t m = r0 + BLOCK - r < MR ? r0 + BLOCK - r : MR;
                m = rows - r < m ? rows - r : m;
                product_rows(1, (int)m, n, K, a + (r0 / BLOCK) * a_block + (r - r0), a_block,
                             b + j * b_block, b_block, c + j * c_block + r * BLOCK, c_block, accumulate);
            }
    }
}
