/* Windows of lines of 16 channels: their maximum, and their sum. Tables say which lines a window reads
 * (fastnn/lowering/windows.py), by their number within an example, -1 outside of it. */

/* y (windows, 16) = the largest line of each window, found = by which tap. A NaN is the largest of all; of equals
 * it is the first. */
#define WINDOW_MAX(name, index)                                                                          \
    static void name(int64_t windows, int64_t taps, const int32_t *table, const float *x, float *y,      \
                     void *found) {                                                                      \
        index *which = found;                                                                            \
        for (int64_t w = 0; w < windows; w++, table += taps, y += BLOCK) {                               \
            float most[BLOCK];                                                                           \
            index tap[BLOCK];                                                                            \
            int64_t first = 0; /* that lies inside */                                                    \
            while (first < taps - 1 && table[first] < 0) first++;                                        \
            for (int i = 0; i < BLOCK; i++) most[i] = -INFINITY, tap[i] = (index)first;                  \
            for (int64_t t = first; t < taps; t++) {                                                     \
                if (table[t] < 0) continue;                                                              \
                const float *line = x + table[t] * BLOCK;                                                \
                for (int i = 0; i < BLOCK; i++) {                                                        \
                    const int more = (line[i] > most[i]) | ((line[i] != line[i]) & (most[i] == most[i])); \
                    most[i] = more ? line[i] : most[i];                                                  \
                    tap[i] = more ? (index)t : tap[i];                                                   \
                }                                                                                        \
            }                                                                                            \
            for (int i = 0; i < BLOCK; i++) y[i] = most[i];                                              \
            if (which) {                                                                                 \
                for (int i = 0; i < BLOCK; i++) which[i] = tap[i];                                       \
                which += BLOCK;                                                                          \
            }                                                                                            \
        }                                                                                                \
    }

/* dx (positions, 16) = the sum over the windows that read a line, of dy where it was the largest.
 * readers: (positions, most, 2): window and tap. */
#define WINDOW_MAX_BACKWARD(name, index)                                                                       \
    static void name(int64_t positions, int64_t most, const int32_t *readers, const float *dy,                 \
                     const void *found, float *dx) {                                                           \
        const index *which = found;                                                                            \
        for (int64_t p = 0; p < positions; p++, readers += 2 * most, dx += BLOCK) {                            \
            float sum[BLOCK] = {0};                                                                            \
            for (int64_t m = 0; m < most; m++) {                                                               \
                const int32_t w = readers[2 * m];                                                              \
                if (w < 0) continue;                                                                           \
                const index tap = (index)readers[2 * m + 1];                                                   \
                for (int i = 0; i < BLOCK; i++) sum[i] += which[w * BLOCK + i] == tap ? dy[w * BLOCK + i] : 0.0f; \
            }                                                                                                  \
            for (int i = 0; i < BLOCK; i++) dx[i] = sum[i];                                                    \
        }                                                                                                      \
    }

WINDOW_MAX(window_max_8, uint8_t)
WINDOW_MAX(window_max_32, int32_t)
WINDOW_MAX_BACKWARD(window_max_backward_8, uint8_t)
WINDOW_MAX_BACKWARD(window_max_backward_32, int32_t)

/* y (windows, 16) = the window's factor times the sum of its lines, each times its own factor; NULL for ones. Many lines
 * are summed in chunks, as rows are. */
static void window_sum(int64_t windows, int64_t taps, const int32_t *table, const float *of_windows,
                       const float *of_taps, const float *x, float *y) {
    for (int64_t w = 0; w < windows; w++, y += BLOCK) {
        const float factor = of_windows ? of_windows[w] : 1.0f;
        vf total[BV];
        for (int v = 0; v < BV; v++) total[v] = (vf){0};
        for (int64_t t0 = 0, n; t0 < taps; t0 += n, table += n) {
            n = taps - t0 < FNN_CHUNK ? taps - t0 : FNN_CHUNK;
            vf sum[BV];
            for (int v = 0; v < BV; v++) sum[v] = (vf){0};
            for (int64_t t = 0; t < n; t++) {
                if (table[t] < 0) continue;
                const float of_tap = of_taps ? of_taps[w * taps + t0 + t] : 1.0f;
                for (int v = 0; v < BV; v++) sum[v] += of_tap * load(x + table[t] * BLOCK + v * VL);
            }
            for (int v = 0; v < BV; v++) total[v] += sum[v];
        }
        for (int v = 0; v < BV; v++) store(y + v * VL, factor * total[v]);
    }
}
