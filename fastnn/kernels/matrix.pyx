"""Matrices packed as weights are, for Muon: its momentum, the Newton-Schulz steps, its update.

Design
- A matrix (rows, columns) lies in blocks of 16 columns (`layout.py`), which is also how a batch of
  activations lies. So the register tiles multiply it as it is: x'x as the gradient of a weight, x p as the
  forward product.
- A symmetric matrix of n columns is kept as (n16, n16), n16 the next multiple of 16, its padding zero: the
  tiles on one side of the diagonal are computed whole, and turned round into the other side. Both sides
  have the same bits as if computed, for the products commute.
- The last row of the storage, there where `rows` is even, is neither read nor written.
- Squares are summed column by column of a strip, and from there on in float64: by every member, in order.
"""

from libc.math cimport sqrt
from libc.stdint cimport int64_t
from libc.string cimport memcpy

from fastnn.kernels.csrc cimport FNN_BLOCK, FNN_CHUNK
from fastnn.kernels.op cimport Op, Step, blocks_of, blocks_of_task, parts, smaller, take
from fastnn.kernels.operands cimport Gram, MatrixProduct, MuonMomentum, MuonNormalize, MuonUpdate, TransposeMatrix

cdef enum:
    # As in dense.pyx: what stays in the first- and second-level cache while a product goes on.
    PRODUCT_CHUNK = 256
    ROW_PANEL = 96
    # Rows of a block in one task of a loop over elements, and in one chain of squares.
    STRIP = 128
    # A tile of the symmetric product: so many blocks by so many.
    GROUP = 4
    GROUP_ROWS = 64


cdef inline int64_t packed_block(int64_t rows) noexcept nogil:
    """Floats from block to block of a packed matrix."""
    return (rows | 1) * FNN_BLOCK


cdef inline bint take_strip(int64_t rows, int64_t columns, const Step *step, int i, int n, int *turn, int64_t *task,
                            int64_t *at, int64_t *count) noexcept nogil:
    """The next strip of a matrix: its number, where it begins, floats in it."""
    cdef int64_t strips = parts(rows, STRIP)
    cdef int64_t r
    task[0] = take(step, strips * blocks_of(columns), i, n, turn)
    if task[0] < 0:
        return False
    r = task[0] % strips * STRIP
    at[0] = task[0] // strips * packed_block(rows) + r * FNN_BLOCK
    count[0] = smaller(STRIP, rows - r) * FNN_BLOCK
    return True


cdef void muon_momentum(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """m = mu m + g; x = g + mu m (nesterov) or m; squares: of x, summed for each strip."""
    cdef const MuonMomentum *o = <const MuonMomentum *> &op.operands
    cdef const float *gradient = <const float *> o.t.gradient  # IN (rows, columns)
    cdef float *m = <float *> o.t.momentum                # IN, OUT (rows, columns)
    cdef float *x = <float *> o.t.x                       # OUT (rows, columns)
    cdef double *squares = <double *> o.t.squares         # OUT (strips,)
    cdef float mu = step.scalars[o.d.scalar + 2]
    cdef float *sums = step.scratch
    cdef int64_t task, at, count, c
    cdef int turn = 0
    while take_strip(o.d.rows, o.d.columns, step, i, n, &turn, &task, &at, &count):
        step.k.axpby(count, 1.0, gradient + at, mu, m + at)
        memcpy(x + at, m + at, count * sizeof(float))
        if o.d.nesterov:
            step.k.axpby(count, 1.0, gradient + at, mu, x + at)
        step.k.squares(count // FNN_BLOCK, x + at, sums)
        squares[task] = 0.0
        for c in range(FNN_BLOCK):
            squares[task] += sums[c]


cdef void muon_normalize(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """x /= |x| + epsilon, with the Frobenius norm"""
    cdef const MuonNormalize *o = <const MuonNormalize *> &op.operands
    cdef const double *squares = <const double *> o.t.squares  # IN (strips,)
    cdef float *x = <float *> o.t.x                        # IN, OUT (rows, columns)
    cdef double total = 0.0
    cdef float factor
    cdef int64_t task, at, count
    cdef int turn = 0
    for task in range(parts(o.d.rows, STRIP) * blocks_of(o.d.columns)):
        total += squares[task]
    factor = <float> (1.0 / (sqrt(total) + o.f.epsilon))
    while take_strip(o.d.rows, o.d.columns, step, i, n, &turn, &task, &at, &count):
        step.k.affine(count, factor, 0.0, x + at, x + at)


cdef void muon_update(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """w loses its decay, then scale * learning rate * x"""
    cdef const MuonUpdate *o = <const MuonUpdate *> &op.operands
    cdef const float *x = <const float *> o.t.x          # IN (rows, columns)
    cdef float *w = <float *> o.t.w                      # IN, OUT (rows, columns)
    cdef float rate = step.scalars[o.d.scalar] * o.f.scale
    cdef float keep = <float> 1.0 - step.scalars[o.d.scalar + 1]
    cdef int64_t task, at, count
    cdef int turn = 0
    while take_strip(o.d.rows, o.d.columns, step, i, n, &turn, &task, &at, &count):
        step.k.axpby(count, -rate, x + at, keep, w + at)


cdef void gram(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """y = constant I + linear x + square x'x; x is symmetric, kept as y is, unless `linear` is 0."""
    cdef const Gram *o = <const Gram *> &op.operands
    cdef int64_t groups = parts(blocks_of(o.d.columns), GROUP)
    cdef int64_t task, q
    cdef int turn = 0
    while True:
        task = take(step, groups * (groups + 1) // 2, i, n, &turn)
        if task < 0:
            break
        q = 0
        while task > q:
            q += 1
            task -= q
        gram_tile(op, step, task, q)


cdef void gram_tile(const Op *op, const Step *step, int64_t row_group, int64_t group) noexcept nogil:
    cdef const Gram *o = <const Gram *> &op.operands
    cdef const float *x = <const float *> o.t.x          # IN (rows, columns)
    cdef float *y = <float *> o.t.y                      # OUT (columns, columns), rounded up to blocks
    cdef int64_t rows = o.d.rows, columns = o.d.columns
    cdef int64_t blocks = blocks_of(columns)
    cdef int64_t x_block = packed_block(rows), y_block = packed_block(blocks * FNN_BLOCK)
    cdef int64_t p0 = row_group * GROUP, q0 = group * GROUP
    cdef int64_t p1 = smaller(p0 + GROUP, blocks), q1 = smaller(q0 + GROUP, blocks)
    cdef int64_t r = 0, p, q, lane
    cdef float *tile = step.scratch
    cdef float *part
    while r < rows:
        step.k.product_transposed((p1 - p0) * FNN_BLOCK, q1 - q0, smaller(FNN_CHUNK, rows - r),
                                  x + p0 * x_block + r * FNN_BLOCK, x_block, FNN_BLOCK,
                                  x + q0 * x_block + r * FNN_BLOCK, x_block,
                                  tile, GROUP_ROWS * FNN_BLOCK, r > 0)
        r += FNN_CHUNK
    for q in range(q0, q1):
        for p in range(p0, smaller(p1, q + 1)):
            part = tile + ((q - q0) * GROUP_ROWS + (p - p0) * FNN_BLOCK) * FNN_BLOCK
            if o.f.linear != 0:
                step.k.axpby(FNN_BLOCK * FNN_BLOCK, o.f.linear, x + q * x_block + p * FNN_BLOCK * FNN_BLOCK,
                             o.f.square, part)
            else:
                step.k.affine(FNN_BLOCK * FNN_BLOCK, o.f.square, 0.0, part, part)
            if p == q:
                for lane in range(smaller(FNN_BLOCK, columns - p * FNN_BLOCK)):
                    part[lane * FNN_BLOCK + lane] += o.f.constant
            memcpy(y + q * y_block + p * FNN_BLOCK * FNN_BLOCK, part, FNN_BLOCK * FNN_BLOCK * sizeof(float))
            if p < q:
                step.k.transpose(FNN_BLOCK, part, y + p * y_block + q * FNN_BLOCK * FNN_BLOCK)


cdef void matrix_product(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """y = x p"""
    cdef const MatrixProduct *o = <const MatrixProduct *> &op.operands
    cdef const float *x = <const float *> o.t.x          # IN (rows, columns)
    cdef const float *p = <const float *> o.t.p          # IN (columns, columns), rounded up to blocks
    cdef float *y = <float *> o.t.y                      # OUT (rows, columns)
    cdef int64_t rows = o.d.rows, columns = o.d.columns
    cdef int64_t blocks = blocks_of(columns), panels = parts(rows, ROW_PANEL)
    cdef int64_t x_block = packed_block(rows), p_block = packed_block(blocks * FNN_BLOCK)
    cdef int64_t group = blocks_of_task(blocks, panels, n)
    cdef int64_t task, j, r, k
    cdef int turn = 0
    while True:
        task = take(step, panels * parts(blocks, group), i, n, &turn)
        if task < 0:
            break
        j = task // panels * group
        r = task % panels * ROW_PANEL
        k = 0
        while k < columns:
            step.k.product(smaller(ROW_PANEL, rows - r), smaller(group, blocks - j),
                           smaller(PRODUCT_CHUNK, columns - k),
                           x + (k // FNN_BLOCK) * x_block + r * FNN_BLOCK, x_block,
                           p + j * p_block + k * FNN_BLOCK, p_block,
                           y + j * x_block + r * FNN_BLOCK, x_block, k > 0)
            k += PRODUCT_CHUNK


cdef void transpose_matrix(const Op *op, const Step *step, int i, int n) noexcept nogil:
    cdef const TransposeMatrix *o = <const TransposeMatrix *> &op.operands
    cdef const float *x = <const float *> o.t.x          # IN (rows, columns)
    cdef float *y = <float *> o.t.y                      # OUT (columns, rows)
    cdef int64_t rows = o.d.rows, columns = o.d.columns
    cdef int64_t x_block = packed_block(rows), y_block = packed_block(columns)
    cdef int64_t b, j
    cdef int turn = 0
    while True:
        b = take(step, blocks_of(rows), i, n, &turn)
        if b < 0:
            break
        for j in range(blocks_of(columns)):
            # by way of scratch: the last tile may have more rows than y
            step.k.transpose(smaller(FNN_BLOCK, rows - b * FNN_BLOCK),
                             x + j * x_block + b * FNN_BLOCK * FNN_BLOCK, step.scratch)
            memcpy(y + b * y_block + j * FNN_BLOCK * FNN_BLOCK, step.scratch,
                   smaller(FNN_BLOCK, columns - j * FNN_BLOCK) * FNN_BLOCK * sizeof(float))


KERNELS = {
    "muon_momentum": <size_t> &muon_momentum,
    "muon_normalize": <size_t> &muon_normalize,
    "muon_update": <size_t> &muon_update,
    "gram": <size_t> &gram,
    "matrix_product": <size_t> &matrix_product,
    "transpose_matrix": <size_t> &transpose_matrix,
}
