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
from fastnn.kernels.operands cimport (
    DropChannels, DropWeights, Dropout, GaussianExpectation, GaussianNoise, Square, SquareWeights
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
    cdef const Dropout *o = <const Dropout *> &op.operands
    cdef const float *x = <const float *> o.t.x          # IN (rows, features)
    cdef float *y = <float *> o.t.y                      # OUT (rows, features)
    cdef fnn_noise noise = noise_of(&o.d.noise, step, o.f.scale)
    cdef int64_t r0, r1, r, j, at, m
    cdef Counted counted
    share_rows(op, step, i, n, &r0, &r1)
    for j in range(blocks_of(o.d.features)):
        r = r0
        while r < r1:
            counted = count_rows(op, r, r1)
            m = smaller(PANEL, counted.rows)
            at = j * o.stride.x + r * FNN_BLOCK
            if o.d.accumulate:
                step.k.drop(&noise, m, counted.row, j * FNN_BLOCK, x + at, step.scratch)
                step.k.add(m * FNN_BLOCK, step.scratch, y + at)
            else:
                step.k.drop(&noise, m, counted.row, j * FNN_BLOCK, x + at, y + at)
            r += m


cdef void drop_channels(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """y [+]= scale x where the random number of the row's channel is not below the threshold."""
    cdef const DropChannels *o = <const DropChannels *> &op.operands
    cdef const float *x = <const float *> o.t.x          # IN (rows, positions, features)
    cdef float *y = <float *> o.t.y                      # OUT (rows, positions, features)
    cdef fnn_noise noise = noise_of(&o.d.noise, step, o.f.scale)
    cdef float *factors = step.scratch                   # (4, 16): of so many rows at a time
    cdef float *ones = step.scratch + 4 * FNN_BLOCK
    cdef float *part = step.scratch + 8 * FNN_BLOCK
    cdef int64_t r0, r1, r, j, at, p, m, k
    for k in range(4 * FNN_BLOCK):
        ones[k] = 1.0
    share(step.rows, 1, i, n, &r0, &r1)
    for j in range(blocks_of(o.d.features)):
        for r in range(r0, r1):
            if r == r0 or r % 4 == 0:
                step.k.drop(&noise, 4, r // 4 * 4, j * FNN_BLOCK, ones, factors)
            p = 0
            while p < op.positions:
                m = smaller(PANEL, op.positions - p)
                at = j * o.stride.x + (r * op.positions + p) * FNN_BLOCK
                if o.d.accumulate:
                    step.k.drop_columns(m, factors + r % 4 * FNN_BLOCK, x + at, part)
                    step.k.add(m * FNN_BLOCK, part, y + at)
                else:
                    step.k.drop_columns(m, factors + r % 4 * FNN_BLOCK, x + at, y + at)
                p += m


cdef void gaussian_noise(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """y = x + stddev * a standard normal number"""
    cdef const GaussianNoise *o = <const GaussianNoise *> &op.operands
    cdef const float *x = <const float *> o.t.x          # IN (rows, features)
    cdef float *y = <float *> o.t.y                      # OUT (rows, features)
    cdef fnn_noise noise = noise_of(&o.d.noise, step, o.f.scale)
    cdef int64_t r0, r1, r, j, at
    cdef Counted counted
    share_rows(op, step, i, n, &r0, &r1)
    for j in range(blocks_of(o.d.features)):
        r = r0
        while r < r1:
            counted = count_rows(op, r, r1)
            at = j * o.stride.x + r * FNN_BLOCK
            step.k.add_normal(&noise, counted.rows, counted.row, j * FNN_BLOCK,
                              smaller(FNN_BLOCK, o.d.features - j * FNN_BLOCK), x + at, y + at)
            r += counted.rows


cdef void drop_weights(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """A copy of a weight with some of it dropped: scale w, or -0. A weight that is kept is never -0."""
    cdef const DropWeights *o = <const DropWeights *> &op.operands
    cdef const float *w = <const float *> o.t.w          # IN (inputs, units), packed
    cdef float *dropped = <float *> o.t.dropped          # OUT likewise
    cdef int64_t inputs = o.d.inputs, blocks = blocks_of(o.d.units), block = o.d.kernel_block
    cdef fnn_noise noise = noise_of(&o.d.noise, step, o.f.scale)
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
    cdef const Square *o = <const Square *> &op.operands
    cdef const float *x = <const float *> o.t.x          # IN (rows, features)
    cdef float *y = <float *> o.t.y                      # OUT (rows, features)
    cdef int64_t r0, r1, j, at
    share_rows(op, step, i, n, &r0, &r1)
    for j in range(blocks_of(o.d.features)):
        at = j * o.stride.x + r0 * FNN_BLOCK
        step.k.square((r1 - r0) * FNN_BLOCK, x + at, y + at)


cdef void square_weights(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """y = w^2"""
    cdef const SquareWeights *o = <const SquareWeights *> &op.operands
    cdef const float *w = <const float *> o.t.w          # IN (size,)
    cdef float *y = <float *> o.t.y                      # OUT (size,)
    cdef int64_t begin, end
    share(o.d.size, FNN_BLOCK, i, n, &begin, &end)
    step.k.square(end - begin, w + begin, y + begin)


cdef void gaussian_expectation(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """y = the expectation of f(Z), Z normal with a mean and ratio * variance.

    Exact for relu and leaky_relu; else a quadrature, sum of weight * f(mean + node * deviation).
    """
    cdef const GaussianExpectation *o = <const GaussianExpectation *> &op.operands
    cdef const float *mean = <const float *> o.t.mean    # IN (rows, features)
    cdef const float *variance = <const float *> o.t.variance  # IN (rows, features)
    cdef const float *nodes = <const float *> o.t.nodes  # IN (2, points): nodes, then their weights
    cdef float *y = <float *> o.t.y                      # OUT (rows, features)
    cdef int64_t activation = o.d.activation, points = o.d.points
    cdef float *deviation = step.scratch
    cdef float *z = step.scratch + PANEL * FNN_BLOCK
    cdef int64_t r0, r1, r, j, at, m, p
    share_rows(op, step, i, n, &r0, &r1)
    for j in range(blocks_of(o.d.features)):
        r = r0
        while r < r1:
            at = j * o.stride.mean + r * FNN_BLOCK
            m = smaller(PANEL, r1 - r)
            r += m
            m *= FNN_BLOCK
            step.k.deviation(m, o.f.ratio, variance + at, deviation)
            if activation == FNN_RELU or activation == FNN_LEAKY_RELU:
                step.k.leaky_relu_expectation(m, o.f.params[0] if activation == FNN_LEAKY_RELU else 0.0, mean + at,
                                              deviation, y + at)
                continue
            memset(y + at, 0, m * sizeof(float))
            for p in range(points):
                memcpy(z, mean + at, m * sizeof(float))
                step.k.axpby(m, nodes[p], deviation, 1.0, z)
                step.k.activation[activation](m, o.f.params, z, z)
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
