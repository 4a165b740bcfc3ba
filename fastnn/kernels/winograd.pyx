"""Convolutions with windows of 3 x 3 at stride 1, by Winograd's F(2 x 2, 3 x 3): see csrc/winograd.inc.c.

Design
- The kernel is transformed once a step, by whoever comes first. The gradient of the input is the same convolution
  of dz, with the kernel turned round: its taps in reverse order, each transposed.
- Tables say which 4 x 4 lines a tile reads, and which 2 x 2 it makes: any padding. Tiles begin anew with each
  example, so that nothing depends on who takes which.
- Of a tile at the lower or right edge that makes lines outside the picture, some points are not needed. Tiles are in such
  an order that those of a strip for which a point is needed lie together: see Tiles in lowering/winograd.py.
- A strip of some tiles at a time goes through all steps, in scratch: its transformed inputs, then for every two blocks
  of filters the products and what becomes of them. Their bias is added there. The activation follows when all tiles of
  the examples are made: a band has as few examples as the cache holds.
- The gradient of the weights is summed over slices of the examples like that of all convolutions, for some blocks of
  channels and filters at a time: the sums for all points are in scratch, and a strip's transformed inputs and gradients.
"""

from libc.stdint cimport int32_t, int64_t
from libc.string cimport memset

from fastnn.kernels.csrc cimport FNN_BLOCK
from fastnn.kernels.op cimport SCRATCH, Op, Step, blocks_of, parts, share, smaller, take
from fastnn.kernels.operands cimport (
    Tiles, WinogradBackwardInput, WinogradBackwardWeights, WinogradForward, WinogradKernel
)
from fastnn.kernels.windows cimport find_lines, sum_lines

cdef enum:
    TAPS = 9
    POINTS = 16   # of a transformed tile
    OUTPUTS = 4   # of a tile
    # Tiles of a strip, at most: the transformed kernel, which comes from the second-level cache, serves as many.
    STRIP = 32
    # Blocks of filters whose products are in scratch together.
    GROUP = 2
    # Of a gradient of weights: blocks of channels and of filters that a member sums at a time, and tiles of a strip. The
    # sums, which come from the second-level cache, are gone through once for as many.
    CHANNELS = 2
    FILTERS = 4
    LONG_STRIP = 64
    # Scratch, in floats: pointers to the lines that a strip reads and makes, ...
    READS = 0
    MAKES = READS + LONG_STRIP * POINTS * 2
    # ... then products, and transformed inputs. Points lie an odd number of lines apart, so that they don't fall into the
    # same cache set.
    PRODUCTS = MAKES + LONG_STRIP * OUTPUTS * 2
    PRODUCTS_POINT = (GROUP * STRIP + 1) * FNN_BLOCK
    INPUTS = PRODUCTS + POINTS * PRODUCTS_POINT
    # Lines of a transformed input for which there is room.
    MOST_LINES = (SCRATCH - INPUTS) // (POINTS * FNN_BLOCK) - 1
    # Or else sums, transformed inputs, transformed gradients.
    SUMS = PRODUCTS
    SUMS_POINT = (CHANNELS * FILTERS * FNN_BLOCK + 1) * FNN_BLOCK
    LONG_INPUTS = SUMS + POINTS * SUMS_POINT
    LONG_INPUTS_POINT = (CHANNELS * LONG_STRIP + 1) * FNN_BLOCK
    GRADIENTS = LONG_INPUTS + POINTS * LONG_INPUTS_POINT
    GRADIENTS_POINT = (FILTERS * LONG_STRIP + 1) * FNN_BLOCK

# Channels of a group with which a strip still has 8 tiles, as many as the tile of registers has rows.
MOST_CHANNELS = MOST_LINES // 8 * FNN_BLOCK
# Blocks of channels and of filters of a task of the gradient of the weights.
TASK_CHANNELS = CHANNELS
TASK_FILTERS = FILTERS
assert GRADIENTS + POINTS * GRADIENTS_POINT <= SCRATCH


# The way through the tiles of some examples, part by part.
ctypedef struct Walk:
    int64_t examples
    const Tiles *parts     # tiles of an example in each part
    const float *x         # (positions, ...) of the first example, where the tiles read
    int64_t positions
    const int32_t *tiles   # (tiles of an example, 16)
    const float *y         # (windows, ...) of the first example, that the tiles make
    int64_t windows
    const int32_t *outputs # (tiles of an example, 4)
    int64_t part, before   # the part at hand, and the tiles of an example before it
    int64_t taken          # tiles of the part
    int64_t begin, end     # the strip at hand


cdef inline Walk start(int64_t examples, const Tiles *parts, const float *x, int64_t positions, const void *tiles,
                       const float *y, int64_t windows, const void *outputs) noexcept nogil:
    return Walk(examples, parts, x, positions, <const int32_t *> tiles, y, windows, <const int32_t *> outputs, 0, 0, 0,
                0, 0)


cdef int64_t walk_on(Walk *walk, const Step *step, int64_t strip) noexcept nogil:
    """Where the next tiles read and what they make, to READS and MAKES of scratch; returns how many tiles."""
    cdef const float **reads = <const float **> (step.scratch + READS)
    cdef const float **makes = <const float **> (step.scratch + MAKES)
    cdef int64_t m = 0, count, size
    cdef int64_t sizes[4]
    sizes[0], sizes[1], sizes[2], sizes[3] = walk.parts.lower, walk.parts.whole, walk.parts.right, walk.parts.corner
    while m < strip and walk.part < 4:
        size = sizes[walk.part]
        count = smaller(strip - m, size * walk.examples - walk.taken)
        if count > 0:
            find_lines(walk.x, walk.positions, walk.tiles + walk.before * POINTS, size, POINTS, 0, POINTS, walk.taken,
                       walk.taken + count, reads + m * POINTS)
            find_lines(walk.y, walk.windows, walk.outputs + walk.before * OUTPUTS, size, OUTPUTS, 0, OUTPUTS, walk.taken,
                       walk.taken + count, makes + m * OUTPUTS)
            walk.taken += count
            m += count
        if walk.taken == size * walk.examples:
            walk.before += size
            walk.part += 1
            walk.taken = 0
    walk.begin = walk.end
    walk.end += m
    return m


cdef inline int64_t needed(const Walk *walk, int64_t p, int64_t begin, int64_t end, int64_t *first) noexcept nogil:
    """How many tiles from `begin` to `end` need point p, from the `first` one on: those of the last row are not needed at
    the lower edge, those of the last column not at the right."""
    cdef const Tiles *parts = walk.parts
    cdef int64_t lower = parts.lower * walk.examples, whole = lower + parts.whole * walk.examples
    if p >= 12 and begin < lower:
        first[0] = lower - begin
    else:
        first[0] = 0
    if p % 4 == 3:
        end = smaller(end, whole)
    elif p >= 12:
        end = smaller(end, whole + parts.right * walk.examples)
    return end - begin - first[0]


cdef void winograd_kernel(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """(9 * channels, filters) -> (16 points, blocks of filters, channels, 16); turned, both change places."""
    cdef const WinogradKernel *o = <const WinogradKernel *> &op.operands
    cdef const float *kernel = <const float *> o.t.kernel   # IN packed
    cdef float *transformed = <float *> o.t.transformed          # OUT
    cdef int64_t channels = o.d.channels, filters = o.d.filters, kernel_block = o.d.kernel_block, groups = o.d.groups
    cdef bint turned = o.d.turned
    cdef int64_t filter_blocks = blocks_of(filters), channel_blocks = blocks_of(channels)
    cdef int64_t block = ((filters if turned else channels) | 1) * FNN_BLOCK
    cdef int64_t point = groups * (channel_blocks if turned else filter_blocks) * block
    cdef int64_t task, b, j, g, t
    cdef const float *rows
    cdef int turn = 0
    while True:
        task = take(step, groups * filter_blocks * channel_blocks, i, n, &turn)
        if task < 0:
            break
        b = task % channel_blocks
        j = task // channel_blocks % filter_blocks
        g = task // channel_blocks // filter_blocks
        rows = kernel + (g * filter_blocks + j) * kernel_block + b * FNN_BLOCK * FNN_BLOCK
        if not turned:
            step.k.winograd_kernel(smaller(FNN_BLOCK, channels - b * FNN_BLOCK), rows, channels * FNN_BLOCK,
                                   transformed + (g * filter_blocks + j) * block + b * FNN_BLOCK * FNN_BLOCK, point)
            continue
        for t in range(TAPS):
            step.k.transpose(smaller(FNN_BLOCK, channels - b * FNN_BLOCK), rows + t * channels * FNN_BLOCK,
                             step.scratch + (TAPS - 1 - t) * FNN_BLOCK * FNN_BLOCK)
        step.k.winograd_kernel(smaller(FNN_BLOCK, filters - j * FNN_BLOCK), step.scratch, FNN_BLOCK * FNN_BLOCK,
                               transformed + (g * channel_blocks + b) * block + j * FNN_BLOCK * FNN_BLOCK, point)


cdef void winograd_forward(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """y = f(sum over taps of x_t W_t + b)"""
    cdef const WinogradForward *o = <const WinogradForward *> &op.operands
    cdef const float *x = <const float *> o.t.x        # IN (rows * positions, channels)
    cdef const float *transformed = <const float *> o.t.transformed  # IN
    cdef const float *bias = <const float *> o.t.bias     # IN (filters,) or NULL
    cdef float *y = <float *> o.t.y                    # OUT (rows * windows, filters)
    cdef float *z = <float *> o.t.z                    # OUT likewise, or NULL
    cdef float *sums = y if z == NULL else z
    cdef int64_t channels = o.d.channels, blocks = blocks_of(o.d.filters), groups = o.d.groups
    cdef int64_t activation = o.d.activation, windows = o.d.windows_of_row, y_block = o.stride.y, e0, e1, j, at
    cdef Walk walk
    share(step.rows, 1, i, n, &e0, &e1)
    walk = start(e1 - e0, &o.d.tiles, x + e0 * op.positions * FNN_BLOCK, op.positions, o.t.tiles,
                 sums + e0 * windows * FNN_BLOCK, windows, o.t.outputs)
    sum_tiles(step, &walk, o.stride.x, channels, transformed, blocks, groups, bias, 0, y_block)
    if activation != 0 or z != NULL:
        for j in range(groups * blocks):
            at = j * y_block + e0 * windows * FNN_BLOCK
            step.k.activation[activation]((e1 - e0) * windows * FNN_BLOCK, o.f.params, sums + at, y + at)


cdef void winograd_backward_input(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """dx [+]= the sum over taps of dz W', times the derivative of the activation that made x."""
    cdef const WinogradBackwardInput *o = <const WinogradBackwardInput *> &op.operands
    cdef const float *dz = <const float *> o.t.dz       # IN (rows * windows, filters)
    cdef const float *transformed = <const float *> o.t.transformed  # IN of the turned kernel
    cdef float *dx = <float *> o.t.dx                   # OUT (rows * positions, channels)
    cdef const float *x_z = <const float *> o.t.x_z      # IN likewise or NULL: x = f(x_z)
    cdef const float *x = <const float *> o.t.x        # IN likewise or NULL
    cdef int64_t filters = o.d.filters, blocks = blocks_of(o.d.channels), groups = o.d.groups
    cdef int64_t activation = o.d.activation, positions = o.d.positions, dx_block = o.stride.dx, e0, e1, j, at
    cdef Walk walk
    share(step.rows, 1, i, n, &e0, &e1)
    walk = start(e1 - e0, &o.d.tiles, dz + e0 * op.positions * FNN_BLOCK, op.positions, o.t.tiles,
                 dx + e0 * positions * FNN_BLOCK, positions, o.t.outputs)
    sum_tiles(step, &walk, o.stride.dz, filters, transformed, blocks, groups, NULL, o.d.accumulate, dx_block)
    if activation != 0:
        for j in range(groups * blocks):
            at = j * dx_block + e0 * positions * FNN_BLOCK
            step.k.activation_backward[activation](
                (e1 - e0) * positions * FNN_BLOCK, o.f.params, x_z + at if x_z != NULL else NULL, x + at, dx + at, dx + at)


cdef void sum_tiles(const Step *step, Walk *walk, int64_t x_block, int64_t channels, const float *transformed,
                    int64_t blocks, int64_t groups, const float *bias, int accumulate, int64_t y_block) noexcept nogil:
    """y [+]= the sum over taps of x W, plus bias.

    channels, blocks: Of a group.
    """
    cdef const float **reads = <const float **> (step.scratch + READS)
    cdef float **makes = <float **> (step.scratch + MAKES)
    cdef float *products = step.scratch + PRODUCTS
    cdef float *inputs = step.scratch + INPUTS
    cdef int64_t channel_blocks = blocks_of(channels), block = (channels | 1) * FNN_BLOCK
    cdef int64_t point = groups * blocks * block, strip = smaller(STRIP, MOST_LINES // channel_blocks // 8 * 8)
    cdef int64_t m, row, inputs_point, g, j, b, p, together, first, count
    m = walk_on(walk, step, strip)
    while m > 0:
        row = m * FNN_BLOCK
        inputs_point = (m * channel_blocks | 1) * FNN_BLOCK
        for g in range(groups):
            if g > 0:
                for p in range(m * POINTS):
                    if reads[p] != NULL:
                        reads[p] += channel_blocks * x_block
            step.k.winograd_input(m, channel_blocks, reads, x_block, inputs, inputs_point, row)
            j = g * blocks
            while j < (g + 1) * blocks:
                together = smaller(GROUP, (g + 1) * blocks - j)
                for p in range(POINTS):
                    count = needed(walk, p, walk.begin, walk.end, &first)
                    if count > 0:
                        step.k.product(count, together, channels, inputs + p * inputs_point + first * FNN_BLOCK, row,
                                       transformed + p * point + j * block, block,
                                       products + p * PRODUCTS_POINT + first * FNN_BLOCK, row, 0)
                for b in range(together):
                    step.k.winograd_output(m, products + b * row, PRODUCTS_POINT,
                                           bias + (j + b) * FNN_BLOCK if bias != NULL else NULL, accumulate, makes,
                                           (j + b) * y_block)
                j += together
        m = walk_on(walk, step, strip)


cdef void winograd_backward_weights(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """The sums over each slice of the examples: of x' dz for each tap, then of dz.

    A task is a few blocks of a group's channels and filters, and a slice.
    """
    cdef const WinogradBackwardWeights *o = <const WinogradBackwardWeights *> &op.operands
    cdef float *partials = <float *> o.t.partials        # OUT (slices, blocks, 9 * channels + 1, 16)
    cdef int64_t channels = o.d.channels, filter_blocks = blocks_of(o.d.filters), slice = o.d.slice
    cdef int64_t blocks = o.d.groups * filter_blocks, kernel_rows = TAPS * channels
    cdef int64_t across_channels = parts(blocks_of(channels), CHANNELS), across_filters = parts(filter_blocks, FILTERS)
    cdef int64_t task, s, g, b0, j0, j1, j, e0, e1, rows
    cdef float *out
    cdef int turn = 0
    while True:
        task = take(step, parts(step.rows, slice) * o.d.groups * across_filters * across_channels, i, n, &turn)
        if task < 0:
            break
        # What reads the same dz comes one after another.
        b0 = task % across_channels * CHANNELS
        g = task // across_channels // across_filters % o.d.groups
        j0 = g * filter_blocks + task // across_channels % across_filters * FILTERS
        j1 = smaller(j0 + FILTERS, (g + 1) * filter_blocks)
        s = task // across_channels // across_filters // o.d.groups
        e0, e1 = s * slice, smaller((s + 1) * slice, step.rows)
        rows = smaller(channels - b0 * FNN_BLOCK, CHANNELS * FNN_BLOCK)
        sum_tile_products(op, step, g * blocks_of(channels) + b0, rows, j0, j1, e0, e1)
        for j in range(j0, j1):
            out = partials + (s * blocks + j) * (kernel_rows + 1) * FNN_BLOCK
            step.k.winograd_kernel_gradient(rows, step.scratch + SUMS + (j - j0) * rows * FNN_BLOCK, SUMS_POINT,
                                            out + b0 * FNN_BLOCK * FNN_BLOCK, channels * FNN_BLOCK)
            if b0 == 0:
                sum_lines(step, <const float *> o.t.dz + j * o.stride.dz, e0 * o.d.windows_of_row,
                          e1 * o.d.windows_of_row, out + kernel_rows * FNN_BLOCK)


cdef void sum_tile_products(const Op *op, const Step *step, int64_t b0, int64_t rows, int64_t j0, int64_t j1,
                            int64_t e0, int64_t e1) noexcept nogil:
    """SUMS (points, blocks of filters j0 to j1, rows, 16) = the sum over the tiles of examples e0 to e1 of their
    transformed inputs, `rows` channels from block b0 on, times their transformed gradients."""
    cdef const WinogradBackwardWeights *o = <const WinogradBackwardWeights *> &op.operands
    cdef const float *x = <const float *> o.t.x          # IN (rows * positions, channels)
    cdef const float *dz = <const float *> o.t.dz        # IN (rows * windows, filters)
    cdef const float **reads = <const float **> (step.scratch + READS)
    cdef const float **dz_reads = <const float **> (step.scratch + MAKES)
    cdef float *sums = step.scratch + SUMS
    cdef float *inputs = step.scratch + LONG_INPUTS
    cdef float *gradients = step.scratch + GRADIENTS
    cdef int64_t windows = o.d.windows_of_row, x_block = o.stride.x, dz_block = o.stride.dz
    cdef int64_t m, begin, end, row, p, j, first, count, following, some
    cdef Walk walk = start(e1 - e0, &o.d.tiles, x + b0 * x_block + e0 * op.positions * FNN_BLOCK, op.positions,
                           o.t.tiles, dz + j0 * dz_block + e0 * windows * FNN_BLOCK, windows, o.t.outputs)
    memset(sums, 0, POINTS * SUMS_POINT * sizeof(float))
    m = walk_on(&walk, step, LONG_STRIP)
    while m > 0:
        begin, end, row = walk.begin, walk.end, m * FNN_BLOCK
        step.k.winograd_input(m, blocks_of(rows), reads, x_block, inputs, LONG_INPUTS_POINT, row)
        for j in range(j1 - j0):
            step.k.winograd_output_gradient(m, dz_reads, j * dz_block, gradients + j * row, GRADIENTS_POINT)
        following = walk_on(&walk, step, LONG_STRIP)
        for p in range(POINTS):
            # What the next strip reads comes meanwhile.
            some = following * p // POINTS
            step.k.winograd_prefetch(following * (p + 1) // POINTS - some, reads + some * POINTS, blocks_of(rows),
                                     x_block, dz_reads + some * OUTPUTS, j1 - j0, dz_block)
            count = needed(&walk, p, begin, end, &first)
            if count > 0:
                step.k.product_transposed(
                    rows, j1 - j0, count, inputs + p * LONG_INPUTS_POINT + first * FNN_BLOCK, row, FNN_BLOCK,
                    gradients + p * GRADIENTS_POINT + first * FNN_BLOCK, row, sums + p * SUMS_POINT,
                    rows * FNN_BLOCK, 1)
        m = following


KERNELS = {
    "winograd_kernel": <size_t> &winograd_kernel,
    "winograd_forward": <size_t> &winograd_forward,
    "winograd_backward_input": <size_t> &winograd_backward_input,
    "winograd_backward_weights": <size_t> &winograd_backward_weights,
}
