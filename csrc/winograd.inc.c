/* Windows of 3 x 3 at stride 1 by Winograd's F(2 x 2, 3 x 3) (Lavin & Gray 2016, "Fast algorithms for
 * convolutional neural networks", arXiv:1509.09308): a tile of 2 x 2 outputs is A' [(G g G') * (B' d B)] A, for the
 * 4 x 4 inputs d and the kernel g: 16 multiplications instead of 36.
 *
 * Design
 * - Of many tiles, the products for one of the 16 points are a matrix product over channels: `product` of
 *   tiles.inc.c. Transforms go over lines of 16 channels, so that nothing is ever shuffled.
 * - The gradient of the kernel is that form with two of its parts exchanged: G' [(A dz A') * (B' d B)] G for the 2 x 2
 *   gradients dz of a tile, of which the products for a point are a sum over tiles: `product_transposed`. The transform
 *   back stands outside of the sum.
 * - The order of operations is the same for each tile, whatever its neighbours are.
 * - The sums over channels are a ninth as long as those of the direct product, so the error is smaller, although
 *   transforms add some of their own: of standard-normal numbers 0.6 to 0.8 times the direct product's, as root mean
 *   square, for 16 to 256 channels (tests/kernels/test_winograd.py).
 */

enum { POINTS = 16 };

/* v (points, blocks, tiles, 16) = B' d B, of the 4 x 4 lines of each tile, NULL outside the picture. */
static void winograd_input(int64_t tiles, int64_t blocks, const float *const *lines, int64_t x_block, float *v,
                           int64_t v_point, int64_t v_block) {
    for (int64_t r = 0; r < tiles; r++, lines += POINTS)
        for (int64_t b = 0; b < blocks; b++)
            for (int h = 0; h < BLOCK; h += VL) {
                vf d[4][4], t[4][4];
                for (int i = 0; i < POINTS; i++) {
                    const float *line = lines[i] ? lines[i] + b * x_block : no_line;
                    d[i / 4][i % 4] = load(line + h);
                }
                for (int j = 0; j < 4; j++) {
                    t[0][j] = d[0][j] - d[2][j];
                    t[1][j] = d[1][j] + d[2][j];
                    t[2][j] = d[2][j] - d[1][j];
                    t[3][j] = d[1][j] - d[3][j];
                }
                float *out = v + b * v_block + r * BLOCK + h;
                for (int i = 0; i < 4; i++) {
                    store(out + (4 * i + 0) * v_point, t[i][0] - t[i][2]);
                    store(out + (4 * i + 1) * v_point, t[i][1] + t[i][2]);
                    store(out + (4 * i + 2) * v_point, t[i][2] - t[i][1]);
                    store(out + (4 * i + 3) * v_point, t[i][1] - t[i][3]);
                }
            }
}

/* y [+]= A' m A + bias, for m (points, tiles, 16): the 2 x 2 lines of each tile, y_offset after where `lines` says,
 * NULL outside the picture. bias: NULL for none. */
static void winograd_output(int64_t tiles, const float *m, int64_t m_point, const float *bias, int accumulate,
                            float *const *lines, int64_t y_offset) {
    for (int64_t r = 0; r < tiles; r++, lines += 4, m += BLOCK)
        for (int h = 0; h < BLOCK; h += VL) {
            vf t[2][4];
            const vf b = bias ? load(bias + h) : (vf){0};
            for (int j = 0; j < 4; j++) {
                const float *at = m + j * m_point + h;
                const vf m0 = load(at), m1 = load(at + 4 * m_point);
                const vf m2 = load(at + 8 * m_point), m3 = load(at + 12 * m_point);
                t[0][j] = m0 + m1 + m2;
                t[1][j] = m1 - m2 - m3;
            }
            for (int i = 0; i < 2; i++) {
                const vf y[2] = {t[i][0] + t[i][1] + t[i][2] + b, t[i][1] - t[i][2] - t[i][3] + b};
                for (int j = 0; j < 2; j++) {
                    if (!lines[2 * i + j]) continue;
                    float *out = lines[2 * i + j] + y_offset + h;
                    store(out, accumulate ? load(out) + y[j] : y[j]);
                }
            }
        }
}

/* u (points, rows, 16) = G g G', of some rows of a block of the kernel; those of the next tap are `tap` floats on. */
static void winograd_kernel(int64_t rows, const float *kernel, int64_t tap, float *u, int64_t u_point) {
    for (int64_t k = 0; k < rows * BLOCK; k += VL) {
        vf t[4][3];
        for (int j = 0; j < 3; j++) {
            const vf g0 = load(kernel + j * tap + k), g1 = load(kernel + (3 + j) * tap + k);
            const vf g2 = load(kernel + (6 + j) * tap + k);
            t[0][j] = g0;
            t[1][j] = 0.5f * (g0 + g1 + g2);
            t[2][j] = 0.5f * (g0 - g1 + g2);
            t[3][j] = g2;
        }
        for (int i = 0; i < 4; i++) {
            store(u + (4 * i + 0) * u_point + k, t[i][0]);
            store(u + (4 * i + 1) * u_point + k, 0.5f * (t[i][0] + t[i][1] + t[i][2]));
            store(u + (4 * i + 2) * u_point + k, 0.5f * (t[i][0] - t[i][1] + t[i][2]));
            store(u + (4 * i + 3) * u_point + k, t[i][2]);
        }
    }
}

/* d (points, tiles, 16) = A dz A', of the 2 x 2 lines of each tile, dz_offset after where `lines` says, NULL outside the
 * picture. */
static void winograd_output_gradient(int64_t tiles, const float *const *lines, int64_t dz_offset, float *d,
                                     int64_t d_point) {
    for (int64_t r = 0; r < tiles; r++, lines += 4, d += BLOCK)
        for (int h = 0; h < BLOCK; h += VL) {
            vf dz[4], t[4][2];
            for (int i = 0; i < 4; i++) dz[i] = load((lines[i] ? lines[i] + dz_offset : no_line) + h);
            for (int j = 0; j < 2; j++) {
                t[0][j] = dz[j];
                t[1][j] = dz[j] + dz[2 + j];
                t[2][j] = dz[j] - dz[2 + j];
                t[3][j] = -dz[2 + j];
            }
            for (int i = 0; i < 4; i++) {
                float *out = d + 4 * i * d_point + h;
                store(out, t[i][0]);
                store(out + d_point, t[i][0] + t[i][1]);
                store(out + 2 * d_point, t[i][0] - t[i][1]);
                store(out + 3 * d_point, -t[i][1]);
            }
        }
}

/* The gradient G' u G of some rows of a block of the kernel, for u (points, rows, 16); the rows of the next tap are `tap`
 * floats on. */
static void winograd_kernel_gradient(int64_t rows, const float *u, int64_t u_point, float *kernel, int64_t tap) {
    for (int64_t k = 0; k < rows * BLOCK; k += VL) {
        vf t[3][4];
        for (int j = 0; j < 4; j++) {
            const float *at = u + j * u_point + k;
            const vf u1 = load(at + 4 * u_point), u2 = load(at + 8 * u_point);
            t[0][j] = load(at) + 0.5f * (u1 + u2);
            t[1][j] = 0.5f * (u1 - u2);
            t[2][j] = 0.5f * (u1 + u2) + load(at + 12 * u_point);
        }
        for (int i = 0; i < 3; i++) {
            store(kernel + 3 * i * tap + k, t[i][0] + 0.5f * (t[i][1] + t[i][2]));
            store(kernel + (3 * i + 1) * tap + k, 0.5f * (t[i][1] - t[i][2]));
            store(kernel + (3 * i + 2) * tap + k, 0.5f * (t[i][1] + t[i][2]) + t[i][3]);
        }
    }
}

/* Has what `winograd_input` and `winograd_output_gradient` will read brought into the cache: of each tile the lines in the
 * middle, which are all that there are but those at the edge of a picture. */
static void winograd_prefetch(int64_t tiles, const float *const *x_lines, int64_t x_blocks, int64_t x_block,
                              const float *const *dz_lines, int64_t dz_blocks, int64_t dz_block) {
    static const int middle[4] = {5, 6, 9, 10};
    for (int64_t r = 0; r < tiles; r++, x_lines += POINTS, dz_lines += 4)
        for (int i = 0; i < 4; i++) {
            const float *x = x_lines[middle[i]], *dz = dz_lines[i];
            for (int64_t b = 0; x && b < x_blocks; b++) __builtin_prefetch(x + b * x_block, 0, 2);
            for (int64_t b = 0; dz && b < dz_blocks; b++) __builtin_prefetch(dz + b * dz_block, 0, 2);
        }
}
