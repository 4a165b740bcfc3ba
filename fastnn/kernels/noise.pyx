"""Noise: Dropout, GaussianNoise and DropConnect, and the expectations over DropConnect's masks.

Design
- Random numbers are counted, not drawn one after another: see csrc/random.inc.c. A mask is not stored,
  the backward pass works it out again; but where the zeros of what was dropped are at hand, they tell.
- Dropout after a rectifier has no op of its own: the op that rectifies drops, too (`drop_activated` in
  op.pxd), and the derivative is found from the result.
"""

from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset

from fastnn.kernels.csrc cimport FNN_BLOCK, FNN_LEAKY_RELU, FNN_RELU, fnn_noise
from fastnn.kernels.op cimport (
    Op, Step, blocks_of, blocks_of_task, noise_of, parts, share, share_rows, smaller, take
)

cdef enum:
    # Rows of a weight, or of a block of activations, that are gone through at a time.
    PANEL = 128

# Rows whose random numbers are counted one after another, and the number of the first.
cdef struct Counted:
    int64_t rows
    int64_t row


cdef inline Counted count_rows(const Op *op, int64_t begin, int64_t end) noexcept nogil:
    """From row `begin` on, up to `end`. An example of several positions begins at a multiple of four, where the
    numbers may be cut."""
    cdef Counted counted
    cdef int64_t of_example = parts(op.positions, 4) * 4
    if op.positions == 1:
        counted.rows, counted.row = end - begin, begin
    else:
        counted.rows = smaller(op.positions - begin % op.positions, end - begin)
        counted.row = begin // op.positions * of_example + begin % op.positions
    return counted


cdef void dropout(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """y [+]= scale x where the random number is not below the threshold: forward and backward."""
    cdef const float *x = <const float *> op.t[0]        # IN (rows, features)
    cdef float *y = <float *> op.t[1]                    # OUT (rows, features)
    cdef fnn_noise noise = noise_of(op, step, 2, op.f[0])
    cdef int64_t r0, r1, r, j, at, m
    cdef Counted counted
    share_rows(op, step, i, n, &r0, &r1)
    for j in range(blocks_of(op.d[0])):
        r = r0
        while r < r1:
            counted = count_rows(op, r, r1)
            m = smaller(PANEL, counted.rows)
            at = j * op.stride[0] + r * FNN_BLOCK
            if op.d[1]:
                step.k.drop(&noise, m, counted.row, j * FNN_BLOCK, x + at, step.scratch)
                step.k.add(m * FNN_BLOCK, step.scratch, y + at)
            else:
                step.k.drop(&noise, m, counted.row, j * FNN_BLOCK, x + at, y + at)
            r += m


cdef void drop_channels(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """y [+]= scale x where the random number of the row's channel is not below the threshold."""
    cdef const float *x = <const float *> op.t[0]        # IN (rows, positions, features)
    cdef float *y = <float *> op.t[1]                    # OUT (rows, positions, features)
    cdef fnn_noise noise = noise_of(op, step, 2, op.f[0])
    cdef float *factors = step.scratch                   # (4, 16): of so many rows at a time
    cdef float *ones = step.scratch + 4 * FNN_BLOCK
    cdef float *part = step.scratch + 8 * FNN_BLOCK
    cdef int64_t r0, r1, r, j, at, p, m, k
    for k in range(4 * FNN_BLOCK):
        ones[k] = 1.0
    share(step.rows, 1, i, n, &r0, &r1)
    for j in range(blocks_of(op.d[0])):
        for r in range(r0, r1):
            if r == r0 or r % 4 == 0:
                step.k.drop(&noise, 4, r // 4 * 4, j * FNN_BLOCK, ones, factors)
            p = 0
            while p < op.positions:
                m = smaller(PANEL, op.positions - p)
                at = j * op.stride[0] + (r * op.positions + p) * FNN_BLOCK
                if op.d[1]:
                    step.k.drop_columns(m, factors + r % 4 * FNN_BLOCK, x + at, part)
                    step.k.add(m * FNN_BLOCK, part, y + at)
                else:
                    step.k.drop_columns(m, factors + r % 4 * FNN_BLOCK, x + at, y + at)
                p += m


cdef void gaussian_noise(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """y = x + stddev * a standard normal number"""
    cdef const float *x = <const float *> op.t[0]        # IN (rows, features)
    cdef float *y = <float *> op.t[1]                    # OUT (rows, features)
    cdef fnn_noise noise = noise_of(op, step, 1, op.f[0])
    cdef int64_t r0, r1, r, j, at
    cdef Counted counted
    share_rows(op, step, i, n, &r0, &r1)
    for j in range(blocks_of(op.d[0])):
        r = r0
        while r < r1:
            counted = count_rows(op, r, r1)
            at = j * op.stride[0] + r * FNN_BLOCK
            step.k.add_normal(&noise, counted.rows, counted.row, j * FNN_BLOCK,
                              smaller(FNN_BLOCK, op.d[0] - j * FNN_BLOCK), x + at, y + at)
            r += counted.rows


cdef void drop_weights(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """A copy of a weight with some of it dropped: scale w, or -0. A weight that is kept is never -0."""
    cdef const float *w = <const float *> op.t[0]        # IN (inputs, units), packed
    cdef float *dropped = <float *> op.t[1]              # OUT likewise
    cdef int64_t inputs = op.d[0], blocks = blocks_of(op.d[1]), block = op.d[2]
    cdef fnn_noise noise = noise_of(op, step, 3, op.f[0])
    cdef int64_t panels = parts(inputs, PANEL), group = blocks_of_task(blocks, panels, n)
    cdef int64_t task, r, m, j, at
    cdef int turn = 0
    while True:
        task = take(step, panels * parts(blocks, group), i, n, &turn)
        if task < 0:
            break
        r = task % panels * PANEL
        m = smaller(PANEL, inputs - r)
        for j in range(task // panels * group, smaller((task // panels + 1) * group, blocks)):
            at = j * block + r * FNN_BLOCK
            step.k.drop_marked(&noise, m, r, j * FNN_BLOCK, w + at, dropped + at)


cdef void square(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """y = x^2"""
    cdef const float *x = <const float *> op.t[0]        # IN (rows, features)
    cdef float *y = <float *> op.t[1]                    # OUT (rows, features)
    cdef int64_t r0, r1, j, at
    share_rows(op, step, i, n, &r0, &r1)
    for j in range(blocks_of(op.d[0])):
        at = j * op.stride[0] + r0 * FNN_BLOCK
        step.k.square((r1 - r0) * FNN_BLOCK, x + at, y + at)


cdef void square_weights(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """y = w^2"""
    cdef const float *w = <const float *> op.t[0]        # IN (size,)
    cdef float *y = <float *> op.t[1]                    # OUT (size,)
    cdef int64_t begin, end
    share(op.d[0], FNN_BLOCK, i, n, &begin, &end)
    step.k.square(end - begin, w + begin, y + begin)


cdef void gaussian_expectation(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """y = the expectation of f(Z), Z normal with a mean and ratio * variance.

    Exact for relu and leaky_relu; else a quadrature, sum of weight * f(mean + node * deviation).
    """
    cdef const float *mean = <const float *> op.t[0]     # IN (rows, features)
    cdef const float *variance = <const float *> op.t[1] # IN (rows, features)
    cdef const float *nodes = <const float *> op.t[2]    # IN (2, points): nodes, then their weights
    cdef float *y = <float *> op.t[3]                    # OUT (rows, features)
    cdef int64_t activation = op.d[1], points = op.d[2]
    cdef float *deviation = step.scratch
    cdef float *z = step.scratch + PANEL * FNN_BLOCK
    cdef int64_t r0, r1, r, j, at, m, p
    share_rows(op, step, i, n, &r0, &r1)
    for j in range(blocks_of(op.d[0])):
        r = r0
        while r < r1:
            at = j * op.stride[0] + r * FNN_BLOCK
            m = smaller(PANEL, r1 - r)
            r += m
            m *= FNN_BLOCK
            step.k.deviation(m, op.f[3], variance + at, deviation)
            if activation == FNN_RELU or activation == FNN_LEAKY_RELU:
                step.k.leaky_relu_expectation(m, op.f[0] if activation == FNN_LEAKY_RELU else 0.0, mean + at,
                                              deviation, y + at)
                continue
            memset(y + at, 0, m * sizeof(float))
            for p in range(points):
                memcpy(z, mean + at, m * sizeof(float))
                step.k.axpby(m, nodes[p], deviation, 1.0, z)
                step.k.activation[activation](m, op.f, z, z)
                step.k.axpby(m, nodes[points + p], z, 1.0, y + at)


KERNELS = {
    "dropout": <size_t> &dropout,
    "drop_channels": <size_t> &drop_channels,
    "gaussian_noise": <size_t> &gaussian_noise,
    "drop_weights": <size_t> &drop_weights,
    "square": <size_t> &square,
    "square_weights": <size_t> &square_weights,
    "gaussian_expectation": <size_t> &gaussian_expectation,
}
