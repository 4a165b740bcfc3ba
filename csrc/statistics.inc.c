/* Figures of gradients, weights and activations for a person to read; all sums in float64, since the
 * squares of a gradient that vanishes are no float32. */

/* Of n numbers, a multiple of 16. A sum of squares with an infinity or NaN is not finite. */
static void summarize(int64_t n, const float *x, fnn_summary *summary) {
    double squares[BLOCK] = {0.0};
    for (int64_t i = 0; i < n; i += BLOCK)
        for (int c = 0; c < BLOCK; c++) squares[c] += (double)x[i + c] * x[i + c];
    double total = 0.0;
    for (int c = 0; c < BLOCK; c++) total += squares[c];
    const float largest = float_of_bits(magnitude(n, x));
    int64_t nonfinite = 0;
    if (!(largest <= FLT_MAX))
        for (int64_t i = 0; i < n; i++) nonfinite += !(fabsf(x[i]) <= FLT_MAX);
    summary->squares = total;
    summary->largest = largest;
    summary->nonfinite = (double)nonfinite;
}

/* A unit is saturated that is so in this share of the rows: at the edges of pictures padding spares some. */
#define NEARLY_ALL 0.95

/* Of a block of activations y (rows, 16), of which the first `columns` are units. nonzero (16,): whether a
 * unit was anything but 0. Deviations are taken from the first row, so that a large mean costs no digits. */
static void summarize_activations(int64_t rows, int columns, float low, float high, const float *y,
                                  fnn_activation_summary *summary, int32_t *nonzero) {
    double sums[BLOCK] = {0.0}, squares[BLOCK] = {0.0};
    int32_t zeros[BLOCK] = {0}, saturated[BLOCK] = {0}, nonfinite[BLOCK] = {0};
    for (int64_t r = 0; r < rows; r++) {
        const float *row = y + r * BLOCK;
        for (int c = 0; c < BLOCK; c++) {
            const double deviation = (double)row[c] - y[c];
            sums[c] += deviation;
            squares[c] += deviation * deviation;
        }
        for (int c = 0; c < BLOCK; c++) {
            zeros[c] += row[c] == 0.0f;
            saturated[c] += (row[c] <= low) | (row[c] >= high);
            nonfinite[c] += !(fabsf(row[c]) <= FLT_MAX);
        }
    }
    double mean = 0.0, spread = 0.0;
    for (int c = 0; c < BLOCK; c++) nonzero[c] = zeros[c] < rows;
    for (int c = 0; c < columns; c++) mean += (y[c] + sums[c] / rows) / columns;
    *summary = (fnn_activation_summary){.count = (double)rows * columns, .mean = mean};
    for (int c = 0; c < columns; c++) {
        const double distance = y[c] + sums[c] / rows - mean;
        spread += squares[c] - sums[c] * sums[c] / rows + rows * distance * distance;
        summary->zeros += zeros[c];
        summary->saturated += saturated[c];
        summary->nonfinite += nonfinite[c];
        summary->saturated_units += saturated[c] >= NEARLY_ALL * rows;
    }
    summary->squares = spread;
}
