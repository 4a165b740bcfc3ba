/* Convolutions of each channel by itself: lines of 16 channels times lines of weights, tap by tap.
 *
 * Tables say which lines a window reads (fastnn/lowering/windows.py), by their number within an example, -1 outside
 * of it. Each number is one chain of multiply-adds in ascending order, of taps, or of windows. */

INLINE const float *line_at(const float *x, int32_t number) {
    return number < 0 ? no_line : x + (int64_t)number * BLOCK;
}

/* y (n, 16) = the sum over taps of a line of x times that of w (taps, 16) */
INLINE void depthwise_tile(const int n, int64_t taps, const int32_t *table, const float *w, const float *x,
                           float *y) {
    vf acc[MR][BV];
    for (int r = 0; r < n; r++)
        for (int v = 0; v < BV; v++) acc[r][v] = (vf){0};
    for (int64_t t = 0; t < taps; t++, w += BLOCK) {
        vf wt[BV];
        for (int v = 0; v < BV; v++) wt[v] = load(w + v * VL);
        for (int r = 0; r < n; r++) {
            const float *line = line_at(x, table[r * taps + t]);
            for (int v = 0; v < BV; v++) acc[r][v] += load(line + v * VL) * wt[v];
        }
    }
    for (int r = 0; r < n; r++)
        for (int v = 0; v < BV; v++) store(y + r * BLOCK + v * VL, acc[r][v]);
}

/* sums (n, 16) += for n taps, the sum over windows of the line that the tap reads times that of dz (windows, 16) */
INLINE void depthwise_pairs_tile(const int n, int64_t windows, int64_t taps, const int32_t *table, const float *x,
                                 const float *dz, float *sums) {
    vf acc[MR][BV];
    for (int t = 0; t < n; t++)
        for (int v = 0; v < BV; v++) acc[t][v] = (vf){0};
    for (int64_t w = 0; w < windows; w++, table += taps, dz += BLOCK) {
        vf d[BV];
        for (int v = 0; v < BV; v++) d[v] = load(dz + v * VL);
        for (int t = 0; t < n; t++) {
            const float *line = line_at(x, table[t]);
            for (int v = 0; v < BV; v++) acc[t][v] += load(line + v * VL) * d[v];
        }
    }
    for (int t = 0; t < n; t++)
        for (int v = 0; v < BV; v++) {
            float *sum = sums + t * BLOCK + v * VL;
            store(sum, load(sum) + acc[t][v]);
        }
}

#define DEPTHWISE_CASE(n, TILE) \
    case n:                     \
        TILE(n);                \
        break;

/* y (windows, 16) = the sum over taps of lines of x times w (taps, 16) */
static void depthwise(int64_t windows, int64_t taps, const int32_t *table, const float *w, const float *x,
                      float *y) {
#define TILE(n) depthwise_tile(n, taps, table + r * taps, w, x, y + r * BLOCK)
    for (int64_t r = 0, m; r < windows; r += m) {
        m = windows - r < MR ? windows - r : MR;
        switch (m) { ROW_CASES(DEPTHWISE_CASE, TILE) }
    }
#undef TILE
}

/* sums (taps, 16) += the sum over windows of the line that each tap reads times that of dz (windows, 16) */
static void depthwise_pairs(int64_t windows, int64_t taps, const int32_t *table, const float *x, const float *dz,
                            float *sums) {
#define TILE(n) depthwise_pairs_tile(n, windows, taps, table + t, x, dz, sums + t * BLOCK)
    for (int64_t t = 0, m; t < taps; t += m) {
        m = tile_rows(taps - t);
        switch (m) { ROW_CASES(DEPTHWISE_CASE, TILE) }
    }
#undef TILE
}
