/* Two tensors into one, number by number. */

static void multiply(int64_t n, const float *x, const float *y, float *z) {
    for (int64_t i = 0; i < n; i++) z[i] = x[i] * y[i];
}

/* A NaN comes through. */
static void maximum(int64_t n, const float *x, const float *y, float *z) {
    for (int64_t i = 0; i < n; i++) z[i] = ((x[i] >= y[i]) | (x[i] != x[i])) ? x[i] : y[i];
}

static void minimum(int64_t n, const float *x, const float *y, float *z) {
    for (int64_t i = 0; i < n; i++) z[i] = ((x[i] <= y[i]) | (x[i] != x[i])) ? x[i] : y[i];
}

/* dx = dz where x was taken for z, half of it where the other was as large, else 0. */
static void extremum_backward(int64_t n, const float *x, const float *other, const float *z, const float *dz,
                              float *dx) {
    for (int64_t i = 0; i < n; i++) {
        const float share = other[i] == z[i] ? 0.5f * dz[i] : dz[i];
        dx[i] = x[i] == z[i] ? share : 0.0f;
    }
}
