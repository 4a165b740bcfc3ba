"""Norms of gradients x' dz that nobody computes, from x x' and dz dz', which are small where rows are few.

Design
- The traces of both matrices prove that the gradient is finite, and tell how many digits of its norm can be
  trusted. `guard` (gradients.pyx) stops the step where they are too few.
"""

from libc.math cimport sqrt
from libc.stdint cimport int64_t

from fastnn.kernels.csrc cimport FNN_BLOCK
from fastnn.kernels.gradients cimport NAN, SURELY_FINITE
from fastnn.kernels.op cimport ROW_UNIT, Op, Step, blocks_of, parts, smaller, take
from fastnn.kernels.operands cimport Center, ProductNormSums, ProductNorms
from fastnn.kernels.segments cimport block_of_segments

cdef enum:
    # Floats of a matrix x x' in scratch, and columns of x' at a time, which stay in the first-level cache.
    GRAM = 4096
    GRAM_CHUNK = 256

# Of |x|^2 |dz|^2, by the rows: six times float32's unit roundoff is the most seen in 300 products of 2 to 48 rows
# of 16 to 3000 numbers. This is more than twice that.
cdef double GRAM_ERROR = 16 * 2.0 ** -24


cdef void center(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """The mean of each column, exact but for float64's rounding; and the columns less their means, as
    `transpose` lays them: then the means kept are the float32 numbers that were taken off."""
    cdef const Center *o = <const Center *> &op.operands
    cdef const float *x = <const float *> o.t.x          # IN (rows, features)
    cdef double *means = <double *> o.t.means            # OUT (features,)
    cdef float *y_t = <float *> o.t.y_t                  # OUT (rows, features), transposed, or NULL
    cdef int64_t blocks = blocks_of(o.d.features), line = o.d.segments * FNN_BLOCK, j, r, q, k, c
    cdef const float *column
    cdef double sums[FNN_BLOCK]
    cdef float mean[FNN_BLOCK]
    cdef int turn = 0
    while True:
        j = take(step, blocks, i, n, &turn)
        if j < 0:
            break
        column = x + block_of_segments(j, o.d.segments, o.d.features, o.stride.x)
        for c in range(FNN_BLOCK):
            sums[c] = 0.0
        for r in range(step.rows):
            for c in range(FNN_BLOCK):
                sums[c] += column[r * line + c]
        for c in range(FNN_BLOCK):
            sums[c] /= step.rows
            mean[c] = <float> sums[c]
        for c in range(smaller(FNN_BLOCK, o.d.features - j * FNN_BLOCK)):
            means[j * FNN_BLOCK + c] = sums[c] if y_t == NULL else mean[c]
        if y_t == NULL:
            continue
        r = 0
        while r < step.rows:
            q = smaller(ROW_UNIT, step.rows - r)
            for k in range(q):
                for c in range(FNN_BLOCK):
                    step.scratch[k * FNN_BLOCK + c] = column[(r + k) * line + c] - mean[c]
            step.k.transpose(q, step.scratch, y_t + (r // ROW_UNIT * blocks + j) * FNN_BLOCK * FNN_BLOCK)
            r += ROW_UNIT


cdef void product_norms(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """Parts of |x' dz|^2, where x is x_t with its means m added again, and s the sum of dz over rows:

    |x' dz|^2 = sum of (x_t x_t')_rq (dz dz')_rq over rows r, q + 2 (x_t m)' (dz s) + |m|^2 |s|^2

    (Goodfellow 2015, arXiv:1510.01799, for x itself; but what the means have in common cancels where dz sums to
    0, as before a batch normalization, and would take the digits along.) And the traces of both matrices.

    A task is a block of 16 rows and those from there on, which count twice: x_t x_t' is symmetric.
    """
    cdef const ProductNorms *o = <const ProductNorms *> &op.operands
    cdef const float *x_t = <const float *> o.t.x_t      # IN (rows, inputs), transposed, centered
    cdef const double *x_means = <const double *> o.t.x_means  # IN (inputs,)
    cdef const float *dz_t = <const float *> o.t.dz_t    # IN (rows, units), transposed
    cdef const double *dz_means = <const double *> o.t.dz_means  # IN (units,)
    cdef double *out = <double *> o.t.parts              # OUT (blocks of rows, 4)
    cdef int64_t blocks = parts(step.rows, ROW_UNIT), task, b, r, q, rows
    cdef float *g
    cdef float *h
    cdef double product, of_kernel, cross, of_x, of_dz
    cdef double x_m[FNN_BLOCK]
    cdef double dz_s[FNN_BLOCK]
    cdef int turn = 0
    while True:
        task = take(step, blocks, i, n, &turn)
        if task < 0:
            break
        gram_rows(step, task, blocks, o.d.inputs, x_t, step.scratch)
        gram_rows(step, task, blocks, o.d.units, dz_t, step.scratch + GRAM)
        times_means(task, o.d.inputs, x_t, x_means, x_m)
        times_means(task, o.d.units, dz_t, dz_means, dz_s)
        of_kernel = cross = of_x = of_dz = 0.0
        rows = smaller(ROW_UNIT, step.rows - task * ROW_UNIT)
        for b in range(task, blocks):
            product = 0.0
            for r in range(rows):
                g = step.scratch + ((b - task) * ROW_UNIT + r) * FNN_BLOCK
                h = g + GRAM
                for q in range(smaller(ROW_UNIT, step.rows - b * ROW_UNIT)):
                    product += <double> g[q] * h[q]
            of_kernel += product if b == task else 2.0 * product
        for r in range(rows):
            cross += x_m[r] * dz_s[r]
            of_x += step.scratch[r * FNN_BLOCK + r]
            of_dz += step.scratch[GRAM + r * FNN_BLOCK + r]
        out[4 * task] = of_kernel
        out[4 * task + 1] = cross
        out[4 * task + 2] = of_x
        out[4 * task + 3] = of_dz


cdef void gram_rows(const Step *step, int64_t task, int64_t blocks, int64_t features, const float *x_t,
                    float *tile) noexcept nogil:
    """Rows `task` * 16 to + 16 of x x', from that column on: in blocks of 16 columns (16, 16)."""
    cdef int64_t block = blocks_of(features) * FNN_BLOCK * ROW_UNIT, k = 0
    cdef const float *part
    while k < features:
        part = x_t + task * block + k * ROW_UNIT
        step.k.product_transposed(ROW_UNIT, blocks - task, smaller(GRAM_CHUNK, features - k), part, 0, FNN_BLOCK,
                                  part, block, tile, ROW_UNIT * FNN_BLOCK, k > 0)
        k += GRAM_CHUNK


cdef void times_means(int64_t task, int64_t features, const float *x_t, const double *means,
                      double *products) noexcept nogil:
    """x times the means, of the 16 rows of a task."""
    cdef const float *rows = x_t + task * blocks_of(features) * FNN_BLOCK * ROW_UNIT
    cdef int64_t k, r
    for r in range(ROW_UNIT):
        products[r] = 0.0
    for k in range(features):
        for r in range(ROW_UNIT):
            products[r] += rows[k * ROW_UNIT + r] * means[k]


cdef void product_norm_sums(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """Both squared norms, and by how much the first may be off; NaN unless all numbers of both gradients
    are surely finite. By one member.

    By Cauchy and Schwarz, no number is larger than the root of the product of the traces.
    """
    cdef const ProductNormSums *o = <const ProductNormSums *> &op.operands
    cdef const double *x_means = <const double *> o.t.x_means  # IN (inputs,)
    cdef const double *dz_means = <const double *> o.t.dz_means  # IN (units,)
    cdef const double *found = <const double *> o.t.parts  # IN (blocks of rows, 4)
    cdef double *kernel_norm = <double *> o.t.kernel_norm  # OUT
    cdef double *bias_norm = <double *> o.t.bias_norm    # OUT or NULL
    cdef double *error = <double *> o.t.error            # OUT
    cdef double of_kernel = 0.0, cross = 0.0, of_x = 0.0, of_dz = 0.0, mm = 0.0, ss = 0.0, whole_x
    cdef int64_t task, k
    if i != o.d.number % n:
        return
    for k in range(o.d.inputs):
        mm += x_means[k] * x_means[k]
    for k in range(o.d.units):
        ss += dz_means[k] * dz_means[k]
    ss *= <double> step.rows * step.rows
    for task in range(parts(step.rows, ROW_UNIT)):
        of_kernel += found[4 * task]
        cross += found[4 * task + 1]
        of_x += found[4 * task + 2]
        of_dz += found[4 * task + 3]
    of_kernel += 2.0 * step.rows * cross + mm * ss
    whole_x = of_x + step.rows * mm
    # Not less than the rows: the sum of dz is a product with ones. NaN stays NaN.
    if not (step.rows if whole_x < step.rows else whole_x) * of_dz < SURELY_FINITE * SURELY_FINITE:
        of_kernel = ss = NAN
    # A norm that is about 0 may come out below it.
    kernel_norm[0] = 0.0 if of_kernel < 0 else of_kernel
    if bias_norm != NULL:
        bias_norm[0] = ss
    error[0] = GRAM_ERROR * (of_x * of_dz / step.rows + sqrt(mm * ss * of_x * of_dz))


KERNELS = {
    "center": <size_t> &center,
    "product_norms": <size_t> &product_norms,
    "product_norm_sums": <size_t> &product_norm_sums,
}
