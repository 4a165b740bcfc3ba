/* Counter-based random numbers, and the noise made of them.
 *
 * Philox4x32 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011) with 7 rounds, the
 * fewest that pass BigCrush. The key is a layer's seed, the counter of an element of a matrix
 *     column, row / 4, step modulo 2^32, 2^16 stream + step / 2^32
 * and the four words that come of it belong to rows 4 (row / 4) + 0 .. 3. So four rows of a block are 16
 * counters side by side, and a number depends on nothing but its place: not on the team, nor on how a
 * matrix is cut, as long as it is cut between fours of rows. */

enum { PHILOX_ROUNDS = 7, FOUR = 4 };
#define PHILOX_M0 0xD2511F53u
#define PHILOX_M1 0xCD9E8D57u
#define PHILOX_W0 0x9E3779B9u
#define PHILOX_W1 0xBB67AE85u

INLINE uint32_t high_word(uint64_t product) { return (uint32_t)(product >> 32); }

/* The low word of `product` = a * m. Where there is a vector multiplication of 32 bits, that is cheaper
 * than to bring the halves of 64-bit products together. */
INLINE uint32_t low_word(uint64_t product, uint32_t a, uint32_t m) {
#if defined(FNN_AVX2)
    (void)product;
    return a * m;
#else
    (void)a, (void)m;
    return (uint32_t)product;
#endif
}

/* The first three rounds for 16 columns, as far as they are the same for all rows: of the counter's four
 * words only the first differs between columns, only the second between rows, and it takes three rounds
 * until each depends on both. */
typedef struct {
    uint32_t high_1[BLOCK], high_2[BLOCK], low_0[BLOCK], low_3[BLOCK];
    uint32_t row_word, key_0, key_1;
} philox_columns;

INLINE void philox_start(const fnn_noise *noise, int64_t column, philox_columns *out) {
    const uint32_t k0 = (uint32_t)noise->key, k1 = (uint32_t)(noise->key >> 32);
    const uint32_t c2 = (uint32_t)noise->step;
    const uint32_t c3 = noise->stream << 16 | ((uint32_t)(noise->step >> 32) & 0xFFFF);
    const uint64_t p = (uint64_t)PHILOX_M1 * c2;
    out->row_word = high_word(p) ^ k0;
    for (int i = 0; i < BLOCK; i++) {
        const uint64_t p0 = (uint64_t)PHILOX_M0 * ((uint32_t)column + (uint32_t)i);
        const uint64_t p1 = (uint64_t)PHILOX_M1 * (high_word(p0) ^ c3 ^ k1);
        const uint64_t p2 = (uint64_t)PHILOX_M0 * (high_word(p1) ^ (uint32_t)p ^ (k0 + PHILOX_W0));
        out->low_0[i] = (uint32_t)p0 ^ (k1 + PHILOX_W1);
        out->high_1[i] = (uint32_t)p1 ^ (k0 + 2 * PHILOX_W0);
        out->high_2[i] = high_word(p2) ^ (k1 + 2 * PHILOX_W1);
        out->low_3[i] = (uint32_t)p2;
    }
    out->key_0 = k0 + 3 * PHILOX_W0;
    out->key_1 = k1 + 3 * PHILOX_W1;
}

/* words (4, 16) of rows 4 quad .. 4 quad + 3 */
INLINE void philox_rows(const philox_columns *columns, uint32_t quad, uint32_t *restrict words) {
    const uint64_t p = (uint64_t)PHILOX_M0 * (columns->row_word ^ quad);
    const uint32_t high = high_word(p), low = (uint32_t)p;
    for (int i = 0; i < BLOCK; i++) {
        uint32_t c2 = high ^ columns->low_0[i];
        uint64_t p1 = (uint64_t)PHILOX_M1 * c2;
        uint32_t c0 = high_word(p1) ^ columns->high_1[i], c1 = low_word(p1, c2, PHILOX_M1);
        uint32_t c3 = columns->low_3[i], k0 = columns->key_0, k1 = columns->key_1;
        c2 = columns->high_2[i] ^ low;
        for (int round = 3; round < PHILOX_ROUNDS; round++) {
            const uint64_t p0 = (uint64_t)PHILOX_M0 * c0;
            p1 = (uint64_t)PHILOX_M1 * c2;
            const uint32_t l0 = low_word(p0, c0, PHILOX_M0), l1 = low_word(p1, c2, PHILOX_M1);
            c0 = high_word(p1) ^ c1 ^ k0;
            c2 = high_word(p0) ^ c3 ^ k1;
            c1 = l1;
            c3 = l0;
            k0 += PHILOX_W0;
            k1 += PHILOX_W1;
        }
        words[i] = c0;
        words[BLOCK + i] = c1;
        words[2 * BLOCK + i] = c2;
        words[3 * BLOCK + i] = c3;
    }
}

/* words (16,) of the first 16 columns of one row */
static void draw(const fnn_noise *noise, int64_t row, uint32_t *words) {
    uint32_t four[FOUR * BLOCK] __attribute__((aligned(64)));
    philox_columns columns;
    philox_start(noise, 0, &columns);
    row += noise->row;
    philox_rows(&columns, (uint32_t)(row / FOUR), four);
    memcpy(words, four + row % FOUR * BLOCK, BLOCK * sizeof *words);
}

/* y = scale x where the word is at least the threshold, else 0, or `mark`: -0, which no other number of
 * y is then. y may be x. */
INLINE void drop_rows(const int mark, const fnn_noise *noise, int64_t rows, int64_t row, int64_t column,
                      const float *x, float *y) {
    /* vectors compare signed numbers only */
    const vi least = splat_i((int32_t)(noise->threshold ^ 0x80000000u));
    const vf scale = splat(noise->scale);
    uint32_t words[FOUR * BLOCK] __attribute__((aligned(64)));
    philox_columns columns;
    philox_start(noise, column, &columns);
    for (int64_t r = 0; r < rows; r += FOUR, x += FOUR * BLOCK, y += FOUR * BLOCK) {
        const int64_t n = (rows - r < FOUR ? rows - r : FOUR) * BLOCK;
        philox_rows(&columns, (uint32_t)((noise->row + row + r) / FOUR), words);
        for (int64_t i = 0; i < n; i += VL) {
            vi word;
            memcpy(&word, words + i, sizeof word);
            const vi kept = (word ^ INT32_MIN) >= least;
            if (mark) /* -0 + 0 is 0 */
                store(y + i, blend(kept, scale * load(x + i) + 0.0f, splat(-0.0f)));
            else
                store(y + i, from_bits(bits(scale * load(x + i)) & kept));
        }
    }
}

static void drop(const fnn_noise *noise, int64_t rows, int64_t row, int64_t column, const float *x, float *y) {
    drop_rows(0, noise, rows, row, column, x, y);
}

static void drop_marked(const fnn_noise *noise, int64_t rows, int64_t row, int64_t column, const float *x,
                        float *y) {
    drop_rows(1, noise, rows, row, column, x, y);
}

/* g = scale g, but 0 where `dropped` is marked. */
static void drop_gradient(int64_t n, float scale, const float *dropped, float *g) {
    for (int64_t i = 0; i < n; i++)
        g[i] = bits_of_float(dropped[i]) == INT32_MIN ? 0.0f : scale * g[i];
}

/* Two standard normal numbers of two words, by Box and Muller's method ("A note on the generation of random
 * normal deviates", 1958): radius sqrt(-2 log u), angle 2 pi v. u has 31 bits, so that the radius goes up to
 * 6.6; the angle's quarter is taken from its bits, and the rest of it is within the range of Cephes's
 * polynomials (S. L. Moshier, 1992) for sine and cosine. */
SCALAR void normal_pair(uint32_t a, uint32_t b, float *first, float *second) {
    const float u = ((float)(int32_t)(a >> 1) + 0.5f) * 0x1p-31f;
    const float radius = sqrtf(-2.0f * log_(u));
    const uint32_t quarter = (b + 0x20000000u) >> 30;
    const float t = (float)(int32_t)(b - (quarter << 30)) * (1.57079632679f * 0x1p-30f);
    const float z = t * t;
    const float sine = ((-1.9515295891e-4f * z + 8.3321608736e-3f) * z - 1.6666654611e-1f) * z * t + t;
    const float cosine = ((2.443315711809948e-5f * z - 1.388731625493765e-3f) * z + 4.166664568298827e-2f) * z * z -
                         0.5f * z + 1.0f;
    const float x = quarter & 1 ? sine : cosine, y = quarter & 1 ? cosine : sine;
    *first = radius * float_of_bits((int32_t)((uint32_t)bits_of_float(x) ^ ((quarter + 1) >> 1 << 31)));
    *second = radius * float_of_bits((int32_t)((uint32_t)bits_of_float(y) ^ (quarter >> 1 << 31)));
}

/* y = x + scale * a standard normal number, in the first `columns` of the block's 16. */
static void add_normal(const fnn_noise *noise, int64_t rows, int64_t row, int64_t column, int64_t columns,
                       const float *x, float *y) {
    uint32_t words[FOUR * BLOCK] __attribute__((aligned(64)));
    float normal[FOUR * BLOCK] __attribute__((aligned(64)));
    float scale[BLOCK] __attribute__((aligned(64)));
    philox_columns start;
    philox_start(noise, column, &start);
    /* the padding stays as it is */
    for (int i = 0; i < BLOCK; i++) scale[i] = i < columns ? noise->scale : 0.0f;
    for (int64_t r = 0; r < rows; r += FOUR, x += FOUR * BLOCK, y += FOUR * BLOCK) {
        const int64_t n = rows - r < FOUR ? rows - r : FOUR;
        philox_rows(&start, (uint32_t)((noise->row + row + r) / FOUR), words);
        for (int half = 0; half < FOUR * BLOCK; half += 2 * BLOCK)
            for (int i = 0; i < BLOCK; i++)
                normal_pair(words[half + i], words[half + BLOCK + i], normal + half + i,
                            normal + half + BLOCK + i);
        for (int64_t q = 0; q < n; q++)
            for (int v = 0; v < BV; v++) {
                const int64_t at = q * BLOCK + v * VL;
                store(y + at, load(x + at) + load(scale + v * VL) * load(normal + at));
            }
    }
}

/* y (rows, 16) = factors x, and 0 where the factor is, whatever x is. */
static void drop_columns(int64_t rows, const float *factors, const float *x, float *y) {
    for (int v = 0; v < BV; v++) {
        const vf factor = load(factors + v * VL);
        const vi kept = factor != 0.0f;
        for (int64_t at = v * VL; at < rows * BLOCK; at += BLOCK)
            store(y + at, from_bits(bits(factor * load(x + at)) & kept));
    }
}

/* Expectations over a normal distribution, of mean and of ratio * variance. */

static void square(int64_t n, const float *x, float *y) {
    for (int64_t i = 0; i < n; i++) y[i] = x[i] * x[i];
}

static void deviation(int64_t n, float ratio, const float *variance, float *y) {
    for (int64_t i = 0; i < n; i++) y[i] = sqrtf(ratio * variance[i]);
}

/* Of x where positive, slope x elsewhere: slope m + (1 - slope) (m P(x > 0) + s density(m / s)). */
static void leaky_relu_expectation(int64_t n, float slope, const float *mean, const float *deviation,
                                   float *y) {
    for (int64_t i = 0; i < n; i++) {
        const float m = mean[i], s = deviation[i];
        const float t = m / (s > 1e-30f ? s : 1e-30f);
        const float relu = m * normal_cdf_(t) + s * (0.3989422804f * exp_(-0.5f * t * t));
        y[i] = slope * m + (1.0f - slope) * (relu < 0.0f ? 0.0f : relu);
    }
}
