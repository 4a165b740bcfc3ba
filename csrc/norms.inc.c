/* Normalization over the batch (a block of 16 features, its rows one after another) and over the
 * features (up to 16 rows, block after block).
 *
 * Both sum in one pass: numbers are taken from a pivot p, the mean of the first 16 of them, and
 *     mean = p + sum(d) / n,  variance = sum(d^2) / n - (sum(d) / n)^2,  d = x - p.
 * By Cauchy and Schwarz (p - mean)^2 <= n / 16 variance, so the difference cancels log2(n / 16) bits at
 * the very worst and almost none as a rule, whatever the mean; equal numbers have no variance at all.
 * d is kept apart from p in all that follows: a mean of 1e4 rounded to float32 would be off by 5e-4.
 *
 * A sum over rows is cut into chunks of FNN_CHUNK rows; in a chunk, row r belongs to chain r % 4, and
 * the chains are added in pairs: one chain alone would wait for each addition. */

enum { CHAINS = 4 };

/* Lines of the statistics of a block (FNN_STATISTICS, 16). */
enum { PIVOT, OFFSET, VARIANCE, RSTD };

/* The sum of four chains. */
INLINE vf joined(const vf *chain) { return (chain[0] + chain[1]) + (chain[2] + chain[3]); }

/* PIVOT, OFFSET = mean - PIVOT, VARIANCE (biased), RSTD = 1 / sqrt(VARIANCE + epsilon) of x (rows, 16). */
static void batch_statistics(int64_t rows, float epsilon, const float *x, float *statistics) {
    const int64_t first = rows < BLOCK ? rows : BLOCK;
    const vf n = splat((float)rows);
    for (int v = 0; v < BV; v++, x += VL, statistics += VL) {
        vf pivot = (vf){0}, sum = (vf){0}, squares = (vf){0};
        for (int64_t r = 0; r < first; r++) pivot += load(x + r * BLOCK) - load(x);
        pivot = load(x) + pivot / splat((float)first);
        for (int64_t begin = 0; begin < rows; begin += FNN_CHUNK) {
            const int64_t end = rows - begin < FNN_CHUNK ? rows : begin + FNN_CHUNK;
            vf s[CHAINS] = {(vf){0}}, q[CHAINS] = {(vf){0}};
            int64_t r = begin;
            for (; r + CHAINS <= end; r += CHAINS)
                for (int c = 0; c < CHAINS; c++) {
                    const vf d = load(x + (r + c) * BLOCK) - pivot;
                    s[c] += d;
                    q[c] += d * d;
                }
            for (int c = 0; r < end; r++, c++) {
                const vf d = load(x + r * BLOCK) - pivot;
                s[c] += d;
                q[c] += d * d;
            }
            sum += joined(s);
            squares += joined(q);
        }
        const vf offset = sum / n;
        const vf variance = squares / n - offset * offset;
        store(statistics + PIVOT * BLOCK, pivot);
        store(statistics + OFFSET * BLOCK, offset);
        /* a NaN must come out as one */
        store(statistics + VARIANCE * BLOCK, blend(variance < 0.0f, (vf){0}, variance));
        for (int i = 0; i < VL; i++)
            statistics[RSTD * BLOCK + i] = 1.0f / sqrtf(statistics[VARIANCE * BLOCK + i] + epsilon);
    }
}

/* y = (x - pivot) * scale + shift for x (rows, 16). */
static void scale_rows(int64_t rows, const float *pivot, const float *scale, const float *shift,
                       const float *x, float *y) {
    for (int v = 0; v < BV; v++, x += VL, y += VL) {
        const vf p = load(pivot + v * VL), a = load(scale + v * VL), b = load(shift + v * VL);
        for (int64_t r = 0; r < rows; r++) store(y + r * BLOCK, (load(x + r * BLOCK) - p) * a + b);
    }
}

/* sums (2, 16) [+]= sum of dz, sum of dz (x - pivot) over up to FNN_CHUNK rows. */
static void batch_sums(int64_t rows, int accumulate, const float *pivot, const float *x, const float *dz,
                       float *sums) {
    for (int v = 0; v < BV; v++, pivot += VL, x += VL, dz += VL, sums += VL) {
        const vf p = load(pivot);
        vf s[CHAINS] = {(vf){0}}, t[CHAINS] = {(vf){0}};
        int64_t r = 0;
        for (; r + CHAINS <= rows; r += CHAINS)
            for (int c = 0; c < CHAINS; c++) {
                const vf g = load(dz + (r + c) * BLOCK);
                s[c] += g;
                t[c] += g * (load(x + (r + c) * BLOCK) - p);
            }
        for (int c = 0; r < rows; r++, c++) {
            const vf g = load(dz + r * BLOCK);
            s[c] += g;
            t[c] += g * (load(x + r * BLOCK) - p);
        }
        store(sums, accumulate ? load(sums) + joined(s) : joined(s));
        store(sums + BLOCK, accumulate ? load(sums + BLOCK) + joined(t) : joined(t));
    }
}

/* dx [+]= scale ((dz - shift) - slope (x - pivot)); dx may be dz itself. */
static void batch_gradient(int64_t rows, int accumulate, const float *pivot, const float *scale,
                           const float *shift, const float *slope, const float *x, const float *dz,
                           float *dx) {
    for (int v = 0; v < BV; v++, x += VL, dz += VL, dx += VL) {
        const vf p = load(pivot + v * VL), a = load(scale + v * VL);
        const vf b = load(shift + v * VL), c = load(slope + v * VL);
        for (int64_t r = 0; r < rows; r++) {
            const vf g = a * ((load(dz + r * BLOCK) - b) - c * (load(x + r * BLOCK) - p));
            store(dx + r * BLOCK, accumulate ? load(dx + r * BLOCK) + g : g);
        }
    }
}

/* dx [+]= scale dz - shift - slope (x - pivot): where the features of a group have one mean, and a scale may
 * be 0. */
static void group_gradient(int64_t rows, int accumulate, const float *pivot, const float *scale,
                           const float *shift, const float *slope, const float *x, const float *dz,
                           float *dx) {
    for (int v = 0; v < BV; v++, x += VL, dz += VL, dx += VL) {
        const vf p = load(pivot + v * VL), a = load(scale + v * VL);
        const vf b = load(shift + v * VL), c = load(slope + v * VL);
        for (int64_t r = 0; r < rows; r++) {
            const vf g = (a * load(dz + r * BLOCK) - b) - c * (load(x + r * BLOCK) - p);
            store(dx + r * BLOCK, accumulate ? load(dx + r * BLOCK) + g : g);
        }
    }
}

/* Lines of the statistics of up to 16 rows (FNN_ROW_STATISTICS, 16): x_hat = (x - pivot) * rstd + shift. */
enum { ROW_PIVOT, ROW_RSTD, ROW_SHIFT };

static const float ones[BLOCK] __attribute__((aligned(64))) = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
static const float zeros[BLOCK] __attribute__((aligned(64)));

/* Lanes of a block that hold features: all but in the last block. */
INLINE void lanes_of(int64_t features, int64_t block, vi *mask) {
    int32_t lanes[BLOCK];
    for (int i = 0; i < BLOCK; i++) lanes[i] = block * BLOCK + i < features ? -1 : 0;
    memcpy(mask, lanes, sizeof lanes);
}

/* Always in the same order, whatever the vector. */
INLINE float sum_of_lanes(float *x) {
    for (int width = BLOCK / 2; width; width /= 2)
        for (int i = 0; i < width; i++) x[i] += x[i + width];
    return x[0];
}

/* Statistics of each of `rows` <= 16 rows of x over its features. */
static void row_statistics(int64_t rows, int64_t features, int64_t stride, float epsilon, const float *x,
                           float *statistics) {
    float sums[BLOCK][BLOCK] __attribute__((aligned(64))), squares[BLOCK][BLOCK] __attribute__((aligned(64)));
    vi mask[BV];
    const int64_t first = features < BLOCK ? features : BLOCK;
    for (int64_t r = 0; r < rows; r++) {
        const float *row = x + r * BLOCK;
        for (int i = 0; i < BLOCK; i++) sums[r][i] = i < first ? row[i] - row[0] : 0.0f;
        statistics[ROW_PIVOT * BLOCK + r] = row[0] + sum_of_lanes(sums[r]) / (float)first;
    }
    memset(sums, 0, sizeof sums);
    memset(squares, 0, sizeof squares);
    for (int64_t f = 0; f < features; f += BLOCK, x += stride) {
        lanes_of(features, f / BLOCK, mask);
        for (int64_t r = 0; r < rows; r++) {
            const vf pivot = splat(statistics[ROW_PIVOT * BLOCK + r]);
            for (int v = 0; v < BV; v++) {
                const vf d = blend(mask[v], load(x + r * BLOCK + v * VL) - pivot, (vf){0});
                store(&sums[r][v * VL], load(&sums[r][v * VL]) + d);
                store(&squares[r][v * VL], load(&squares[r][v * VL]) + d * d);
            }
        }
    }
    for (int64_t r = 0; r < rows; r++) {
        const float offset = sum_of_lanes(sums[r]) / (float)features;
        const float variance = sum_of_lanes(squares[r]) / (float)features - offset * offset;
        const float rstd = 1.0f / sqrtf((variance < 0.0f ? 0.0f : variance) + epsilon);
        statistics[ROW_RSTD * BLOCK + r] = rstd;
        statistics[ROW_SHIFT * BLOCK + r] = -offset * rstd;
    }
}

/* y = gamma * x_hat + beta for `rows` <= 16 rows; gamma and beta may be NULL. */
static void normalize_rows(int64_t rows, int64_t features, int64_t stride, const float *gamma,
                           const float *beta, const float *statistics, const float *x, float *y) {
    vi mask[BV];
    for (int64_t f = 0; f < features; f += BLOCK, x += stride, y += stride) {
        const float *g = gamma ? gamma + f : ones, *b = beta ? beta + f : zeros;
        lanes_of(features, f / BLOCK, mask);
        for (int64_t r = 0; r < rows; r++)
            for (int v = 0; v < BV; v++) {
                const vf d = load(x + r * BLOCK + v * VL) - statistics[ROW_PIVOT * BLOCK + r];
                const vf x_hat = d * statistics[ROW_RSTD * BLOCK + r] + statistics[ROW_SHIFT * BLOCK + r];
                store(y + r * BLOCK + v * VL,
                      blend(mask[v], x_hat * load(g + v * VL) + load(b + v * VL), (vf){0}));
            }
    }
}

/* dx [+]= rstd (g - mean(g) - x_hat mean(g x_hat)), g = gamma dz, for `rows` <= 16 rows. */
static void normalize_rows_backward(int64_t rows, int64_t features, int64_t stride, int accumulate,
                                    const float *gamma, const float *statistics, const float *x,
                                    const float *dz, float *dx) {
    float sums[BLOCK][BLOCK] __attribute__((aligned(64))) = {{0}};
    float products[BLOCK][BLOCK] __attribute__((aligned(64))) = {{0}};
    vi mask[BV];
    for (int64_t f = 0; f < features; f += BLOCK) {
        const float *xs = x + f / BLOCK * stride, *dzs = dz + f / BLOCK * stride;
        const float *weight = gamma ? gamma + f : ones;
        lanes_of(features, f / BLOCK, mask);
        for (int64_t r = 0; r < rows; r++)
            for (int v = 0; v < BV; v++) {
                const vf d = load(xs + r * BLOCK + v * VL) - statistics[ROW_PIVOT * BLOCK + r];
                const vf x_hat = d * statistics[ROW_RSTD * BLOCK + r] + statistics[ROW_SHIFT * BLOCK + r];
                const vf g = blend(mask[v], load(dzs + r * BLOCK + v * VL) * load(weight + v * VL), (vf){0});
                store(&sums[r][v * VL], load(&sums[r][v * VL]) + g);
                store(&products[r][v * VL], load(&products[r][v * VL]) + g * x_hat);
            }
    }
    float mean[BLOCK], slope[BLOCK];
    for (int64_t r = 0; r < rows; r++) {
        mean[r] = sum_of_lanes(sums[r]) / (float)features;
        slope[r] = sum_of_lanes(products[r]) / (float)features;
    }
    for (int64_t f = 0; f < features; f += BLOCK) {
        const float *xs = x + f / BLOCK * stride, *dzs = dz + f / BLOCK * stride;
        const float *weight = gamma ? gamma + f : ones;
        float *dxs = dx + f / BLOCK * stride;
        lanes_of(features, f / BLOCK, mask);
        for (int64_t r = 0; r < rows; r++) {
            const float rstd = statistics[ROW_RSTD * BLOCK + r];
            for (int v = 0; v < BV; v++) {
                const int64_t at = r * BLOCK + v * VL;
                const vf d = load(xs + at) - statistics[ROW_PIVOT * BLOCK + r];
                const vf x_hat = d * rstd + statistics[ROW_SHIFT * BLOCK + r];
                const vf g = (load(dzs + at) * load(weight + v * VL) - mean[r] - x_hat * slope[r]) * rstd;
                const vf kept = blend(mask[v], g, (vf){0});
                store(dxs + at, accumulate ? load(dxs + at) + kept : kept);
            }
        }
    }
}

/* sums (2, 16) [+]= sum of dz, sum of dz x_hat over up to FNN_CHUNK rows of a block; `statistics` begins
 * at the first of these rows, which is the first of 16. */
static void row_sums(int64_t rows, int accumulate, const float *statistics, const float *x,
                     const float *dz, float *sums) {
    for (int v = 0; v < BV; v++) {
        vf s = (vf){0}, t = (vf){0};
        for (int64_t r = 0; r < rows; r++) {
            const float *of_row = statistics + r / BLOCK * FNN_ROW_STATISTICS * BLOCK + r % BLOCK;
            const vf d = load(x + r * BLOCK + v * VL) - of_row[ROW_PIVOT * BLOCK];
            const vf g = load(dz + r * BLOCK + v * VL);
            s += g;
            t += g * (d * of_row[ROW_RSTD * BLOCK] + of_row[ROW_SHIFT * BLOCK]);
        }
        float *sum = sums + v * VL, *product = sums + BLOCK + v * VL;
        store(sum, accumulate ? load(sum) + s : s);
        store(product, accumulate ? load(product) + t : t);
    }
}
