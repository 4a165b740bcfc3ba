"""Depthwise convolutions: each channel by itself, y = f(sum over taps of x_t w_t + b); and their gradients.

Design
- The kernel is a matrix (taps, channels): a line of 16 channels meets a line of weights for each tap. Tables say which
  lines a window reads (lowering/windows.py). The gradient of the input is the same, with the table of the windows that
  a line is in.
- A channel that has several filters is repeated first: what is computed here has as many channels as its input.
- The gradient of the weights is summed over slices of the examples, each by whoever comes first, and then over the
  slices, in order (`sum_slices` in convolution.pyx): how long a slice is belongs to the program, not to the team.
"""

from libc.stdint cimport int32_t, int64_t
from libc.string cimport memset

from fastnn.kernels.csrc cimport FNN_BLOCK, FNN_CHUNK
from fastnn.kernels.op cimport Op, Step, blocks_of, parts, share, share_rows, smaller, take
from fastnn.kernels.operands cimport (
    DepthwiseBackwardInput, DepthwiseBackwardWeights, DepthwiseForward, RepeatChannels, SumRepeated
)
from fastnn.kernels.windows cimport sum_lines

cdef enum:
    # Lines that are made at a time, and stay in the first-level cache until they are finished.
    PANEL = 128


cdef void depthwise_forward(const Op *op, const Step *step, int i, int n) noexcept nogil:
    cdef const DepthwiseForward *o = <const DepthwiseForward *> &op.operands
    cdef const float *x = <const float *> o.t.x          # IN (rows * positions, features)
    cdef const float *kernel = <const float *> o.t.kernel  # IN (taps, features), packed
    cdef const float *bias = <const float *> o.t.bias    # IN (features,) or NULL
    cdef const int32_t *windows = <const int32_t *> o.t.windows  # IN (windows of a row, taps)
    cdef float *y = <float *> o.t.y                      # OUT (rows * windows, features)
    cdef float *z = <float *> o.t.z                      # OUT likewise, or NULL
    cdef float *sums = y if z == NULL else z
    cdef int64_t kernel_block = o.d.kernel_block, activation = o.d.activation
    cdef int64_t taps = o.d.taps, windows_of_row = o.d.windows_of_row
    cdef int64_t e0, e1, e, j, q, m, at
    share(step.rows, 1, i, n, &e0, &e1)
    for e in range(e0, e1):
        for j in range(blocks_of(o.d.features)):
            q = 0
            while q < windows_of_row:
                m = smaller(PANEL, windows_of_row - q)
                at = j * o.stride.y + (e * windows_of_row + q) * FNN_BLOCK
                step.k.depthwise(m, taps, windows + q * taps, kernel + j * kernel_block,
                                 x + j * o.stride.x + e * op.positions * FNN_BLOCK, sums + at)
                if bias != NULL:
                    step.k.add_bias(m, bias + j * FNN_BLOCK, sums + at)
                if activation != 0 or z != NULL:
                    step.k.activation[activation](m * FNN_BLOCK, o.f.params, sums + at, y + at)
                q += m


cdef void depthwise_backward_input(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """dx [+]= the sum over taps of dz w, times the derivative of the activation that made x."""
    cdef const DepthwiseBackwardInput *o = <const DepthwiseBackwardInput *> &op.operands
    cdef const float *dz = <const float *> o.t.dz        # IN (rows * windows, features)
    cdef const float *kernel = <const float *> o.t.kernel  # IN (taps, features), packed
    cdef const int32_t *windows = <const int32_t *> o.t.windows  # IN (positions, taps): windows that positions are in
    cdef float *dx = <float *> o.t.dx                    # OUT (rows * positions, features)
    cdef const float *x_z = <const float *> o.t.x_z      # IN likewise or NULL: x = f(x_z)
    cdef const float *x = <const float *> o.t.x          # IN likewise or NULL
    cdef int64_t kernel_block = o.d.kernel_block, activation = o.d.activation
    cdef int64_t taps = o.d.taps, positions = o.d.positions
    cdef int64_t e0, e1, e, j, p, m, at
    cdef float *out
    share(step.rows, 1, i, n, &e0, &e1)
    for e in range(e0, e1):
        for j in range(blocks_of(o.d.features)):
            p = 0
            while p < positions:
                m = smaller(PANEL, positions - p)
                at = j * o.stride.dx + (e * positions + p) * FNN_BLOCK
                out = step.scratch if o.d.accumulate else dx + at
                step.k.depthwise(m, taps, windows + p * taps, kernel + j * kernel_block,
                                 dz + j * o.stride.dz + e * op.positions * FNN_BLOCK, out)
                if activation != 0:
                    step.k.activation_backward[activation](m * FNN_BLOCK, o.f.params, x_z + at if x_z != NULL else NULL,
                                                           x + at, out, out)
                if o.d.accumulate:
                    step.k.add(m * FNN_BLOCK, out, dx + at)
                p += m


cdef void depthwise_backward_weights(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """The sums over each slice of the examples: of x dz for each tap, then of dz. A task is a block and a slice."""
    cdef const DepthwiseBackwardWeights *o = <const DepthwiseBackwardWeights *> &op.operands
    cdef const float *x = <const float *> o.t.x          # IN (rows * positions, features)
    cdef const float *dz = <const float *> o.t.dz        # IN (rows * windows, features)
    cdef const int32_t *windows = <const int32_t *> o.t.windows  # IN (windows of a row, taps)
    cdef float *partials = <float *> o.t.partials        # OUT (slices, blocks, taps + 1, 16)
    cdef int64_t blocks = blocks_of(o.d.features), slice = o.d.slice
    cdef int64_t taps = o.d.taps, windows_of_row = o.d.windows_of_row
    cdef int64_t task, j, e, e0, e1, q, m
    cdef float *out
    cdef int turn = 0
    while True:
        task = take(step, parts(step.rows, slice) * blocks, i, n, &turn)
        if task < 0:
            break
        j = task % blocks
        e0 = task // blocks * slice
        e1 = smaller(e0 + slice, step.rows)
        out = partials + task * (taps + 1) * FNN_BLOCK
        memset(out, 0, taps * FNN_BLOCK * sizeof(float))
        for e in range(e0, e1):
            q = 0
            while q < windows_of_row:
                m = smaller(FNN_CHUNK, windows_of_row - q)
                step.k.depthwise_pairs(m, taps, windows + q * taps,
                                       x + j * o.stride.x + e * op.positions * FNN_BLOCK,
                                       dz + j * o.stride.dz + (e * windows_of_row + q) * FNN_BLOCK, out)
                q += m
        sum_lines(step, dz + j * o.stride.dz, e0 * windows_of_row, e1 * windows_of_row, out + taps * FNN_BLOCK)


cdef void repeat_channels(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """y: each number of x several times, one after another."""
    cdef const RepeatChannels *o = <const RepeatChannels *> &op.operands
    cdef const float *x = <const float *> o.t.x          # IN (rows, channels)
    cdef float *y = <float *> o.t.y                      # OUT (rows, channels * times)
    cdef int64_t times = o.d.times, r0, r1, r, j, l
    cdef int64_t lanes[FNN_BLOCK]
    cdef const float *line
    cdef float *out
    share_rows(op, step, i, n, &r0, &r1)
    for j in range(blocks_of(o.d.channels * times)):
        # As many blocks are made of each block of x as each number is repeated.
        for l in range(FNN_BLOCK):
            lanes[l] = (j % times * FNN_BLOCK + l) // times
        for r in range(r0, r1):
            line = x + j // times * o.stride.x + r * FNN_BLOCK
            out = y + j * o.stride.y + r * FNN_BLOCK
            for l in range(FNN_BLOCK):
                out[l] = line[lanes[l]]


cdef void sum_repeated(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """dx [+]= the sum of the gradients of what each number was repeated to, in order"""
    cdef const SumRepeated *o = <const SumRepeated *> &op.operands
    cdef const float *dy = <const float *> o.t.dy        # IN (rows, channels * times)
    cdef float *dx = <float *> o.t.dx                    # OUT (rows, channels)
    cdef int64_t channels = o.d.channels, times = o.d.times, r0, r1, r, j, l, k, number
    cdef float total
    cdef float *out
    share_rows(op, step, i, n, &r0, &r1)
    for j in range(blocks_of(channels)):
        for r in range(r0, r1):
            out = dx + j * o.stride.dx + r * FNN_BLOCK
            for l in range(FNN_BLOCK):
                total = 0.0
                if j * FNN_BLOCK + l < channels:
                    for k in range(times):
                        number = (j * FNN_BLOCK + l) * times + k
                        total += dy[number // FNN_BLOCK * o.stride.dy + r * FNN_BLOCK + number % FNN_BLOCK]
                out[l] = out[l] + total if o.d.accumulate else total


KERNELS = {
    "depthwise_forward": <size_t> &depthwise_forward,
    "depthwise_backward_input": <size_t> &depthwise_backward_input,
    "depthwise_backward_weights": <size_t> &depthwise_backward_weights,
    "repeat_channels": <size_t> &repeat_channels,
    "sum_repeated": <size_t> &sum_repeated,
}
