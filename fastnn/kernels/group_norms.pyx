"""Normalization of each row over groups of its channels, with all their positions (GroupNormalization).

Design
- A row belongs to one member of the team; sums over rows are a member's for a block of 16 channels. So
  nothing depends on the team.
- Statistics of a channel come from csrc, in float32 around a pivot (csrc/norms.inc.c). Those of a group are
  put together from its channels', one after the other, in float64: a channel may lie far from the next.
- A group's statistics are written out for the 16 channels of a block where they are used: a group may begin
  anywhere in a block, and end in another.
"""

from libc.math cimport sqrt
from libc.stdint cimport int64_t

from fastnn.kernels.csrc cimport FNN_BLOCK, FNN_CHUNK, FNN_STATISTICS
from fastnn.kernels.norms cimport normalize_block, put_gradient
from fastnn.kernels.op cimport Op, Step, blocks_of, parts, share, smaller, take
from fastnn.kernels.operands cimport GroupnormBackward, GroupnormBackwardWeights, GroupnormForward

cdef enum:
    # Of a group: x_hat = (x - pivot) * rstd + shift.
    PIVOT, RSTD, SHIFT, OF_GROUP
    # Means over a group of g = gamma dz, and of g x_hat.
    MEAN = 0
    SLOPE, MEANS

GROUP_STATISTICS = OF_GROUP
GROUP_MEANS = MEANS


cdef inline float *lanes(const Step *step, int number) noexcept nogil:
    """Room in scratch for a number of each of 16 channels, after what a channel's sums take."""
    return step.scratch + (FNN_STATISTICS + number) * FNN_BLOCK


cdef inline void spread(const float *groups, int64_t width, int64_t line, int64_t size, int64_t features, int64_t j,
                        float *to) noexcept nogil:
    """Line `line` of each group's numbers (groups, width), for the channels of block j; 0 for its padding."""
    cdef int64_t c
    for c in range(j * FNN_BLOCK, (j + 1) * FNN_BLOCK):
        to[c - j * FNN_BLOCK] = groups[c // size * width + line] if c < features else 0.0


cdef void groupnorm_forward(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """y = f(gamma * (x - mean) / sqrt(variance + epsilon) + beta), mean and variance of each row's group."""
    cdef const GroupnormForward *o = <const GroupnormForward *> &op.operands
    cdef const float *x = <const float *> o.t.x          # IN (rows, positions, features)
    cdef const float *gamma = <const float *> o.t.gamma  # IN (features,) or NULL
    cdef const float *beta = <const float *> o.t.beta    # IN (features,) or NULL
    cdef float *statistics = <float *> o.t.statistics    # OUT (rows, groups, OF_GROUP)
    cdef float *z = <float *> o.t.z                      # OUT (rows, positions, features) or NULL
    cdef float *y = <float *> o.t.y                      # OUT (rows, positions, features)
    cdef int64_t features = o.d.features, groups = o.d.groups, positions = op.positions, size = features // groups
    cdef float *of_row
    cdef float *pivot = lanes(step, 0)
    cdef float *scale = lanes(step, 1)
    cdef float *shift = lanes(step, 2)
    cdef int64_t r0, r1, r, j, at, f
    cdef int lane
    share(step.rows, 1, i, n, &r0, &r1)
    for r in range(r0, r1):
        of_row = statistics + r * groups * OF_GROUP
        find_statistics(op, step, x + r * positions * FNN_BLOCK, size, of_row)
        for j in range(blocks_of(features)):
            at, f = j * o.stride.x + r * positions * FNN_BLOCK, j * FNN_BLOCK
            spread(of_row, OF_GROUP, PIVOT, size, features, j, pivot)
            spread(of_row, OF_GROUP, RSTD, size, features, j, scale)
            spread(of_row, OF_GROUP, SHIFT, size, features, j, shift)
            for lane in range(FNN_BLOCK):
                if gamma != NULL:
                    scale[lane] *= gamma[f + lane]
                    shift[lane] *= gamma[f + lane]
                if beta != NULL:
                    shift[lane] += beta[f + lane]
            normalize_block(&o.d.activated, o.f.params, step, x + at, pivot, scale, shift,
                            z + at if z != NULL else NULL, y + at, r * parts(positions, 4) * 4, positions, j)


cdef void find_statistics(const Op *op, const Step *step, const float *x, int64_t size,
                          float *of_row) noexcept nogil:
    """Of all groups of a row, its channels' one after the other: Chan, Golub & LeVeque 1979."""
    cdef const GroupnormForward *o = <const GroupnormForward *> &op.operands
    cdef float *statistics = step.scratch                # (FNN_STATISTICS, 16)
    cdef int64_t features = o.d.features, positions = op.positions, j, c, k
    cdef double mean = 0.0, squares = 0.0, distance, of_channel
    for j in range(blocks_of(features)):
        step.k.batch_statistics(positions, o.f.epsilon, x + j * o.stride.x, statistics)
        for c in range(smaller(FNN_BLOCK, features - j * FNN_BLOCK)):
            k = (j * FNN_BLOCK + c) % size               # channels of the group before this one
            if k == 0:
                mean = squares = 0.0
            of_channel = <double> statistics[c] + statistics[FNN_BLOCK + c]
            distance = of_channel - mean
            squares += statistics[2 * FNN_BLOCK + c] + distance * distance * k / (k + 1)
            mean += distance / (k + 1)
            if k == size - 1:
                of_row[PIVOT] = <float> mean
                of_row[RSTD] = <float> (1.0 / sqrt(squares / size + o.f.epsilon))
                of_row[SHIFT] = <float> ((of_row[PIVOT] - mean) * of_row[RSTD])
                of_row += OF_GROUP


cdef inline void sums_of_channels(const Op *op, const Step *step, const float *pivot, const float *x,
                                  const float *dz, float *sums) noexcept nogil:
    """sums (2, 16) = sum of dz, sum of dz (x - pivot) over the positions of a row, of a block."""
    cdef int64_t p = 0
    while p < op.positions:
        step.k.batch_sums(smaller(FNN_CHUNK, op.positions - p), p > 0, pivot, x + p * FNN_BLOCK, dz + p * FNN_BLOCK,
                          sums)
        p += FNN_CHUNK


cdef void groupnorm_backward(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """dx [+]= rstd * (g - mean of g - x_hat * mean of g x_hat), g = gamma dz, means over the group"""
    cdef const GroupnormBackward *o = <const GroupnormBackward *> &op.operands
    cdef const float *dz = <const float *> o.t.dz        # IN (rows, positions, features)
    cdef const float *x = <const float *> o.t.x          # IN (rows, positions, features)
    cdef const float *gamma = <const float *> o.t.gamma  # IN (features,) or NULL
    cdef const float *statistics = <const float *> o.t.statistics  # IN (rows, groups, OF_GROUP)
    cdef float *means = <float *> o.t.means              # OUT (rows, groups, MEANS)
    cdef float *dx = <float *> o.t.dx                    # OUT (rows, positions, features)
    cdef int64_t features = o.d.features, groups = o.d.groups, positions = op.positions, size = features // groups
    cdef const float *of_row
    cdef float *means_of_row
    cdef float *pivot = lanes(step, 0)
    cdef float *rstd = lanes(step, 1)
    cdef float *shift = lanes(step, 2)
    cdef float *scale = lanes(step, 3)
    cdef float *mean = lanes(step, 4)
    cdef float *slope = lanes(step, 5)
    cdef int64_t r0, r1, r, j, at
    cdef int lane
    share(step.rows, 1, i, n, &r0, &r1)
    for r in range(r0, r1):
        of_row = statistics + r * groups * OF_GROUP
        means_of_row = means + r * groups * MEANS
        at = r * positions * FNN_BLOCK
        find_means(op, step, x + at, dz + at, gamma, of_row, size, means_of_row)
        for j in range(blocks_of(features)):
            at = j * o.stride.dz + r * positions * FNN_BLOCK
            spread(of_row, OF_GROUP, PIVOT, size, features, j, pivot)
            spread(of_row, OF_GROUP, RSTD, size, features, j, rstd)
            spread(of_row, OF_GROUP, SHIFT, size, features, j, shift)
            spread(means_of_row, MEANS, MEAN, size, features, j, mean)
            spread(means_of_row, MEANS, SLOPE, size, features, j, slope)
            for lane in range(FNN_BLOCK):
                scale[lane] = rstd[lane] * (1 if gamma == NULL else gamma[j * FNN_BLOCK + lane])
                shift[lane] = rstd[lane] * (mean[lane] + slope[lane] * shift[lane])
                slope[lane] = rstd[lane] * rstd[lane] * slope[lane]
            step.k.group_gradient(positions, <int> o.d.accumulate, pivot, scale, shift, slope, x + at, dz + at, dx + at)


cdef void find_means(const Op *op, const Step *step, const float *x, const float *dz, const float *gamma,
                     const float *of_row, int64_t size, float *means) noexcept nogil:
    """Of all groups of a row."""
    cdef const GroupnormBackward *o = <const GroupnormBackward *> &op.operands
    cdef float *sums = step.scratch                      # (2, 16)
    cdef float *pivot = lanes(step, 0)
    cdef int64_t features = o.d.features, j, c, k
    cdef double weight, mean = 0.0, slope = 0.0, count = <double> size * op.positions
    cdef const float *group
    for j in range(blocks_of(features)):
        spread(of_row, OF_GROUP, PIVOT, size, features, j, pivot)
        sums_of_channels(op, step, pivot, x + j * o.stride.dz, dz + j * o.stride.dz, sums)
        for c in range(smaller(FNN_BLOCK, features - j * FNN_BLOCK)):
            k = j * FNN_BLOCK + c
            group = of_row + k // size * OF_GROUP
            if k % size == 0:
                mean = slope = 0.0
            weight = 1.0 if gamma == NULL else gamma[k]
            mean += weight * sums[c]
            slope += weight * (<double> sums[FNN_BLOCK + c] * group[RSTD] + <double> sums[c] * group[SHIFT])
            if k % size == size - 1:
                means[MEAN] = <float> (mean / count)
                means[SLOPE] = <float> (slope / count)
                means += MEANS


cdef void groupnorm_backward_weights(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """d_beta = sum of dz over the batch and all positions, d_gamma = sum of dz x_hat."""
    cdef const GroupnormBackwardWeights *o = <const GroupnormBackwardWeights *> &op.operands
    cdef const float *dz = <const float *> o.t.dz        # IN (rows, positions, features)
    cdef const float *x = <const float *> o.t.x          # IN (rows, positions, features)
    cdef const float *statistics = <const float *> o.t.statistics  # IN (rows, groups, OF_GROUP)
    cdef float *d_gamma = <float *> o.t.d_gamma          # OUT (features,) or NULL
    cdef float *d_beta = <float *> o.t.d_beta            # OUT (features,) or NULL
    cdef int64_t features = o.d.features, groups = o.d.groups, size = features // groups
    cdef float *sums = step.scratch                      # (2, 16)
    cdef const float *of_row
    cdef float *pivot = lanes(step, 0)
    cdef float *rstd = lanes(step, 1)
    cdef float *shift = lanes(step, 2)
    cdef double total[16]
    cdef double product[16]
    cdef int64_t j, r, at
    cdef int lane, turn = 0
    while True:
        j = take(step, blocks_of(features), i, n, &turn)
        if j < 0:
            break
        for lane in range(FNN_BLOCK):
            total[lane] = product[lane] = 0.0
        for r in range(step.rows):
            of_row = statistics + r * groups * OF_GROUP
            at = j * o.stride.dz + r * op.positions * FNN_BLOCK
            spread(of_row, OF_GROUP, PIVOT, size, features, j, pivot)
            spread(of_row, OF_GROUP, RSTD, size, features, j, rstd)
            spread(of_row, OF_GROUP, SHIFT, size, features, j, shift)
            sums_of_channels(op, step, pivot, x + at, dz + at, sums)
            for lane in range(FNN_BLOCK):
                total[lane] += sums[lane]
                product[lane] += <double> sums[FNN_BLOCK + lane] * rstd[lane] + <double> sums[lane] * shift[lane]
        for lane in range(FNN_BLOCK):
            sums[lane] = <float> total[lane]
            sums[FNN_BLOCK + lane] = <float> product[lane]
        put_gradient(step, sums, o.d.accumulate_beta, d_beta + j * FNN_BLOCK if d_beta != NULL else NULL)
        put_gradient(step, sums + FNN_BLOCK, o.d.accumulate_gamma, d_gamma + j * FNN_BLOCK if d_gamma != NULL else NULL)


KERNELS = {
    "groupnorm_forward": <size_t> &groupnorm_forward,
    "groupnorm_backward": <size_t> &groupnorm_backward,
    "groupnorm_backward_weights": <size_t> &groupnorm_backward_weights,
}
