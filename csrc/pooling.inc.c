/* Windows of lines of 16 channels: their maximum, and their sum. Tables say which lines a window reads
 * (fastnn/lowering/windows.py), by their number within an example, -1 outside of it. */

typedef uint8_t v8 __attribute__((vector_size(VL)));
typedef int32_t v32 __attribute__((vector_size(4 * VL)));

/* y (windows, 16) = the largest line of each window, found = by which tap. A NaN is the largest of all; of equals
 * it is the first. */
#define WINDOW_MAX(name, type, index)                                                                        \
    static void name(int64_t windows, int64_t taps, const int32_t *table, const float *x, float *y,          \
                     void *found) {                                                                          \
        type *which = found;                                                                                 \
        for (int64_t w = 0; w < windows; w++, table += taps, y += BLOCK) {                                   \
            vf most[BV];                                                                                     \
            vi tap[BV];                                                                                      \
            int64_t first = 0; /* that lies inside */                                                        \
            while (first < taps - 1 && table[first] < 0) first++;                                            \
            for (int v = 0; v < BV; v++) most[v] = splat(-INFINITY), tap[v] = splat_i((int32_t)first);       \
            for (int64_t t = first; t < taps; t++) {                                                         \
                if (table[t] < 0) continue;                                                                  \
                for (int v = 0; v < BV; v++) {                                                               \
                    const vf line = load(x + table[t] * BLOCK + v * VL);                                     \
                    const vi more = (line > most[v]) | ((line != line) & (most[v] == most[v]));              \
                    most[v] = blend(more, line, most[v]);                                                    \
                    tap[v] = (more & splat_i((int32_t)t)) | (~more & tap[v]);                                \
                }                                                                                            \
            }                                                                                                \
            for (int v = 0; v < BV; v++) store(y + v * VL, most[v]);                                         \
            for (int v = 0; v < BV && which; v++, which += VL) {                                             \
                const index numbers = __builtin_convertvector(tap[v], index);                                \
                memcpy(which, &numbers, sizeof numbers);                                                     \
            }                                                                                                \
        }                                                                                                    \
    }

/* dx (positions, 16) = the sum over the windows that read a line, of dy where it was the largest.
 * readers: (positions, most, 2): window and tap. */
#define WINDOW_MAX_BACKWARD(name, type, index)                                                               \
    static void name(int64_t positions, int64_t most, const int32_t *readers, const float *dy,               \
                     const void *found, float *dx) {                                                         \
        const type *which = found;                                                                           \
        for (int64_t p = 0; p < positions; p++, readers += 2 * most, dx += BLOCK) {                          \
            vf sum[BV];                                                                                      \
            for (int v = 0; v < BV; v++) sum[v] = (vf){0};                                                   \
            for (int64_t m = 0; m < most; m++) {                                                             \
                const int32_t w = readers[2 * m];                                                            \
                if (w < 0) continue;                                                                         \
                for (int v = 0; v < BV; v++) {                                                               \
                    index numbers;                                                                           \
                    memcpy(&numbers, which + w * BLOCK + v * VL, sizeof numbers);                            \
                    const vi largest = __builtin_convertvector(numbers, vi) == splat_i(readers[2 * m + 1]);  \
                    sum[v] += blend(largest, load(dy + w * BLOCK + v * VL), (vf){0});                        \
                }                                                                                            \
            }                                                                                                \
            for (int v = 0; v < BV; v++) store(dx + v * VL, sum[v]);                                         \
        }                                                                                                    \
    }

/* The same where each line is in one window at most: dx of the lines that windows read; 0 where it was not the largest. */
#define WINDOW_MAX_SPREAD(name, type, index)                                                                 \
    static void name(int64_t windows, int64_t taps, const int32_t *table, const float *dy, const void *found, \
                     float *dx) {                                                                            \
        const type *which = found;                                                                           \
        for (int64_t w = 0; w < windows; w++, table += taps, dy += BLOCK, which += BLOCK) {                  \
            vf line[BV];                                                                                     \
            vi tap[BV];                                                                                      \
            for (int v = 0; v < BV; v++) {                                                                   \
                index numbers;                                                                               \
                memcpy(&numbers, which + v * VL, sizeof numbers);                                            \
                tap[v] = __builtin_convertvector(numbers, vi);                                               \
                line[v] = load(dy + v * VL);                                                                 \
            }                                                                                                \
            for (int64_t t = 0; t < taps; t++) {                                                             \
                if (table[t] < 0) continue;                                                                  \
                for (int v = 0; v < BV; v++)                                                                 \
                    store(dx + table[t] * BLOCK + v * VL,                                                    \
                          (vf){0} + blend(tap[v] == splat_i((int32_t)t), line[v], (vf){0}));                 \
            }                                                                                                \
        }                                                                                                    \
    }

WINDOW_MAX(window_max_8, uint8_t, v8)
WINDOW_MAX(window_max_32, int32_t, v32)
WINDOW_MAX_BACKWARD(window_max_backward_8, uint8_t, v8)
WINDOW_MAX_BACKWARD(window_max_backward_32, int32_t, v32)
WINDOW_MAX_SPREAD(window_max_spread_8, uint8_t, v8)
WINDOW_MAX_SPREAD(window_max_spread_32, int32_t, v32)

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
