/* Products that skip zeros of x. A skipped zero leaves a sum as it is, so with finite weights the
 * results are those of the dense tiles to the last bit: same chains, cut and joined in the same way. */

/* Blocks at a time: enough chains to hide the latency of an addition, and each index is read once for
 * all of them; but no more than leave FNN_GRANULE rows of W, or FNN_CHUNK rows of dZ, near the core. */
#define SPARSE_BLOCKS (REGISTERS / BV < 4 ? REGISTERS / BV : 4)

INLINE void sparse_chain(const int nb, const int by_column, int64_t n, const uint16_t *index, const float *value, const float *b,
                         int64_t b_block, float *c, int64_t c_block, int accumulate) {
    vf acc[REGISTERS];
    for (int v = 0; v < nb * BV; v++)
        acc[v] = !by_column && accumulate ? load(c + (v / BV) * c_block + (v % BV) * VL) : (vf){0};
    for (int64_t i = 0; i < n; i++) {
        const vf x = splat(value[i]);
        const float *row = b + (int64_t)index[i] * BLOCK;
        for (int v = 0; v < nb * BV; v++) acc[v] += x * load(row + (v / BV) * b_block + (v % BV) * VL);
    }
    for (int v = 0; v < nb * BV; v++) {
        float *out = c + (v / BV) * c_block + (v % BV) * VL;
        store(out, by_column && accumulate ? load(out) + acc[v] : acc[v]);
    }
}

/* Rows of a shuffled epoch lie anywhere in memory: they are called for while earlier ones are at work. */
enum { ROWS_AHEAD = 3 };

INLINE void call_for(const fnn_sparse *x, int64_t row, int64_t granule_0, int64_t granule_1) {
    const uint16_t *granule = x->granule + row * (x->granules + 1);
    const int64_t begin = x->start[row] + granule[granule_0], end = x->start[row] + granule[granule_1];
    for (int64_t i = begin; i < end; i += 64 / (int64_t)sizeof(float)) {
        __builtin_prefetch(x->value + i);
        __builtin_prefetch(x->column + i);
    }
}

/* `most` blocks at a time, then half as many, then single ones. */
#define FOR_BLOCKS(most, blocks, CALL)                                                     \
    do {                                                                                   \
        int64_t j = 0;                                                                     \
        for (; j + (most) <= (blocks); j += (most)) CALL(most);                            \
        for (; j + ((most) + 1) / 2 <= (blocks); j += ((most) + 1) / 2) CALL(((most) + 1) / 2); \
        for (; j < (blocks); j++) CALL(1);                                                 \
    } while (0)

/* Of a row, a chain goes through so many nonzeros at least, where there are as many: shorter ones are all
 * beginning and end. */
enum { SHORTEST_CHAIN = 24 };

/* Granules that a chain goes through at once: one, so that its rows of W stay near the core from row to row
 * of X; but of rows of very few nonzeros, which read each row of W hardly twice anyway, as many as it takes.
 * Sums go on where they stopped, so it changes no bit. */
INLINE int64_t granules_at_once(int64_t rows, const int64_t *order, const fnn_sparse *x) {
    int64_t n = 1;
    for (int64_t r = 0; r < rows; r++) n += x->granule[order[r] * (x->granules + 1) + x->granules];
    const int64_t wanted = SHORTEST_CHAIN * rows * x->granules / n;
    return wanted < 1 ? 1 : wanted < x->granules ? wanted : x->granules;
}

/* C (rows, 16 * blocks) = X B */
static void sparse_product(int64_t rows, const int64_t *order, const fnn_sparse *x, int64_t blocks,
                           const float *b, int64_t b_block, float *c, int64_t c_block) {
    const int64_t at_once = granules_at_once(rows, order, x);
#define SPARSE_ROWS(nb)                                                                                 \
    for (int64_t g = 0, g1; g < x->granules; g = g1) {                                                  \
        g1 = g + at_once < x->granules ? g + at_once : x->granules;                                     \
        for (int64_t r = 0; r < rows; r++) {                                                            \
            if (r + ROWS_AHEAD < rows) call_for(x, order[r + ROWS_AHEAD], g, g1);                       \
            const uint16_t *granule = x->granule + order[r] * (x->granules + 1);                        \
            const int64_t first = x->start[order[r]] + granule[g];                                      \
            const int64_t n = granule[g1] - granule[g];                                                 \
            if (n > 0 || g == 0)                                                                        \
                sparse_chain(nb, 0, n, x->column + first, x->value + first, b + j * b_block, b_block,   \
                             c + j * c_block + r * BLOCK, c_block, g > 0);                              \
        }                                                                                               \
    }
    FOR_BLOCKS(SPARSE_BLOCKS, blocks, SPARSE_ROWS);
#undef SPARSE_ROWS
}

/* The nonzeros of a chunk of rows, sorted by column (a counting sort), from position `first` on. */
static void sparse_columns(int64_t rows, const int64_t *order, int64_t granule_0, int64_t granule_1,
                           int64_t columns, const fnn_sparse *x, int32_t first, const fnn_columns *out) {
    const int64_t k0 = granule_0 * FNN_GRANULE;
    const int64_t k1 = granule_1 * FNN_GRANULE < columns ? granule_1 * FNN_GRANULE : columns;
    int32_t *start = out->start; /* while filling, start[k + 1] is column k's next free place */
    for (int64_t k = k0; k < k1; k++) start[k + 1] = 0;
    for (int64_t r = 0; r < rows; r++) {
        if (r + ROWS_AHEAD < rows) call_for(x, order[r + ROWS_AHEAD], granule_0, granule_1);
        const uint16_t *granule = x->granule + order[r] * (x->granules + 1);
        const uint16_t *column = x->column + x->start[order[r]];
        for (int64_t i = granule[granule_0]; i < granule[granule_1]; i++) start[column[i] + 1]++;
    }
    int32_t place = first;
    for (int64_t k = k0; k < k1; k++) {
        const int32_t n = start[k + 1];
        start[k + 1] = place;
        place += n;
    }
    for (int64_t r = 0; r < rows; r++) {
        const uint16_t *granule = x->granule + order[r] * (x->granules + 1);
        const int64_t begin = x->start[order[r]];
        for (int64_t i = begin + granule[granule_0]; i < begin + granule[granule_1]; i++) {
            const int32_t p = start[x->column[i] + 1]++;
            out->row[p] = (uint16_t)r;
            out->value[p] = x->value[i];
        }
    }
    if (granule_0 == 0) start[0] = first;
}

/* C (i1 - i0, 16 * blocks) [+]= rows i0..i1 of X' times B (rows of the chunk, 16 * blocks). */
static void sparse_product_transposed(int64_t i0, int64_t i1, const fnn_columns *x, int64_t blocks,
                                      const float *b, int64_t b_block, float *c, int64_t c_block,
                                      int accumulate) {
#define SPARSE_COLUMNS(nb)                                                                      \
    for (int64_t i = i0; i < i1; i++)                                                           \
        sparse_chain(nb, 1, x->start[i + 1] - x->start[i], x->row + x->start[i], x->value + x->start[i], \
                     b + j * b_block, b_block, c + j * c_block + (i - i0) * BLOCK, c_block, accumulate);
    FOR_BLOCKS(SPARSE_BLOCKS, blocks, SPARSE_COLUMNS);
#undef SPARSE_COLUMNS
}
