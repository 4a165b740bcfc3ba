"""Convolutions with windows of 3 x 3 at stride 1, by Winograd's F(2 x 2, 3 x 3): see csrc/winograd.inc.c.

Design
- The kernel is transformed once a step, by whoever comes first. The gradient of the input is the same convolution
  of dz, with the kernel turned round: its taps in reverse order, each transposed.
- Tables say which 4 x 4 lines a tile reads, and which 2 x 2 it makes: any padding. Tiles begin anew with each
  example, so that nothing depends on who takes which.
- A strip of some tiles at a time goes through all steps, in scratch: its transformed inputs, then for every two blocks
  of filters the products and what becomes of them. Their bias is added there, and the activation follows while the
  strip is in cache.
- The gradient of the weights is summed over slices of the examples like that of all convolutions, for some blocks of
  channels and filters at a time: the sums for all points are in scratch, and a strip's transformed inputs and gradients.
  Of a tile at the lower or right edge whose outputs are half outside the picture, some points are 0. Tiles are in such
  an order that those of a strip for which a point is not 0 lie together.
"""

from libc.stdint cimport int32_t, int64_t
from libc.string cimport memset

from fastnn.kernels.csrc cimport FNN_BLOCK
from fastnn.kernels.op cimport SCRATCH, Op, Step, blocks_of, parts, share, smaller, take
from fastnn.kernels.operands cimport (
    WinogradBackwardInput, WinogradBackwardWeights, WinogradForward, WinogradKernel
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
    # Scratch, in floats: pointers to the lines that a strip reads and makes, then products, then inputs. Points lie an
    # odd number of lines apart, so that they don't fall into the same cache set.
    READS = 0
    MAKES = READS + STRIP * POINTS * 2
    PRODUCTS = MAKES + STRIP * OUTPUTS * 2
    PRODUCTS_POINT = (GROUP * STRIP + 1) * FNN_BLOCK
    INPUTS = PRODUCTS + POINTS * PRODUCTS_POINT
    # Lines of a transformed input for which there is room.
    MOST_LINES = (SCRATCH - INPUTS) // (POINTS * FNN_BLOCK) - 1
    # Blocks of channels and of filters whose gradient a member sums at a time.
    CHANNELS = 2
    FILTERS = 4
    # Tiles of a strip of theirs: the sums, which come from the second-level cache, are gone through once for as many.
    LONG_STRIP = 64
    # Scratch: pointers, then sums, transformed inputs, transformed gradients.
    DZ_READS = READS + LONG_STRIP * POINTS * 2
    SUMS = DZ_READS + LONG_STRIP * OUTPUTS * 2
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


cdef inline int64_t strip_of(int64_t channels) noexcept nogil:
    return smaller(STRIP, MOST_LINES // blocks_of(channels) // 8 * 8)


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
    cdef const int32_t *tiles = <const int32_t *> o.t.tiles    # IN (tiles of a row, 16): positions
    cdef const int32_t *outputs = <const int32_t *> o.t.outputs  # IN (tiles of a row, 4): windows
    cdef float *y = <float *> o.t.y                    # OUT (rows * windows, filters)
    cdef float *z = <float *> o.t.z                    # OUT likewise, or NULL
    cdef float *sums = y if z == NULL else z
    cdef int64_t channels = o.d.channels, blocks = blocks_of(o.d.filters), groups = o.d.groups
    cdef int64_t activation = o.d.activation, tiles_of_row = o.d.tiles_of_row
    cdef int64_t windows_of_row = o.d.windows_of_row, y_block = o.stride.y
    cdef int64_t strip = strip_of(channels), e0, e1, q, end, m, r, h, first, count, length, j, at
    share(step.rows, 1, i, n, &e0, &e1)
    q, end = e0 * tiles_of_row, e1 * tiles_of_row
    while q < end:
        m = smaller(strip, end - q)
        sum_tiles(step, x, o.stride.x, op.positions, tiles, tiles_of_row, channels, transformed, blocks, groups, bias,
                  0, outputs, windows_of_row, q, m, sums, y_block)
        if activation != 0 or z != NULL:
            r = 0
            while r < m:
                count = across(q + r, m - r, tiles_of_row, o.d.across)
                length = run_length(q + r, count, tiles_of_row, o.d.across, o.d.width)
                for h in range(2):
                    first = run_of(outputs, q + r, tiles_of_row, windows_of_row, h)
                    if first < 0:
                        continue
                    for j in range(groups * blocks):
                        at = j * y_block + first * FNN_BLOCK
                        step.k.activation[activation](length * FNN_BLOCK, o.f.params, sums + at, y + at)
                r += count
        q += m


cdef void winograd_backward_input(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """dx [+]= the sum over taps of dz W', times the derivative of the activation that made x."""
    cdef const WinogradBackwardInput *o = <const WinogradBackwardInput *> &op.operands
    cdef const float *dz = <const float *> o.t.dz       # IN (rows * windows, filters)
    cdef const float *transformed = <const float *> o.t.transformed  # IN of the turned kernel
    cdef const int32_t *tiles = <const int32_t *> o.t.tiles    # IN (tiles of a row, 16): windows
    cdef const int32_t *outputs = <const int32_t *> o.t.outputs  # IN (tiles of a row, 4): positions
    cdef float *dx = <float *> o.t.dx                   # OUT (rows * positions, channels)
    cdef const float *x_z = <const float *> o.t.x_z      # IN likewise or NULL: x = f(x_z)
    cdef const float *x = <const float *> o.t.x        # IN likewise or NULL
    cdef int64_t filters = o.d.filters, blocks = blocks_of(o.d.channels), groups = o.d.groups
    cdef int64_t activation = o.d.activation, tiles_of_row = o.d.tiles_of_row
    cdef int64_t positions = o.d.positions, dx_block = o.stride.dx
    cdef int64_t strip = strip_of(filters), e0, e1, q, end, m, r, h, first, count, length, j, at
    share(step.rows, 1, i, n, &e0, &e1)
    q, end = e0 * tiles_of_row, e1 * tiles_of_row
    while q < end:
        m = smaller(strip, end - q)
        sum_tiles(step, dz, o.stride.dz, op.positions, tiles, tiles_of_row, filters, transformed, blocks, groups, NULL,
                  o.d.accumulate, outputs, positions, q, m, dx, dx_block)
        if activation != 0:
            r = 0
            while r < m:
                count = across(q + r, m - r, tiles_of_row, o.d.across)
                length = run_length(q + r, count, tiles_of_row, o.d.across, o.d.width)
                for h in range(2):
                    first = run_of(outputs, q + r, tiles_of_row, positions, h)
                    if first < 0:
                        continue
                    for j in range(groups * blocks):
                        at = j * dx_block + first * FNN_BLOCK
                        step.k.activation_backward[activation](length * FNN_BLOCK, o.f.params,
                                                               x_z + at if x_z != NULL else NULL, x + at, dx + at,
                                                               dx + at)
                r += count
        q += m


cdef inline int64_t across(int64_t tile, int64_t tiles, int64_t tiles_of_row, int64_t width) noexcept nogil:
    """How many of these tiles lie beside each other, from the first one on; `width` tiles do in a picture."""
    return smaller(tiles, width - tile % tiles_of_row % width)


cdef inline int64_t run_of(const int32_t *outputs, int64_t tile, int64_t tiles_of_row, int64_t positions,
                           int64_t h) noexcept nogil:
    """The line at which output row h of a tile of the batch begins, or -1 outside the picture."""
    cdef int64_t first = outputs[tile % tiles_of_row * OUTPUTS + 2 * h]
    return first if first < 0 else tile // tiles_of_row * positions + first


cdef inline int64_t run_length(int64_t tile, int64_t tiles, int64_t tiles_of_row, int64_t across,
                               int64_t width) noexcept nogil:
    """Lines that so many tiles beside each other make in each of their two rows, of a picture `width` lines wide."""
    return smaller(2 * tiles, width - 2 * (tile % tiles_of_row % across))


cdef void sum_tiles(const Step *step, const float *x, int64_t x_block, int64_t positions, const int32_t *tiles,
                    int64_t tiles_of_row, int64_t channels, const float *transformed, int64_t blocks, int64_t groups,
                    const float *bias, int accumulate, const int32_t *outputs, int64_t windows_of_row, int64_t q,
                    int64_t m, float *y, int64_t y_block) noexcept nogil:
    """y [+]= the sum over taps of x W, plus bias, for tiles q to q + m of the batch; m is at most a strip.

    channels, blocks: Of a group.
    """
    cdef const float **reads = <const float **> (step.scratch + READS)
    cdef float **makes = <float **> (step.scratch + MAKES)
    cdef float *products = step.scratch + PRODUCTS
    cdef float *inputs = step.scratch + INPUTS
    cdef int64_t channel_blocks = blocks_of(channels), row = m * FNN_BLOCK
    cdef int64_t inputs_point = (m * channel_blocks | 1) * FNN_BLOCK
    cdef int64_t block = (channels | 1) * FNN_BLOCK, point = groups * blocks * block
    cdef int64_t g, j, b, p, together
    find_lines(x, positions, tiles, tiles_of_row, POINTS, 0, POINTS, q, q + m, reads)
    find_lines(y, windows_of_row, outputs, tiles_of_row, OUTPUTS, 0, OUTPUTS, q, q + m, <const float **> makes)
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
                step.k.product(m, together, channels, inputs + p * inputs_point, row,
                               transformed + p * point + j * block, block, products + p * PRODUCTS_POINT, row, 0)
            for b in range(together):
                step.k.winograd_output(m, products + b * row, PRODUCTS_POINT,
                                       bias + (j + b) * FNN_BLOCK if bias != NULL else NULL, accumulate, makes,
                                       (j + b) * y_block)
            j += together


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


# Where a strip is in the tiles of some examples, which lie in parts: see Tiles.in_parts.
ctypedef struct Strip:
    const float *x         # the first example's
    const float *dz
    int64_t tiles          # in all
    int64_t sizes[4]       # tiles of an example in each part
    int64_t part
    int64_t before         # tiles of an example in the parts before this one
    int64_t taken          # tiles of this part


cdef int64_t next_strip(const Op *op, const Step *step, Strip *strip, int64_t examples, int64_t left) noexcept nogil:
    """Where the lines of the next tiles lie; returns how many tiles."""
    cdef const WinogradBackwardWeights *o = <const WinogradBackwardWeights *> &op.operands
    cdef const int32_t *tiles = <const int32_t *> o.t.tiles    # IN (tiles of a row, 16): positions
    cdef const int32_t *outputs = <const int32_t *> o.t.outputs  # IN (tiles of a row, 4): windows
    cdef const float **reads = <const float **> (step.scratch + READS)
    cdef const float **dz_reads = <const float **> (step.scratch + DZ_READS)
    cdef int64_t m = 0, count, size
    left = smaller(left, LONG_STRIP)
    while m < left:
        size = strip.sizes[strip.part]
        count = smaller(left - m, size * examples - strip.taken)
        if count > 0:
            find_lines(strip.x, op.positions, tiles + strip.before * POINTS, size, POINTS, 0, POINTS, strip.taken,
                       strip.taken + count, reads + m * POINTS)
            find_lines(strip.dz, o.d.windows_of_row, outputs + strip.before * OUTPUTS, size, OUTPUTS, 0, OUTPUTS,
                       strip.taken, strip.taken + count, dz_reads + m * OUTPUTS)
            strip.taken += count
            m += count
        if strip.taken == size * examples:
            strip.before += size
            strip.part += 1
            strip.taken = 0
    return m


cdef void sum_tile_products(const Op *op, const Step *step, int64_t b0, int64_t rows, int64_t j0, int64_t j1,
                            int64_t e0, int64_t e1) noexcept nogil:
    """SUMS (points, blocks of filters j0 to j1, rows, 16) = the sum over the tiles of examples e0 to e1 of their
    transformed inputs, `rows` channels from block b0 on, times their transformed gradients."""
    cdef const WinogradBackwardWeights *o = <const WinogradBackwardWeights *> &op.operands
    cdef const float **reads = <const float **> (step.scratch + READS)
    cdef const float **dz_reads = <const float **> (step.scratch + DZ_READS)
    cdef float *sums = step.scratch + SUMS
    cdef float *inputs = step.scratch + LONG_INPUTS
    cdef float *gradients = step.scratch + GRADIENTS
    cdef int64_t examples = e1 - e0, blocks = blocks_of(rows), dz_block = o.stride.dz, q = 0, m, row, p, j
    cdef int64_t first, end, following, some
    cdef int64_t lower = o.d.lower * examples, whole = lower + o.d.whole * examples
    cdef int64_t right = whole + o.d.right * examples, total = right + o.d.corner * examples
    cdef Strip strip
    # IN (rows * positions, channels), (rows * windows, filters)
    strip.x = <const float *> o.t.x + b0 * o.stride.x + e0 * op.positions * FNN_BLOCK
    strip.dz = <const float *> o.t.dz + j0 * o.stride.dz + e0 * o.d.windows_of_row * FNN_BLOCK
    strip.sizes[0], strip.sizes[1], strip.sizes[2], strip.sizes[3] = o.d.lower, o.d.whole, o.d.right, o.d.corner
    strip.part = strip.before = strip.taken = 0
    memset(sums, 0, POINTS * SUMS_POINT * sizeof(float))
    m = next_strip(op, step, &strip, examples, total)
    while m > 0:
        row = m * FNN_BLOCK
        step.k.winograd_input(m, blocks, reads, o.stride.x, inputs, LONG_INPUTS_POINT, row)
        for j in range(j1 - j0):
            step.k.winograd_output_gradient(m, dz_reads, j * dz_block, gradients + j * row, GRADIENTS_POINT)
        following = next_strip(op, step, &strip, examples, total - q - m)
        for p in range(POINTS):
            # What the next strip reads comes meanwhile.
            some = following * p // POINTS
            step.k.winograd_prefetch(following * (p + 1) // POINTS - some, reads + some * POINTS, blocks, o.stride.x,
                                     dz_reads + some * OUTPUTS, j1 - j0, dz_block)
            # Points of the last row are 0 of tiles at the lower edge, those of the last column of tiles at the right.
            first = lower - q if p >= 12 and lower > q else 0
            end = whole if p % 4 == 3 else right if p >= 12 else total
            end = smaller(end - q, m)
            if first < end:
                step.k.product_transposed(
                    rows, j1 - j0, end - first, inputs + p * LONG_INPUTS_POINT + first * FNN_BLOCK, row,
                    gradients + p * GRADIENTS_POINT + first * FNN_BLOCK, row, sums + p * SUMS_POINT,
                    rows * FNN_BLOCK, 1)
        q += m
        m = following


KERNELS = {
    "winograd_kernel": <size_t> &winograd_kernel,
    "winograd_forward": <size_t> &winograd_forward,
    "winograd_backward_input": <size_t> &winograd_backward_input,
    "winograd_backward_weights": <size_t> &winograd_backward_weights,
}
