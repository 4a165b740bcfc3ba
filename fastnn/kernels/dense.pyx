"""The Dense layer: y = f(x W + b) and its gradients, dense and sparse.

Design
- W lies in blocks of 16 columns (`layout.py`), activations in blocks of 16 features. The register
  tiles of csrc read both as they lie.
- Where Flatten stands before the layer, a row of x is the segments of a picture: its positions, one line of each
  block of channels after the other. They are read, and their gradient is written, where they lie.
- A sum over features goes on from cut to cut; one over the rows of a batch is cut where FNN_CHUNK says.
- A result is cut into tasks, rectangles of it, that the members of the team take (`take`). Column groups
  come in the same order in the forward product, in the gradient and in the update.
- A tile of the weight gradient goes from the registers through `scratch` (in cache) straight into
  the optimizer's update: the gradient never exists as a whole.
"""

from libc.stdint cimport int32_t, int64_t, uint16_t
from libc.string cimport memcpy

from fastnn.kernels.csrc cimport FNN_BLOCK, FNN_CHUNK, fnn_columns, fnn_sparse
from fastnn.kernels.handover cimport Receiver, hand_over, hand_over_bias, to_bias, to_kernel
from fastnn.kernels.op cimport (
    ROW_UNIT, Op, Step, blocks_of, blocks_of_task, drop_activated, parts, rows_of, share, smaller, take
)
from fastnn.kernels.operands cimport (
    Activated, DenseBackwardInput, DenseBackwardWeights, DenseBackwardWeightsSparse, DenseForward, DenseForwardSparse,
    Nonzeros, SparseColumns, Transpose
)
from fastnn.kernels.segments cimport block_of_segments
from fastnn.kernels.windows cimport WINDOW_TAPS

cdef enum:
    # A chunk of W of this many rows stays in the first-level cache while the rows of A pass by,
    # and that many rows of A in the second-level cache while the blocks of W pass by.
    PRODUCT_CHUNK = 256
    ROW_PANEL = 96
    # Blocks of a gradient held in scratch at a time: few while they fit the first-level cache,
    # many where several chunks of the batch are summed before the update.
    GRADIENT_BLOCKS = 2
    GRADIENT_BLOCKS_CHUNKED = 8
    # Sparse rows are short: more columns share each index that is read.
    SPARSE_ROWS = 128
    SPARSE_PANEL = 128
    SPARSE_BLOCKS = 8

# Rows of a weight in each of the panels whose squares are summed by themselves.
PANEL = ROW_PANEL
PANEL_SPARSE = SPARSE_PANEL


cdef void bias_and_activation(const Activated *f, const float *params, const Step *step, const float *bias, float *y,
                              float *z, int64_t stride, int64_t row_begin, int64_t row_end, int64_t j) noexcept nogil:
    """y = f(z + b) for one block of a row range; z is kept where the derivative reads it."""
    cdef int64_t at = j * stride + row_begin * FNN_BLOCK
    cdef int64_t rows = row_end - row_begin
    cdef float *sums = y + at
    if z != NULL:
        sums = z + at
    if bias != NULL:
        step.k.add_bias(rows, bias + j * FNN_BLOCK, sums)
    if f.activation != 0 or z != NULL:
        step.k.activation[f.activation](rows * FNN_BLOCK, params, sums, y + at)
    drop_activated(f, step, rows, row_begin, j, y + at)


cdef void dense_forward(const Op *op, const Step *step, int i, int n) noexcept nogil:
    cdef const DenseForward *o = <const DenseForward *> &op.operands
    cdef int64_t units = o.d.units
    cdef int64_t panels = parts(rows_of(op, step), ROW_PANEL), blocks = blocks_of(units)
    cdef int64_t group, task, j, r, r1
    cdef int turn = 0
    if o.d.by_rows:
        share(rows_of(op, step), ROW_UNIT, i, n, &r, &r1)
        while r < r1:
            dense_forward_part(op, step, r, smaller(r + ROW_PANEL, r1), 0, blocks)
            r += ROW_PANEL
        return
    group = blocks_of_task(blocks, panels, n)
    while True:
        task = take(step, panels * parts(blocks, group), i, n, &turn)
        if task < 0:
            break
        j = task // panels * group
        r = task % panels * ROW_PANEL
        dense_forward_part(op, step, r, smaller(r + ROW_PANEL, rows_of(op, step)), j, smaller(j + group, blocks))


cdef void dense_forward_part(const Op *op, const Step *step, int64_t r0, int64_t r1,
                             int64_t j0, int64_t j1) noexcept nogil:
    cdef const DenseForward *o = <const DenseForward *> &op.operands
    cdef const float *x = <const float *> o.t.x          # IN (rows, inputs)
    cdef const float *kernel = <const float *> o.t.kernel  # IN (inputs, units), packed
    cdef const float *bias = <const float *> o.t.bias    # IN (units,) or NULL
    cdef float *y = <float *> o.t.y                      # OUT (rows, units)
    cdef float *z = <float *> o.t.z                      # OUT (rows, units) or NULL
    cdef int64_t inputs = o.d.inputs, kernel_block = o.d.kernel_block
    cdef float *sums = y if z == NULL else z
    cdef int64_t x_block = o.stride.x, y_block = o.stride.y
    cdef int64_t segments = o.d.segments, k = 0, j
    if segments > 1:
        sum_segments(step, segments, inputs // segments, r1 - r0, j1 - j0, x + r0 * segments * FNN_BLOCK, x_block,
                     kernel + j0 * kernel_block, kernel_block, sums + j0 * y_block + r0 * FNN_BLOCK, y_block)
    else:
        while k < inputs:
            step.k.product(r1 - r0, j1 - j0, smaller(PRODUCT_CHUNK, inputs - k),
                           x + (k // FNN_BLOCK) * x_block + r0 * FNN_BLOCK, x_block,
                           kernel + j0 * kernel_block + k * FNN_BLOCK, kernel_block,
                           sums + j0 * y_block + r0 * FNN_BLOCK, y_block, k > 0)
            k += PRODUCT_CHUNK
    for j in range(j0, j1):
        bias_and_activation(&o.d.activated, o.f.params, step, bias, y, z, y_block, r0, r1, j)


cdef void sum_segments(const Step *step, int64_t segments, int64_t channels, int64_t rows, int64_t blocks,
                       const float *x, int64_t x_block, const float *kernel, int64_t kernel_block, float *sums,
                       int64_t sums_block) noexcept nogil:
    """sums (rows, 16 * blocks) = the sum over segments of x (rows, channels) W: as a convolution whose window is the
    whole picture."""
    cdef const float **lines = <const float **> step.scratch
    cdef int64_t together = smaller(parts(PRODUCT_CHUNK, channels), WINDOW_TAPS), s = 0, s1, r, t
    while s < segments:
        s1 = smaller(s + together, segments)
        for r in range(rows):
            for t in range(s, s1):
                lines[r * (s1 - s) + t - s] = x + (r * segments + t) * FNN_BLOCK
        step.k.window_product(rows, blocks, s1 - s, channels, lines, x_block, kernel + s * channels * FNN_BLOCK,
                              kernel_block, sums, sums_block, s > 0)
        s = s1


cdef void dense_forward_sparse(const Op *op, const Step *step, int i, int n) noexcept nogil:
    cdef const DenseForwardSparse *o = <const DenseForwardSparse *> &op.operands
    cdef int64_t blocks = blocks_of(o.d.units)
    cdef int64_t panels = parts(step.rows, SPARSE_ROWS)
    cdef int64_t group = blocks_of_task(blocks, panels, n)
    cdef int64_t task, r, r1, j
    cdef int turn = 0
    if o.d.by_rows:
        share(step.rows, ROW_UNIT, i, n, &r, &r1)
        if r < r1:
            dense_forward_sparse_part(op, step, r, r1, 0, blocks)
        return
    while True:
        task = take(step, panels * parts(blocks, group), i, n, &turn)
        if task < 0:
            break
        j = task // panels * group
        r = task % panels * SPARSE_ROWS
        dense_forward_sparse_part(op, step, r, smaller(r + SPARSE_ROWS, step.rows), j, smaller(j + group, blocks))


cdef void dense_forward_sparse_part(const Op *op, const Step *step, int64_t r0, int64_t r1,
                                    int64_t j0, int64_t j1) noexcept nogil:
    cdef const DenseForwardSparse *o = <const DenseForwardSparse *> &op.operands
    cdef const float *kernel = <const float *> o.t.kernel  # IN (inputs, units), packed
    cdef const float *bias = <const float *> o.t.bias    # IN (units,) or NULL
    cdef float *y = <float *> o.t.y                      # OUT (rows, units)
    cdef float *z = <float *> o.t.z                      # OUT (rows, units) or NULL
    cdef int64_t kernel_block = o.d.kernel_block
    cdef float *sums = y if z == NULL else z
    cdef int64_t j
    step.k.sparse_product(r1 - r0, step.order + r0, step.sources[o.d.source].sparse, j1 - j0,
                          kernel + j0 * kernel_block, kernel_block,
                          sums + j0 * o.stride.y + r0 * FNN_BLOCK, o.stride.y)
    for j in range(j0, j1):
        bias_and_activation(&o.d.activated, o.f.params, step, bias, y, z, o.stride.y, r0, r1, j)


cdef void transpose(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """(blocks, rows, 16) -> (blocks of 16 rows, features, 16), for the product with W'."""
    cdef const Transpose *o = <const Transpose *> &op.operands
    cdef const float *x = <const float *> o.t.x          # IN (rows, features)
    cdef float *y = <float *> o.t.y                      # OUT
    cdef int64_t blocks = blocks_of(o.d.features)
    cdef int64_t r0, r1, r, j
    share(rows_of(op, step), ROW_UNIT, i, n, &r0, &r1)
    r = r0
    while r < r1:
        for j in range(blocks):
            step.k.transpose(smaller(ROW_UNIT, r1 - r), x + j * o.stride.x + r * FNN_BLOCK,
                             y + (r // ROW_UNIT * blocks + j) * FNN_BLOCK * FNN_BLOCK)
        r += ROW_UNIT


cdef void dense_backward_input(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """dx [+]= dz W', times the derivative of the activation that made x.

    The vectors run over the batch: a block of dz' (units, 16 rows) meets single weights, which so can
    be read as they lie; the tile dx' (inputs, 16 rows) is turned round while it is in cache. Where a layer below
    goes on from dx likewise, it is handed on both ways.
    """
    cdef const DenseBackwardInput *o = <const DenseBackwardInput *> &op.operands
    cdef int64_t inputs = o.d.inputs
    cdef int64_t panels = parts(inputs, ROW_PANEL), row_panels = parts(rows_of(op, step), ROW_PANEL)
    cdef int64_t task, k, r, r0, r1
    cdef int turn = 0
    if o.d.by_rows:
        share(rows_of(op, step), ROW_UNIT, i, n, &r0, &r1)
        for task in range(panels):
            k = task * ROW_PANEL
            dense_backward_input_part(op, step, k, smaller(k + ROW_PANEL, inputs), r0, r1)
        return
    while True:
        task = take(step, panels * row_panels, i, n, &turn)
        if task < 0:
            break
        k = task // row_panels * ROW_PANEL
        r = task % row_panels * ROW_PANEL
        dense_backward_input_part(op, step, k, smaller(k + ROW_PANEL, inputs),
                                  r, smaller(r + ROW_PANEL, rows_of(op, step)))


cdef void dense_backward_input_part(const Op *op, const Step *step, int64_t i0, int64_t i1,
                                    int64_t r0, int64_t r1) noexcept nogil:
    cdef const DenseBackwardInput *o = <const DenseBackwardInput *> &op.operands
    cdef const float *dz_t = <const float *> o.t.dz_t    # IN (rows, units), transposed
    cdef const float *kernel = <const float *> o.t.kernel  # IN (inputs, units), packed
    cdef float *dx = <float *> o.t.dx                    # OUT (rows, inputs)
    cdef const float *x_z = <const float *> o.t.x_z      # IN (rows, inputs) or NULL: x = f(x_z)
    cdef const float *x = <const float *> o.t.x          # IN (rows, inputs) or NULL
    cdef int32_t *magnitudes = <int32_t *> o.t.magnitudes  # OUT (panels, units of rows) or NULL
    cdef float *dx_t = <float *> o.t.dx_t                # OUT dx, transposed, or NULL
    cdef int32_t most, found
    cdef int64_t units = o.d.units, kernel_block = o.d.kernel_block
    cdef int activation = <int> o.d.activation
    cdef int64_t dz_block = blocks_of(units) * FNN_BLOCK * FNN_BLOCK
    cdef int64_t line = o.d.segments * FNN_BLOCK         # floats from row to row
    cdef float *tile = step.scratch
    cdef float *turned = step.scratch + ROW_PANEL * FNN_BLOCK
    cdef float *room = turned + FNN_BLOCK * FNN_BLOCK
    cdef int64_t r = r0, k, b, at, rows
    while r < r1:
        rows = smaller(ROW_UNIT, r1 - r)
        k = 0
        while k < units:
            step.k.product(i1 - i0, 1, smaller(PRODUCT_CHUNK, units - k),
                           kernel + (k // FNN_BLOCK) * kernel_block + i0 * FNN_BLOCK, kernel_block,
                           dz_t + r // ROW_UNIT * dz_block + k * FNN_BLOCK, 0, tile, 0, k > 0)
            k += PRODUCT_CHUNK
        b = 0
        most = 0
        while b < i1 - i0:
            at = block_of_segments((i0 + b) // FNN_BLOCK, o.d.segments, o.d.inputs, o.stride.dx) + r * line
            step.k.transpose(smaller(FNN_BLOCK, i1 - i0 - b), tile + b * FNN_BLOCK, turned)
            if activation != 0:
                step.k.activation_backward[activation](
                    rows * FNN_BLOCK, o.f.params,
                    together(x_z + at, line, rows, room) if x_z != NULL else NULL,
                    together(x + at, line, rows, room + FNN_BLOCK * FNN_BLOCK), turned, turned)
            hand_on(step, turned, rows, line, o.d.accumulate, dx + at)
            if dx_t != NULL:
                step.k.transpose(rows, turned, dx_t + (r // ROW_UNIT * blocks_of(o.d.inputs) + (i0 + b) // FNN_BLOCK)
                                 * FNN_BLOCK * FNN_BLOCK)
            if magnitudes != NULL:
                found = step.k.magnitude(rows * FNN_BLOCK, turned)
                if found > most:
                    most = found
            b += FNN_BLOCK
        if magnitudes != NULL:
            magnitudes[i0 // ROW_PANEL * o.d.units_of_rows + r // ROW_UNIT] = most
        r += ROW_UNIT


cdef inline const float *together(const float *x, int64_t line, int64_t rows, float *room) noexcept nogil:
    """Lines of 16, `line` floats apart, one after another: where they lie, or in `room`."""
    cdef int64_t r
    if line == FNN_BLOCK:
        return x
    for r in range(rows):
        memcpy(room + r * FNN_BLOCK, x + r * line, FNN_BLOCK * sizeof(float))
    return room


cdef inline void hand_on(const Step *step, const float *tile, int64_t rows, int64_t line, bint accumulate,
                         float *dx) noexcept nogil:
    """dx [+]= tile (rows, 16), the lines of dx `line` floats apart."""
    cdef int64_t at_once = rows if line == FNN_BLOCK else 1, r = 0
    while r < rows:
        if accumulate:
            step.k.add(at_once * FNN_BLOCK, tile + r * FNN_BLOCK, dx + r * line)
        else:
            memcpy(dx + r * line, tile + r * FNN_BLOCK, at_once * FNN_BLOCK * sizeof(float))
        r += at_once


cdef inline void drop_tile(const float *dropped, float kept_scale, const Step *step, int64_t at, int64_t rows,
                           float *gradient) noexcept nogil:
    """Of a kernel with what was dropped in the forward pass: the gradient of W from that of the copy."""
    if dropped != NULL:
        step.k.drop_gradient(rows * FNN_BLOCK, kept_scale, dropped + at, gradient)


cdef void dense_backward_weights(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """dW = x' dz and db = sum of dz over the batch, by which W and b take their step; or stored."""
    cdef const DenseBackwardWeights *o = <const DenseBackwardWeights *> &op.operands
    cdef const float *x = <const float *> o.t.x          # IN (rows, inputs)
    cdef const float *dz = <const float *> o.t.dz        # IN (rows, units)
    cdef int64_t inputs = o.d.inputs, blocks = blocks_of(o.d.units), kernel_block = o.d.kernel_block
    cdef int64_t x_block = o.stride.x, dz_block = o.stride.dz
    cdef int64_t panels = parts(inputs, ROW_PANEL)
    cdef const float *dropped = <const float *> o.t.dropped  # IN as the kernel, or NULL
    cdef Receiver kernel = to_kernel(&o.t.kernel, &o.d.hand_over, &o.f.hand_over)
    cdef Receiver bias = to_bias(&o.t.bias, &o.d.hand_over, &o.f.hand_over)
    cdef float *tile
    cdef int64_t group = GRADIENT_BLOCKS if rows_of(op, step) <= FNN_CHUNK else GRADIENT_BLOCKS_CHUNKED
    cdef int64_t segments = o.d.segments, at_once = ROW_PANEL if segments == 1 else FNN_BLOCK
    cdef int64_t task, k, m, j0, j1, j, r, b
    cdef int turn = 0
    while True:
        task = take(step, panels * parts(blocks, group), i, n, &turn)
        if task < 0:
            break
        j0 = task // panels * group
        j1 = smaller(j0 + group, blocks)
        k = task % panels * ROW_PANEL
        m = smaller(ROW_PANEL, inputs - k)
        r = 0
        while r < rows_of(op, step):
            b = 0
            while b < m:
                step.k.product_transposed(smaller(at_once, m - b), j1 - j0, smaller(FNN_CHUNK, rows_of(op, step) - r),
                                          x + block_of_segments((k + b) // FNN_BLOCK, segments, inputs, x_block)
                                          + r * segments * FNN_BLOCK, x_block, segments * FNN_BLOCK,
                                          dz + j0 * dz_block + r * FNN_BLOCK, dz_block,
                                          step.scratch + b * FNN_BLOCK, ROW_PANEL * FNN_BLOCK, r > 0)
                b += at_once
            r += FNN_CHUNK
        for j in range(j0, j1):
            tile = step.scratch + (j - j0) * ROW_PANEL * FNN_BLOCK
            drop_tile(dropped, o.f.kept_scale, step, j * kernel_block + k * FNN_BLOCK, m, tile)
            hand_over(&kernel, step, j * kernel_block + k * FNN_BLOCK, m, j * panels + task % panels, tile)
        if k == 0 and o.t.bias.w != NULL:
            hand_over_bias(&bias, op, step, dz, dz_block, j0, j1)


cdef fnn_columns columns_of_chunk(const Nonzeros *nonzeros, int64_t columns, int64_t capacity,
                                  int64_t chunk) noexcept nogil:
    """The nonzeros of one chunk of the batch; `capacity` is room for them."""
    cdef fnn_columns c
    c.start = <int32_t *> nonzeros.column_start + chunk * (columns + 1)
    c.row = <uint16_t *> nonzeros.row + chunk * capacity
    c.value = <float *> nonzeros.value + chunk * capacity
    return c


cdef void sparse_columns(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """Sort the batch's nonzeros by column, a chunk of rows at a time; a member takes some granules."""
    cdef const SparseColumns *o = <const SparseColumns *> &op.operands
    cdef int64_t columns = o.d.columns, capacity = o.d.capacity
    cdef const fnn_sparse *x = step.sources[o.d.source].sparse
    cdef const uint16_t *granule
    cdef int64_t g0, g1, r, q, rows
    cdef int32_t first
    cdef fnn_columns out
    share(x.granules, 1, i, n, &g0, &g1)
    if g0 >= g1:
        return
    r = 0
    while r < step.rows:
        rows = smaller(FNN_CHUNK, step.rows - r)
        first = 0
        for q in range(r, r + rows):
            granule = x.granule + step.order[q] * (x.granules + 1)
            first += granule[g0]
        out = columns_of_chunk(&o.t.nonzeros, columns, capacity, r // FNN_CHUNK)
        step.k.sparse_columns(rows, step.order + r, g0, g1, columns, x, first, &out)
        r += rows


cdef void dense_backward_weights_sparse(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """`dense_backward_weights` with x as the columns that `sparse_columns` made."""
    cdef const DenseBackwardWeightsSparse *o = <const DenseBackwardWeightsSparse *> &op.operands
    cdef const float *dz = <const float *> o.t.dz        # IN (rows, units)
    cdef int64_t inputs = o.d.inputs, blocks = blocks_of(o.d.units), kernel_block = o.d.kernel_block
    cdef int64_t dz_block = o.stride.dz
    cdef int64_t panels = parts(inputs, SPARSE_PANEL)
    cdef int64_t task, k, m, j0, j1, j, r
    cdef const float *dropped = <const float *> o.t.dropped  # IN as the kernel, or NULL
    cdef Receiver kernel = to_kernel(&o.t.kernel, &o.d.hand_over, &o.f.hand_over)
    cdef Receiver bias = to_bias(&o.t.bias, &o.d.hand_over, &o.f.hand_over)
    cdef fnn_columns x
    cdef float *tile
    cdef int turn = 0
    while True:
        task = take(step, panels * parts(blocks, SPARSE_BLOCKS), i, n, &turn)
        if task < 0:
            break
        j0 = task // panels * SPARSE_BLOCKS
        j1 = smaller(j0 + SPARSE_BLOCKS, blocks)
        k = task % panels * SPARSE_PANEL
        m = smaller(SPARSE_PANEL, inputs - k)
        r = 0
        while r < step.rows:
            x = columns_of_chunk(&o.t.nonzeros, inputs, o.d.capacity, r // FNN_CHUNK)
            step.k.sparse_product_transposed(k, k + m, &x, j1 - j0, dz + j0 * dz_block + r * FNN_BLOCK, dz_block,
                                             step.scratch, SPARSE_PANEL * FNN_BLOCK, r > 0)
            r += FNN_CHUNK
        for j in range(j0, j1):
            tile = step.scratch + (j - j0) * SPARSE_PANEL * FNN_BLOCK
            drop_tile(dropped, o.f.kept_scale, step, j * kernel_block + k * FNN_BLOCK, m, tile)
            hand_over(&kernel, step, j * kernel_block + k * FNN_BLOCK, m, j * panels + task % panels, tile)
        if k == 0 and o.t.bias.w != NULL:
            hand_over_bias(&bias, op, step, dz, dz_block, j0, j1)


KERNELS = {
    "dense_forward": <size_t> &dense_forward,
    "dense_forward_sparse": <size_t> &dense_forward_sparse,
    "transpose": <size_t> &transpose,
    "dense_backward_input": <size_t> &dense_backward_input,
    "dense_backward_weights": <size_t> &dense_backward_weights,
    "sparse_columns": <size_t> &sparse_columns,
    "dense_backward_weights_sparse": <size_t> &dense_backward_weights_sparse,
}
