"""Convolutions: y = f(sum over taps of x_t W_t + b), and their gradients.

Design
- Pictures lie in blocks of 16 channels like all activations, their positions one after another: a tap of a window
  is a line of each block. Tables say where (lowering/windows.py); so the kernels know nothing of strides, padding,
  dilation, or how many axes there are.
- The kernel (taps * channels, filters) is a weight like any other. The gradient of the input is the same product with
  the kernel turned round, tap by tap, once a step, over the windows that a position is in.
- A picture of few channels would be mostly padding: it stays as its pixels lie, and a patch for each window is gathered
  into scratch.
- A member takes examples, and the ops that follow likewise: see `run_band` in engine/team.pyx.
- The gradient of the weights is summed over slices of the examples, each by whoever comes first, and then
  over the slices, in order: how long a slice is belongs to the program, not to the team.
- Channels and filters may come in groups, each of whole blocks: `channels` and `filters` of an op are those of one group,
  of which there are `groups`. Groups that are smaller are put together, `members` of them, with a kernel that is 0
  between them (`expand_kernel`); the gradient of that is made as of any other, and what is no weight left out of it.
"""

from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcpy, memset

from fastnn.kernels.csrc cimport FNN_BLOCK, FNN_CHUNK
from fastnn.kernels.handover cimport Receiver, hand_over, to_bias, to_kernel
from fastnn.kernels.op cimport SCRATCH, Op, Step, blocks_of, parts, share, smaller, take
from fastnn.kernels.operands cimport (
    ConvBackwardInput, ConvBackwardWeights, ConvForward, ExpandKernel, ReducePartials, SumSlices, TurnKernel
)
from fastnn.kernels.windows cimport LINES, WINDOW_PANEL, WINDOW_TAPS, find_lines, sum_lines

cdef enum:
    # Rows of the kernel, and blocks of filters, whose gradient a member sums at a time.
    PANEL = 96
    GROUP = 2
    # Where patches begin in scratch, and room for them, in floats.
    PATCHES = PANEL * GROUP * FNN_BLOCK
    ROOM = SCRATCH - PATCHES - 1024

# Rows of the kernel in each of the panels whose squares are summed by themselves.
PANEL_ROWS = PANEL
GROUP_BLOCKS = GROUP
# Numbers of a patch up to which pictures of few channels are read patch by patch.
LARGEST_PATCH = 1024


cdef inline int64_t patch_of(int64_t numbers) noexcept nogil:
    """Floats from patch to patch: whole vectors are written, one of them beyond the end."""
    return parts(numbers, FNN_BLOCK) * FNN_BLOCK + FNN_BLOCK


cdef void conv_forward(const Op *op, const Step *step, int i, int n) noexcept nogil:
    cdef const ConvForward *o = <const ConvForward *> &op.operands
    cdef const float *x = <const float *> o.t.x          # IN (rows * positions, channels); or pixels
    cdef const float *kernel = <const float *> o.t.kernel  # IN (taps * channels, filters), packed
    cdef const float *bias = <const float *> o.t.bias    # IN (filters,) or NULL
    cdef const int32_t *windows = <const int32_t *> o.t.windows  # IN (windows of a row, taps)
    cdef const int32_t *starts = <const int32_t *> o.t.starts  # IN (windows of a row, rows of a window) or NULL
    cdef float *y = <float *> o.t.y                      # OUT (rows * windows, filters)
    cdef float *z = <float *> o.t.z                      # OUT likewise, or NULL
    cdef float *sums = y if z == NULL else z
    cdef int64_t channels = o.d.channels, blocks = blocks_of(o.d.filters), kernel_block = o.d.kernel_block
    cdef int64_t activation = o.d.activation, taps = o.d.taps, windows_of_row = o.d.windows_of_row
    cdef int64_t groups = o.d.groups, y_block = o.stride.y
    cdef int64_t e0, e1, q, end, m, g, j, at
    share(step.rows, 1, i, n, &e0, &e1)
    q, end = e0 * windows_of_row, e1 * windows_of_row
    while q < end:
        if starts == NULL:
            m = smaller(WINDOW_PANEL, end - q)
            for g in range(groups):
                sum_windows(step, x + g * blocks_of(channels) * o.stride.x, o.stride.x, op.positions, windows,
                            windows_of_row, taps, channels, kernel, kernel_block, g * blocks, (g + 1) * blocks, q, m,
                            sums + g * blocks * y_block + q * FNN_BLOCK, y_block)
        else:
            m = sum_patches(op, step, x, kernel, windows, starts, q, end, sums + q * FNN_BLOCK, y_block)
        for j in range(groups * blocks):
            at = j * y_block + q * FNN_BLOCK
            if bias != NULL:
                step.k.add_bias(m, bias + j * FNN_BLOCK, sums + at)
            if activation != 0 or z != NULL:
                step.k.activation[activation](m * FNN_BLOCK, o.f.params, sums + at, y + at)
        q += m


cdef void sum_windows(const Step *step, const float *x, int64_t x_block, int64_t positions, const int32_t *windows,
                      int64_t windows_of_row, int64_t taps, int64_t channels, const float *kernel,
                      int64_t kernel_block, int64_t j0, int64_t j1, int64_t q, int64_t m, float *sums,
                      int64_t sums_block) noexcept nogil:
    """sums (m, blocks j0 to j1) = the sum over taps of x W, for windows q to q + m of the batch; m is at most a panel."""
    cdef const float **lines = <const float **> step.scratch
    cdef int64_t t = 0, t1
    while t < taps:
        t1 = smaller(t + WINDOW_TAPS, taps)
        find_lines(x, positions, windows, windows_of_row, taps, t, t1, q, q + m, lines)
        step.k.window_product(m, j1 - j0, t1 - t, channels, lines, x_block,
                              kernel + j0 * kernel_block + t * channels * FNN_BLOCK, kernel_block,
                              sums, sums_block, t > 0)
        t = t1


cdef int64_t sum_patches(const Op *op, const Step *step, const float *x, const float *kernel, const int32_t *windows,
                         const int32_t *starts, int64_t q, int64_t end, float *sums, int64_t sums_block) noexcept nogil:
    """`sum_windows` of a picture of few channels; returns how many windows were done, all of one example."""
    cdef const ConvForward *o = <const ConvForward *> &op.operands
    cdef int64_t channels = o.d.channels, taps = o.d.taps, windows_of_row = o.d.windows_of_row, row = o.d.row
    cdef int64_t patch = patch_of(taps * channels), position = q % windows_of_row
    cdef int64_t m = smaller(smaller(WINDOW_PANEL, ROOM // patch), smaller(end - q, windows_of_row - position))
    cdef const float **lines = <const float **> step.scratch
    cdef float *patches = step.scratch + PATCHES
    cdef int64_t r
    step.k.gather_patches(m, position, o.d.window_rows, taps, channels, starts, windows, x + q // windows_of_row * row,
                          patch, patches)
    for r in range(m):
        lines[r] = patches + r * patch
    step.k.window_product(m, blocks_of(o.d.filters), 1, taps * channels, lines, FNN_BLOCK, kernel,
                          o.d.kernel_block, sums, sums_block, 0)
    return m


cdef void turn_kernel(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """The kernel of each tap, transposed: (taps * channels, filters) -> (taps * filters, channels)."""
    cdef const TurnKernel *o = <const TurnKernel *> &op.operands
    cdef const float *kernel = <const float *> o.t.kernel  # IN packed
    cdef float *turned = <float *> o.t.turned            # OUT packed
    cdef int64_t channels = o.d.channels, filters = o.d.filters
    cdef int64_t kernel_block = o.d.kernel_block, turned_block = o.d.turned_block
    cdef int64_t taps = o.d.taps, blocks = blocks_of(channels), task, t, g, b, j
    cdef int turn = 0
    while True:
        task = take(step, o.d.groups * blocks * taps, i, n, &turn)
        if task < 0:
            break
        t = task % taps
        b = task // taps % blocks
        g = task // taps // blocks
        for j in range(blocks_of(filters)):
            # by way of scratch: the last tile may have more lines than there are filters
            step.k.transpose(smaller(FNN_BLOCK, channels - b * FNN_BLOCK),
                             kernel + (g * blocks_of(filters) + j) * kernel_block
                             + (t * channels + b * FNN_BLOCK) * FNN_BLOCK, step.scratch)
            memcpy(turned + (g * blocks + b) * turned_block + (t * filters + j * FNN_BLOCK) * FNN_BLOCK, step.scratch,
                   smaller(FNN_BLOCK, filters - j * FNN_BLOCK) * FNN_BLOCK * sizeof(float))


cdef void conv_backward_input(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """dx [+]= the sum over taps of dz W', times the derivative of the activation that made x."""
    cdef const ConvBackwardInput *o = <const ConvBackwardInput *> &op.operands
    cdef const float *dz = <const float *> o.t.dz        # IN (rows * windows, filters)
    cdef const float *turned = <const float *> o.t.turned  # IN (taps * filters, channels), packed
    cdef const int32_t *windows = <const int32_t *> o.t.windows  # IN (positions, taps): windows that positions are in
    cdef float *dx = <float *> o.t.dx                    # OUT (rows * positions, channels)
    cdef const float *x_z = <const float *> o.t.x_z      # IN likewise or NULL: x = f(x_z)
    cdef const float *x = <const float *> o.t.x          # IN likewise or NULL
    cdef int64_t filters = o.d.filters, blocks = blocks_of(o.d.channels), activation = o.d.activation, taps = o.d.taps
    cdef int64_t positions = o.d.positions, groups = o.d.groups, dx_block = o.stride.dx, dz_group, g
    # beyond the lines
    cdef float *tile = step.scratch + LINES // sizeof(float)
    cdef int64_t e0, e1, q, end, m, j, at
    share(step.rows, 1, i, n, &e0, &e1)
    dz_group = blocks_of(filters) * o.stride.dz
    q, end = e0 * positions, e1 * positions
    while q < end:
        m = smaller(WINDOW_PANEL, end - q)
        if o.d.accumulate:
            for j in range(groups * blocks):
                sum_windows(step, dz + j // blocks * dz_group, o.stride.dz, op.positions, windows, positions, taps,
                            filters, turned, o.d.turned_block, j, j + 1, q, m, tile, 0)
                step.k.add(m * FNN_BLOCK, tile, dx + j * dx_block + q * FNN_BLOCK)
        else:
            for g in range(groups):
                sum_windows(step, dz + g * dz_group, o.stride.dz, op.positions, windows, positions, taps, filters,
                            turned, o.d.turned_block, g * blocks, (g + 1) * blocks, q, m,
                            dx + g * blocks * dx_block + q * FNN_BLOCK, dx_block)
        if activation != 0:
            for j in range(groups * blocks):
                at = j * dx_block + q * FNN_BLOCK
                step.k.activation_backward[activation](m * FNN_BLOCK, o.f.params, x_z + at if x_z != NULL else NULL,
                                                       x + at, dx + at, dx + at)
        q += m


cdef void conv_backward_weights(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """The sums over each slice of the examples: of x' dz for each tap, then of dz.

    A task is a panel of the kernel's rows, a few blocks of a group's filters, and a slice.
    """
    cdef const ConvBackwardWeights *o = <const ConvBackwardWeights *> &op.operands
    cdef float *partials = <float *> o.t.partials        # OUT (slices, blocks, taps * channels + 1, 16)
    cdef int64_t inputs = o.d.channels * o.d.taps, of_group = blocks_of(o.d.filters), blocks = o.d.groups * of_group
    cdef int64_t slice = o.d.slice, panels = parts(inputs, PANEL), parts_of_group = parts(of_group, GROUP)
    cdef int64_t task, s, k0, m, g, j0, j1, j, e0, e1
    cdef float *tile = step.scratch
    cdef float *out
    cdef int turn = 0
    while True:
        task = take(step, parts(step.rows, slice) * o.d.groups * parts_of_group * panels, i, n, &turn)
        if task < 0:
            break
        # What reads the same dz comes one after another.
        k0 = task % panels * PANEL
        g = task // panels // parts_of_group % o.d.groups
        j0 = g * of_group + task // panels % parts_of_group * GROUP
        s = task // panels // parts_of_group // o.d.groups
        m = smaller(PANEL, inputs - k0)
        j1 = smaller(j0 + GROUP, (g + 1) * of_group)
        e0, e1 = s * slice, smaller((s + 1) * slice, step.rows)
        memset(tile, 0, (j1 - j0) * PANEL * FNN_BLOCK * sizeof(float))
        if o.t.starts == NULL:
            sum_pairs(op, step, k0, k0 + m, j0, j1, e0, e1, tile)
        else:
            sum_patch_pairs(op, step, k0, m, j0, j1, e0, e1, tile)
        for j in range(j0, j1):
            out = partials + ((s * blocks + j) * (inputs + 1) + k0) * FNN_BLOCK
            memcpy(out, tile + (j - j0) * PANEL * FNN_BLOCK, m * FNN_BLOCK * sizeof(float))
            if k0 == 0:
                sum_lines(step, <const float *> o.t.dz + j * o.stride.dz, e0 * o.d.windows_of_row,
                          e1 * o.d.windows_of_row, partials + ((s * blocks + j) * (inputs + 1) + inputs) * FNN_BLOCK)


cdef void sum_pairs(const Op *op, const Step *step, int64_t k0, int64_t k1, int64_t j0, int64_t j1,
                    int64_t e0, int64_t e1, float *tile) noexcept nogil:
    """tile (k1 - k0, blocks) += x' dz over the examples e0 to e1, by so many lines at a time as the cache holds."""
    cdef const ConvBackwardWeights *o = <const ConvBackwardWeights *> &op.operands
    cdef const float *x = <const float *> o.t.x          # IN (rows * positions, channels)
    cdef const float *dz = <const float *> o.t.dz        # IN (rows * windows, filters)
    cdef const int32_t *pairs = <const int32_t *> o.t.pairs  # IN (taps, 2, windows of a row): floats from x to dz
    cdef const int32_t *counts = <const int32_t *> o.t.counts  # IN (taps,)
    cdef int64_t channels = o.d.channels, windows_of_row = o.d.windows_of_row
    cdef int64_t x_block = o.stride.x, dz_block = o.stride.dz
    cdef int64_t x_group = j0 // blocks_of(o.d.filters) * blocks_of(channels) * x_block
    cdef int64_t x_row = op.positions * FNN_BLOCK, dz_row = windows_of_row * FNN_BLOCK
    # Small pictures go several at a time.
    cdef int64_t together = 1 if windows_of_row >= FNN_CHUNK else FNN_CHUNK // windows_of_row
    cdef int64_t e = e0, first, k, t, c, c1, count
    cdef const int32_t *of_tap
    while e < e1:
        first = 0
        while first < windows_of_row:
            k = k0
            while k < k1:
                t, c = k // channels, k % channels
                # to the end of the block, of the tap, or of the panel
                c1 = smaller(smaller((c // FNN_BLOCK + 1) * FNN_BLOCK, channels), c + k1 - k)
                count = smaller(FNN_CHUNK, counts[t] - first)
                if count > 0:
                    of_tap = pairs + 2 * t * windows_of_row + first
                    step.k.pairs_product(
                        c1 - c, j1 - j0, smaller(together, e1 - e), count,
                        x + x_group + e * x_row + c // FNN_BLOCK * x_block + c % FNN_BLOCK, x_row, of_tap,
                        dz + e * dz_row + j0 * dz_block, dz_row, of_tap + windows_of_row, dz_block,
                        tile + (k - k0) * FNN_BLOCK, PANEL * FNN_BLOCK)
                k += c1 - c
            first += FNN_CHUNK
        e += together


cdef void sum_patch_pairs(const Op *op, const Step *step, int64_t k0, int64_t m, int64_t j0, int64_t j1,
                          int64_t e0, int64_t e1, float *tile) noexcept nogil:
    """`sum_pairs` of a picture of few channels."""
    cdef const ConvBackwardWeights *o = <const ConvBackwardWeights *> &op.operands
    cdef const float *x = <const float *> o.t.x          # IN pixels
    cdef const float *dz = <const float *> o.t.dz        # IN (rows * windows, filters)
    cdef const int32_t *starts = <const int32_t *> o.t.starts  # IN (windows of a row, rows of a window)
    cdef const int32_t *windows = <const int32_t *> o.t.windows  # IN (windows of a row, taps)
    cdef int64_t channels = o.d.channels, taps = o.d.taps, windows_of_row = o.d.windows_of_row, row = o.d.row
    cdef int64_t patch = patch_of(taps * channels), most = smaller(FNN_CHUNK, ROOM // patch)
    cdef float *patches = step.scratch + PATCHES
    cdef int32_t *from_ = <int32_t *> (step.scratch + SCRATCH - 512)
    cdef int32_t *to = <int32_t *> (step.scratch + SCRATCH - 256)
    cdef int64_t e, p, count
    for p in range(most):
        from_[p] = <int32_t> (p * patch)
        to[p] = <int32_t> (p * FNN_BLOCK)
    for e in range(e0, e1):
        p = 0
        while p < windows_of_row:
            count = smaller(most, windows_of_row - p)
            step.k.gather_patches(count, p, o.d.window_rows, taps, channels, starts, windows, x + e * row, patch,
                                  patches)
            step.k.pairs_product(m, j1 - j0, 1, count, patches + k0, 0, from_,
                                 dz + j0 * o.stride.dz + (e * windows_of_row + p) * FNN_BLOCK, 0, to, o.stride.dz,
                                 tile, PANEL * FNN_BLOCK)
            p += count


cdef inline void find_members(int64_t channels, int64_t filters, int64_t members, int64_t j,
                              int64_t *lanes) noexcept nogil:
    """Floats from a row of the kernel to where each number of block j stands in the expanded one, less its lane."""
    cdef int64_t l
    for l in range(FNN_BLOCK):
        lanes[l] = (j * FNN_BLOCK + l) // filters % members * channels * FNN_BLOCK + l


cdef void expand_kernel(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """A kernel for some groups together, 0 where a filter meets the channels of another group."""
    cdef const ExpandKernel *o = <const ExpandKernel *> &op.operands
    cdef const float *kernel = <const float *> o.t.kernel  # IN (taps * channels, units), packed
    cdef float *expanded = <float *> o.t.expanded        # OUT (taps * members * channels, units), packed
    cdef int64_t channels = o.d.channels, members = o.d.members, taps = o.d.taps, row = members * channels * FNN_BLOCK
    cdef int64_t task, j, t, c, l
    cdef int64_t lanes[FNN_BLOCK]
    cdef const float *line
    cdef float *out
    cdef int turn = 0
    while True:
        task = take(step, blocks_of(o.d.units) * taps, i, n, &turn)
        if task < 0:
            break
        j, t = task // taps, task % taps
        find_members(channels, o.d.filters, members, j, lanes)
        out = expanded + j * o.d.expanded_block + t * row
        memset(out, 0, row * sizeof(float))
        for c in range(channels):
            line = kernel + j * o.d.kernel_block + (t * channels + c) * FNN_BLOCK
            for l in range(FNN_BLOCK):
                out[c * FNN_BLOCK + lanes[l]] = line[l]


cdef void reduce_partials(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """Of the sums for an expanded kernel, those that are for weights; a task is a block of a slice."""
    cdef const ReducePartials *o = <const ReducePartials *> &op.operands
    cdef const float *expanded = <const float *> o.t.expanded  # IN (slices, blocks, taps * members * channels + 1, 16)
    cdef float *partials = <float *> o.t.partials        # OUT (slices, blocks, taps * channels + 1, 16)
    cdef int64_t channels = o.d.channels, members = o.d.members, taps = o.d.taps, blocks = blocks_of(o.d.units)
    cdef int64_t row = members * channels * FNN_BLOCK, task, t, c, l
    cdef int64_t lanes[FNN_BLOCK]
    cdef const float *line
    cdef float *out
    cdef int turn = 0
    while True:
        task = take(step, parts(step.rows, o.d.slice) * blocks, i, n, &turn)
        if task < 0:
            break
        find_members(channels, o.d.filters, members, task % blocks, lanes)
        out = partials + task * (taps * channels + 1) * FNN_BLOCK
        line = expanded + task * (taps * row + FNN_BLOCK)
        for t in range(taps):
            for c in range(channels):
                for l in range(FNN_BLOCK):
                    out[l] = line[c * FNN_BLOCK + lanes[l]]
                out += FNN_BLOCK
            line += row
        memcpy(out, line, FNN_BLOCK * sizeof(float))


cdef void sum_slices(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """The gradients of kernel and bias from their sums over slices, by which they take their step; or stored."""
    cdef const SumSlices *o = <const SumSlices *> &op.operands
    cdef const float *partials = <const float *> o.t.partials  # IN (slices, blocks, inputs + 1, 16)
    cdef int64_t inputs = o.d.inputs, blocks = blocks_of(o.d.units), kernel_block = o.d.kernel_block
    cdef int64_t slices = parts(step.rows, o.d.slice), panels = parts(inputs, PANEL)
    cdef int64_t block = (inputs + 1) * FNN_BLOCK, task, j, k0, m
    cdef Receiver kernel = to_kernel(&o.t.kernel, &o.d.hand_over, &o.f.hand_over)
    cdef Receiver bias = to_bias(&o.t.bias, &o.d.hand_over, &o.f.hand_over)
    cdef int turn = 0
    while True:
        task = take(step, blocks * panels, i, n, &turn)
        if task < 0:
            break
        j, k0 = task // panels, task % panels * PANEL
        m = smaller(PANEL, inputs - k0)
        add_slices(step, slices, blocks * block, m, partials + j * block + k0 * FNN_BLOCK)
        hand_over(&kernel, step, j * kernel_block + k0 * FNN_BLOCK, m, task, step.scratch)
        if k0 == 0 and o.t.bias.w != NULL:
            add_slices(step, slices, blocks * block, 1, partials + j * block + inputs * FNN_BLOCK)
            hand_over(&bias, step, j * FNN_BLOCK, 1, j, step.scratch)


cdef void add_slices(const Step *step, int64_t slices, int64_t slice, int64_t rows,
                     const float *partials) noexcept nogil:
    """scratch (rows, 16) = the sum of the slices, in order"""
    cdef int64_t s
    memcpy(step.scratch, partials, rows * FNN_BLOCK * sizeof(float))
    for s in range(1, slices):
        step.k.add(rows * FNN_BLOCK, partials + s * slice, step.scratch)


KERNELS = {
    "conv_forward": <size_t> &conv_forward,
    "expand_kernel": <size_t> &expand_kernel,
    "turn_kernel": <size_t> &turn_kernel,
    "conv_backward_input": <size_t> &conv_backward_input,
    "conv_backward_weights": <size_t> &conv_backward_weights,
    "reduce_partials": <size_t> &reduce_partials,
    "sum_slices": <size_t> &sum_slices,
}
