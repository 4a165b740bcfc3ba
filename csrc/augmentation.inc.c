/* Pictures read at other places than they were written: what turns, moves and zooms them.
 *
 * As scipy.ndimage.map_coordinates of order 0 and 1 does it (and JAX's, which Keras calls): a place between
 * pixels takes the nearest, or the weighted sum of four. Places are float64: near an edge between two pixels it
 * would otherwise be the length of a multiply-add that decides. */

/* The pixel that i stands for, which lies beyond the edges of n; -1 if it is filled. */
static int64_t pixel_beyond(int64_t i, int64_t n, int fill) {
    switch (fill) {
    case FNN_FILL_NEAREST: return i < 0 ? 0 : n - 1;
    case FNN_FILL_WRAP: return (i % n + n) % n;
    case FNN_FILL_REFLECT: /* d c b a | a b c d | d c b a */
        i = (i % (2 * n) + 2 * n) % (2 * n);
        return i < n ? i : 2 * n - 1 - i;
    default: return -1;
    }
}

INLINE int64_t pixel_at(int64_t i, int64_t n, int fill) {
    return (uint64_t)i < (uint64_t)n ? i : pixel_beyond(i, n, fill);
}

/* Halves away from zero. */
INLINE int64_t rounded(double x) {
    const int64_t i = (int64_t)x;
    const double rest = x - (double)i;
    return i + (rest >= 0.5) - (rest <= -0.5);
}

INLINE int64_t floored(double x) {
    const int64_t i = (int64_t)x;
    return i - (x < (double)i);
}

/* y (channels,) = the pixel nearest to the place (row, column) of x */
INLINE void take_nearest(const fnn_warp *warp, int64_t channels, double row, double column, const float *x,
                         float *y) {
    const int64_t r = pixel_at(rounded(row), warp->height, warp->fill);
    const int64_t c = pixel_at(rounded(column), warp->width, warp->fill);
    if (r < 0 || c < 0)
        for (int64_t i = 0; i < channels; i++) y[i] = warp->fill_value;
    else
        memcpy(y, x + (r * warp->width + c) * channels, sizeof(float) * (size_t)channels);
}

/* y (channels,) = the mean of the four around the place, each with the area opposite to it */
INLINE void take_bilinear(const fnn_warp *warp, int64_t channels, double row, double column, const float *x,
                          float *y) {
    const int64_t r0 = floored(row), c0 = floored(column);
    const float lower = (float)(row - (double)r0), right = (float)(column - (double)c0);
    const float upper = 1.0f - lower, left = 1.0f - right;
    const float weight[4] = {upper * left, upper * right, lower * left, lower * right};
    if (r0 >= 0 && c0 >= 0 && r0 + 1 < warp->height && c0 + 1 < warp->width) {
        const float *a = x + (r0 * warp->width + c0) * channels, *b = a + warp->width * channels;
        for (int64_t i = 0; i < channels; i++)
            y[i] = weight[0] * a[i] + weight[1] * a[channels + i] + weight[2] * b[i] + weight[3] * b[channels + i];
        return;
    }
    for (int64_t i = 0; i < channels; i++) y[i] = 0.0f;
    for (int corner = 0; corner < 4; corner++) {
        const int64_t r = pixel_at(r0 + corner / 2, warp->height, warp->fill);
        const int64_t c = pixel_at(c0 + corner % 2, warp->width, warp->fill);
        for (int64_t i = 0; i < channels; i++)
            y[i] += weight[corner] *
                    (r < 0 || c < 0 ? warp->fill_value : x[(r * warp->width + c) * channels + i]);
    }
}

INLINE void warp_picture(const int bilinear, const fnn_warp *warp, const int64_t channels, const float *x, float *y) {
    for (int64_t h = 0; h < warp->height; h++) {
        const double row = warp->of[0][0] * (double)h + warp->of[0][2];
        const double column = warp->of[1][0] * (double)h + warp->of[1][2];
        for (int64_t w = 0; w < warp->width; w++, y += channels)
            if (bilinear)
                take_bilinear(warp, channels, row + warp->of[0][1] * (double)w,
                              column + warp->of[1][1] * (double)w, x, y);
            else
                take_nearest(warp, channels, row + warp->of[0][1] * (double)w,
                             column + warp->of[1][1] * (double)w, x, y);
    }
}

/* Pictures have one channel or three. */
#define WARP(name, bilinear)                                                    \
    static void name(const fnn_warp *warp, const float *x, float *y) {          \
        switch (warp->channels) {                                               \
        case 1: warp_picture(bilinear, warp, 1, x, y); break;                   \
        case 3: warp_picture(bilinear, warp, 3, x, y); break;                   \
        default: warp_picture(bilinear, warp, warp->channels, x, y);            \
        }                                                                       \
    }

WARP(warp_nearest, 0)
WARP(warp_bilinear, 1)
