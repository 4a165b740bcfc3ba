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
from fastnn.kernels.windows cimport sum_lines

cdef enum:
    # Lines that are made at a time, and stay in the first-level cache until they are finished.
    PANEL = 128


cdef void depthwise_forward(const Op *op, const Step *step, int i, int n) noexcept nogil:
    cdef const float *x = <const float *> op.t[0]        # IN (rows * positions, features)
    cdef const float *kernel = <const float *> op.t[1]   # IN (taps, features), packed
    cdef const float *bias = <const float *> op.t[2]     # IN (features,) or NULL
    cdef const int32_t *windows = <const int32_t *> op.t[3]  # IN (windows of a row, taps)
    cdef float *y = <float *> op.t[4]                    # OUT (rows * windows, features)
    cdef float *z = <float *> op.t[5]                    # OUT likewise, or NULL
    cdef float *sums = y if z == NULL else z
    cdef int64_t kernel_block = op.d[1], activation = op.d[2], taps = op.d[3], windows_of_row = op.d[4]
    cdef int64_t e0, e1, e, j, q, m, at
    share(step.rows, 1, i, n, &e0, &e1)
    for e in range(e0, e1):
        for j in range(blocks_of(op.d[0])):
            q = 0
            while q < windows_of_row:
                m = smaller(PANEL, windows_of_row - q)
                at = j * op.stride[4] + (e * windows_of_row + q) * FNN_BLOCK
                step.k.depthwise(m, taps, windows + q * taps, kernel + j * kernel_block,
                                 x + j * op.stride[0] + e * op.positions * FNN_BLOCK, sums + at)
                if bias != NULL:
                    step.k.add_bias(m, bias + j * FNN_BLOCK, sums + at)
                if activation != 0 or z != NULL:
                    step.k.activation[activation](m * FNN_BLOCK, op.f, sums + at, y + at)
                q += m


cdef void depthwise_backward_input(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """dx [+]= the sum over taps of dz w, times the derivative of the activation that made x."""
    cdef const float *dz = <const float *> op.t[0]       # IN (rows * windows, features)
    cdef const float *kernel = <const float *> op.t[1]   # IN (taps, features), packed
    cdef const int32_t *windows = <const int32_t *> op.t[2]  # IN (positions, taps): the window that a position is in
    cdef float *dx = <float *> op.t[3]                   # OUT (rows * positions, features)
    cdef const float *x_z = <const float *> op.t[4]      # IN likewise or NULL: x = f(x_z)
    cdef const float *x = <const float *> op.t[5]        # IN likewise or NULL
    cdef int64_t kernel_block = op.d[1], activation = op.d[2], taps = op.d[3], positions = op.d[4]
    cdef int64_t e0, e1, e, j, p, m, at
    cdef float *out
    share(step.rows, 1, i, n, &e0, &e1)
    for e in range(e0, e1):
        for j in range(blocks_of(op.d[0])):
            p = 0
            while p < positions:
                m = smaller(PANEL, positions - p)
                at = j * op.stride[3] + (e * positions + p) * FNN_BLOCK
                out = step.scratch if op.d[5] else dx + at
                step.k.depthwise(m, taps, windows + p * taps, kernel + j * kernel_block,
                                 dz + j * op.stride[0] + e * op.positions * FNN_BLOCK, out)
                if activation != 0:
                    step.k.activation_backward[activation](m * FNN_BLOCK, op.f, x_z + at if x_z != NULL else NULL,
                                                           x + at, out, out)
                if op.d[5]:
                    step.k.add(m * FNN_BLOCK, out, dx + at)
                p += m


cdef void depthwise_backward_weights(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """The sums over each slice of the examples: of x dz for each tap, then of dz. A task is a block and a slice."""
    cdef const float *x = <const float *> op.t[0]        # IN (rows * positions, features)
    cdef const float *dz = <const float *> op.t[1]       # IN (rows * windows, features)
    cdef const int32_t *windows = <const int32_t *> op.t[2]  # IN (windows of a row, taps)
    cdef float *partials = <float *> op.t[3]             # OUT (slices, blocks, taps + 1, 16)
    cdef int64_t blocks = blocks_of(op.d[0]), slice = op.d[1], taps = op.d[2], windows_of_row = op.d[3]
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
                                       x + j * op.stride[0] + e * op.positions * FNN_BLOCK,
                                       dz + j * op.stride[1] + (e * windows_of_row + q) * FNN_BLOCK, out)
                q += m
        sum_lines(step, dz + j * op.stride[1], e0 * windows_of_row, e1 * windows_of_row, out + taps * FNN_BLOCK)


cdef void repeat_channels(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """y: each number of x several times, one after another."""
    cdef const float *x = <const float *> op.t[0]        # IN (rows, channels)
    cdef float *y = <float *> op.t[1]                    # OUT (rows, channels * times)
    cdef int64_t times = op.d[1], r0, r1, r, j, l
    cdef int64_t lanes[FNN_BLOCK]
    cdef const float *line
    cdef float *out
    share_rows(op, step, i, n, &r0, &r1)
    for j in range(blocks_of(op.d[0] * times)):
        # As many blocks are made of each block of x as each number is repeated.
        for l in range(FNN_BLOCK):
            lanes[l] = (j % times * FNN_BLOCK + l) // times
        for r in range(r0, r1):
            line = x + j // times * op.stride[0] + r * FNN_BLOCK
            out = y + j * op.stride[1] + r * FNN_BLOCK
            for l in range(FNN_BLOCK):
                out[l] = line[lanes[l]]


cdef void sum_repeated(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """dx [+]= the sum of the gradients of what each number was repeated to, in order"""
    cdef const float *dy = <const float *> op.t[0]       # IN (rows, channels * times)
    cdef float *dx = <float *> op.t[1]                   # OUT (rows, channels)
    cdef int64_t channels = op.d[0], times = op.d[1], r0, r1, r, j, l, k, number
    cdef float total
    cdef float *out
    share_rows(op, step, i, n, &r0, &r1)
    for j in range(blocks_of(channels)):
        for r in range(r0, r1):
            out = dx + j * op.stride[1] + r * FNN_BLOCK
            for l in range(FNN_BLOCK):
                total = 0.0
                if j * FNN_BLOCK + l < channels:
                    for k in range(times):
                        number = (j * FNN_BLOCK + l) * times + k
                        total += dy[number // FNN_BLOCK * op.stride[0] + r * FNN_BLOCK + number % FNN_BLOCK]
                out[l] = out[l] + total if op.d[2] else total


KERNELS = {
    "depthwise_forward": <size_t> &depthwise_forward,
    "depthwise_backward_input": <size_t> &depthwise_backward_input,
    "depthwise_backward_weights": <size_t> &depthwise_backward_weights,
    "repeat_channels": <size_t> &repeat_channels,
    "sum_repeated": <size_t> &sum_repeated,
}
