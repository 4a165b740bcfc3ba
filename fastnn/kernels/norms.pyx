"""Normalization: over the batch (BatchNormalization) and over the features (LayerNormalization).

Design
- Statistics over the batch belong to a block of 16 features: a member of the team takes blocks, and
  goes over one's rows while they are in cache. Statistics over the features belong to a row: a member
  takes rows, sixteen at a time.
- Neither depends on the team: see csrc/norms.inc.c for the order of sums, and for the statistics' form.
- The activation that follows is applied to what is in cache.
- The gradient of a batch-normalized block is turned round at once for the product with W' that reads it.
"""

from libc.math cimport sqrtf
from libc.stdint cimport int64_t

from fastnn.kernels.csrc cimport FNN_BLOCK, FNN_CHUNK, FNN_ROW_STATISTICS, FNN_STATISTICS
from fastnn.kernels.norms cimport normalize_block, put_gradient
from fastnn.kernels.op cimport (
    ROW_UNIT, Op, Step, blocks_of, drop_activated, rows_of, share, share_rows, smaller, take
)
from fastnn.kernels.operands cimport (
    BatchnormBackward, BatchnormForward, BatchnormInference, BatchnormInferenceBackward, BatchnormUpdateMoving,
    LayernormBackward, LayernormBackwardWeights, LayernormForward
)


cdef inline void scale_of(const float *gamma, const float *variance, float epsilon,
                          float *scale) noexcept nogil:
    """scale (16,) = gamma / sqrt(variance + epsilon)"""
    cdef int lane
    for lane in range(FNN_BLOCK):
        scale[lane] = (1 if gamma == NULL else gamma[lane]) / sqrtf(variance[lane] + epsilon)


cdef void batchnorm_forward(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """y = f(gamma * (x - mean) / sqrt(variance + epsilon) + beta), the mean and variance the batch's."""
    cdef const BatchnormForward *o = <const BatchnormForward *> &op.operands
    cdef const float *x = <const float *> o.t.x          # IN (rows, features)
    cdef const float *gamma = <const float *> o.t.gamma  # IN (features,) or NULL
    cdef const float *beta = <const float *> o.t.beta    # IN (features,) or NULL
    cdef float *statistics = <float *> o.t.statistics    # OUT (blocks, FNN_STATISTICS, 16)
    cdef float *z = <float *> o.t.z                      # OUT (rows, features) or NULL
    cdef float *y = <float *> o.t.y                      # OUT (rows, features)
    cdef const float *pivot
    cdef const float *offset
    cdef const float *rstd
    cdef float *scale = step.scratch
    cdef float *shift = step.scratch + FNN_BLOCK
    cdef int64_t blocks = blocks_of(o.d.features)
    cdef int64_t j, at, f
    cdef int lane, turn = 0
    while True:
        j = take(step, blocks, i, n, &turn)
        if j < 0:
            break
        at, f = j * o.stride.x, j * FNN_BLOCK
        pivot = statistics + j * FNN_STATISTICS * FNN_BLOCK
        offset = pivot + FNN_BLOCK
        rstd = pivot + 3 * FNN_BLOCK
        step.k.batch_statistics(rows_of(op, step), o.f.epsilon, x + at, statistics + j * FNN_STATISTICS * FNN_BLOCK)
        for lane in range(FNN_BLOCK):
            scale[lane] = rstd[lane] * (1 if gamma == NULL else gamma[f + lane])
            shift[lane] = (0 if beta == NULL else beta[f + lane]) - offset[lane] * scale[lane]
        normalize_block(&o.d.activated, o.f.params, step, x + at, pivot, scale, shift,
                        z + at if z != NULL else NULL, y + at, 0, rows_of(op, step), j)


cdef void batchnorm_update_moving(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """moving = moving * momentum + of the batch * (1 - momentum), the variance the biased one."""
    cdef const BatchnormUpdateMoving *o = <const BatchnormUpdateMoving *> &op.operands
    cdef const float *statistics = <const float *> o.t.statistics  # IN (blocks, FNN_STATISTICS, 16)
    cdef float *moving_mean = <float *> o.t.moving_mean  # INOUT (features,)
    cdef float *moving_variance = <float *> o.t.moving_variance  # INOUT (features,)
    cdef const float *block
    cdef float mean
    cdef int64_t begin, end, f, lane
    share(o.d.features, FNN_BLOCK, i, n, &begin, &end)
    for f in range(begin, end):
        lane = f % FNN_BLOCK
        block = statistics + f // FNN_BLOCK * FNN_STATISTICS * FNN_BLOCK
        mean = block[lane] + block[FNN_BLOCK + lane]
        moving_mean[f] = moving_mean[f] * o.f.momentum + mean * o.f.one_minus_momentum
        moving_variance[f] = moving_variance[f] * o.f.momentum + block[2 * FNN_BLOCK + lane] * o.f.one_minus_momentum


cdef void batchnorm_inference(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """`batchnorm_forward` with the moving mean and variance."""
    cdef const BatchnormInference *o = <const BatchnormInference *> &op.operands
    cdef const float *x = <const float *> o.t.x          # IN (rows, features)
    cdef const float *gamma = <const float *> o.t.gamma  # IN (features,) or NULL
    cdef const float *beta = <const float *> o.t.beta    # IN (features,) or NULL
    cdef const float *mean = <const float *> o.t.moving_mean  # IN (features,)
    cdef const float *variance = <const float *> o.t.moving_variance  # IN (features,)
    cdef float *z = <float *> o.t.z                      # OUT (rows, features) or NULL
    cdef float *y = <float *> o.t.y                      # OUT (rows, features)
    cdef float *scale = step.scratch
    cdef float *shift = step.scratch + FNN_BLOCK
    cdef int64_t r0, r1, j, at, f
    cdef int lane
    share(rows_of(op, step), ROW_UNIT, i, n, &r0, &r1)  # where random numbers may be cut
    for j in range(blocks_of(o.d.features)):
        at, f = j * o.stride.x + r0 * FNN_BLOCK, j * FNN_BLOCK
        scale_of(gamma + f if gamma != NULL else NULL, variance + f, o.f.epsilon, scale)
        for lane in range(FNN_BLOCK):
            shift[lane] = 0 if beta == NULL else beta[f + lane]
        normalize_block(&o.d.activated, o.f.params, step, x + at, mean + f, scale, shift,
                        z + at if z != NULL else NULL, y + at, r0, r1 - r0, j)


cdef void batchnorm_backward(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """dz = dy f'(z); d_beta = sum of dz; d_gamma = sum of dz x_hat;
    dx [+]= gamma * rstd * (dz - d_beta / rows - x_hat * d_gamma / rows)."""
    cdef const BatchnormBackward *o = <const BatchnormBackward *> &op.operands
    cdef const float *dy = <const float *> o.t.dy        # IN (rows, features)
    cdef const float *x = <const float *> o.t.x          # IN (rows, features)
    cdef const float *z = <const float *> o.t.z          # IN (rows, features) or NULL
    cdef const float *y = <const float *> o.t.y          # IN (rows, features) or NULL
    cdef const float *gamma = <const float *> o.t.gamma  # IN (features,) or NULL
    cdef const float *statistics = <const float *> o.t.statistics  # IN (blocks, FNN_STATISTICS, 16)
    cdef float *dx = <float *> o.t.dx                    # OUT (rows, features) or NULL
    cdef float *dx_t = <float *> o.t.dx_t                # OUT dx, transposed, or NULL
    cdef float *d_gamma = <float *> o.t.d_gamma          # OUT (features,) or NULL
    cdef float *d_beta = <float *> o.t.d_beta            # OUT (features,) or NULL
    cdef int activation = <int> o.d.activation
    cdef bint accumulate = o.d.accumulate
    cdef float *sums = step.scratch                      # of dz; of dz (x - pivot), then of dz x_hat
    cdef float *products = step.scratch + FNN_BLOCK
    cdef float *scale = step.scratch + 2 * FNN_BLOCK
    cdef float *shift = step.scratch + 3 * FNN_BLOCK
    cdef float *slope = step.scratch + 4 * FNN_BLOCK
    # Where dz goes: where dx will be, if nothing is there yet.
    cdef float *aside = step.scratch + 5 * FNN_BLOCK
    cdef bint keeps_dz = dx != NULL and not accumulate
    cdef int64_t blocks = blocks_of(o.d.features)
    cdef int64_t j, f, r, m, at
    cdef const float *pivot
    cdef const float *offset
    cdef const float *rstd
    cdef const float *dz
    cdef float *to
    cdef float rows = rows_of(op, step)
    cdef int lane, turn = 0
    while True:
        j = take(step, blocks, i, n, &turn)
        if j < 0:
            break
        f = j * FNN_BLOCK
        pivot = statistics + j * FNN_STATISTICS * FNN_BLOCK
        offset = pivot + FNN_BLOCK
        rstd = pivot + 3 * FNN_BLOCK
        r = 0
        while r < rows_of(op, step):
            m = smaller(FNN_CHUNK, rows_of(op, step) - r)
            at = j * o.stride.dy + r * FNN_BLOCK
            dz = dy + at
            if activation != 0:
                to = dx + at if keeps_dz else aside
                step.k.activation_backward[activation](m * FNN_BLOCK, o.f.params, z + at if z != NULL else NULL,
                                                       y + at, dy + at, to)
                dz = to
            step.k.batch_sums(m, r > 0, pivot, x + at, dz, sums)
            r += m
        for lane in range(FNN_BLOCK):
            products[lane] = (products[lane] - offset[lane] * sums[lane]) * rstd[lane]
        put_gradient(step, products, o.d.accumulate_gamma, d_gamma + f if d_gamma != NULL else NULL)
        put_gradient(step, sums, o.d.accumulate_beta, d_beta + f if d_beta != NULL else NULL)
        if dx == NULL:
            continue
        for lane in range(FNN_BLOCK):
            scale[lane] = rstd[lane] * (1 if gamma == NULL else gamma[f + lane])
            slope[lane] = products[lane] / rows * rstd[lane]
            shift[lane] = sums[lane] / rows - slope[lane] * offset[lane]
        r = 0
        while r < rows_of(op, step):
            m = smaller(FNN_CHUNK, rows_of(op, step) - r)
            at = j * o.stride.dy + r * FNN_BLOCK
            dz = dy + at
            if activation != 0:
                dz = dx + at
                if accumulate:
                    step.k.activation_backward[activation](m * FNN_BLOCK, o.f.params, z + at if z != NULL else NULL,
                                                           y + at, dy + at, aside)
                    dz = aside
            step.k.batch_gradient(m, accumulate, pivot, scale, shift, slope, x + at, dz, dx + at)
            r += m
        if dx_t == NULL:
            continue
        r = 0
        while r < rows_of(op, step):
            step.k.transpose(smaller(ROW_UNIT, rows_of(op, step) - r), dx + j * o.stride.dy + r * FNN_BLOCK,
                             dx_t + (r // ROW_UNIT * blocks + j) * FNN_BLOCK * FNN_BLOCK)
            r += ROW_UNIT


cdef void batchnorm_inference_backward(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """dx [+]= dz * gamma / sqrt(moving variance + epsilon)"""
    cdef const BatchnormInferenceBackward *o = <const BatchnormInferenceBackward *> &op.operands
    cdef const float *dz = <const float *> o.t.dz        # IN (rows, features)
    cdef const float *gamma = <const float *> o.t.gamma  # IN (features,) or NULL
    cdef const float *variance = <const float *> o.t.moving_variance  # IN (features,)
    cdef float *dx = <float *> o.t.dx                    # OUT (rows, features)
    cdef float *scale = step.scratch
    cdef float *zeros = step.scratch + FNN_BLOCK
    cdef int64_t r0, r1, j, at, f
    cdef int lane
    share_rows(op, step, i, n, &r0, &r1)
    for lane in range(FNN_BLOCK):
        zeros[lane] = 0
    for j in range(blocks_of(o.d.features)):
        at, f = j * o.stride.dz + r0 * FNN_BLOCK, j * FNN_BLOCK
        scale_of(gamma + f if gamma != NULL else NULL, variance + f, o.f.epsilon, scale)
        step.k.batch_gradient(r1 - r0, <int> o.d.accumulate, zeros, scale, zeros, zeros, dz + at, dz + at, dx + at)


cdef void layernorm_forward(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """y = f(gamma * (x - mean) / sqrt(variance + epsilon) + beta), mean and variance of each row."""
    cdef const LayernormForward *o = <const LayernormForward *> &op.operands
    cdef const float *x = <const float *> o.t.x          # IN (rows, features)
    cdef const float *gamma = <const float *> o.t.gamma  # IN (features,) or NULL
    cdef const float *beta = <const float *> o.t.beta    # IN (features,) or NULL
    cdef float *statistics = <float *> o.t.statistics    # OUT (rows / 16, FNN_ROW_STATISTICS, 16) or NULL
    cdef float *z = <float *> o.t.z                      # OUT (rows, features) or NULL
    cdef float *y = <float *> o.t.y                      # OUT (rows, features)
    cdef int64_t features = o.d.features
    cdef int activation = <int> o.d.activated.activation
    cdef float *linear = y if z == NULL else z
    cdef float *of_rows
    cdef int64_t r0, r1, r, m, j, at
    share(rows_of(op, step), ROW_UNIT, i, n, &r0, &r1)
    r = r0
    while r < r1:
        m = smaller(ROW_UNIT, r1 - r)
        at = r * FNN_BLOCK
        of_rows = step.scratch
        if statistics != NULL:
            of_rows = statistics + r // ROW_UNIT * FNN_ROW_STATISTICS * FNN_BLOCK
        step.k.row_statistics(m, features, o.stride.x, o.f.epsilon, x + at, of_rows)
        step.k.normalize_rows(m, features, o.stride.x, gamma, beta, of_rows, x + at, linear + at)
        for j in range(blocks_of(features)):
            if activation != 0 or z != NULL:
                step.k.activation[activation](m * FNN_BLOCK, o.f.params, linear + at, y + at)
            drop_activated(&o.d.activated, step, m, r, j, y + at)
            at += o.stride.x
        r += m


cdef void layernorm_backward(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """dx [+]= rstd * (g - mean of g - x_hat * mean of g x_hat), g = gamma dz, means over the features"""
    cdef const LayernormBackward *o = <const LayernormBackward *> &op.operands
    cdef const float *dz = <const float *> o.t.dz        # IN (rows, features)
    cdef const float *x = <const float *> o.t.x          # IN (rows, features)
    cdef const float *gamma = <const float *> o.t.gamma  # IN (features,) or NULL
    cdef const float *statistics = <const float *> o.t.statistics  # IN (rows / 16, FNN_ROW_STATISTICS, 16)
    cdef float *dx = <float *> o.t.dx                    # OUT (rows, features)
    cdef int64_t r0, r1, r, at
    share(rows_of(op, step), ROW_UNIT, i, n, &r0, &r1)
    r = r0
    while r < r1:
        at = r * FNN_BLOCK
        step.k.normalize_rows_backward(smaller(ROW_UNIT, r1 - r), o.d.features, o.stride.dz, <int> o.d.accumulate,
                                       gamma, statistics + r // ROW_UNIT * FNN_ROW_STATISTICS * FNN_BLOCK,
                                       x + at, dz + at, dx + at)
        r += ROW_UNIT


cdef void layernorm_backward_weights(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """d_beta = sum of dz over the batch, d_gamma = sum of dz x_hat."""
    cdef const LayernormBackwardWeights *o = <const LayernormBackwardWeights *> &op.operands
    cdef const float *dz = <const float *> o.t.dz        # IN (rows, features)
    cdef const float *x = <const float *> o.t.x          # IN (rows, features)
    cdef const float *statistics = <const float *> o.t.statistics  # IN (rows / 16, FNN_ROW_STATISTICS, 16)
    cdef float *d_gamma = <float *> o.t.d_gamma          # OUT (features,) or NULL
    cdef float *d_beta = <float *> o.t.d_beta            # OUT (features,) or NULL
    cdef int64_t blocks = blocks_of(o.d.features)
    cdef int64_t j, r, at
    cdef int turn = 0
    while True:
        j = take(step, blocks, i, n, &turn)
        if j < 0:
            break
        r = 0
        while r < rows_of(op, step):
            at = j * o.stride.dz + r * FNN_BLOCK
            step.k.row_sums(smaller(FNN_CHUNK, rows_of(op, step) - r), r > 0,
                            statistics + r // ROW_UNIT * FNN_ROW_STATISTICS * FNN_BLOCK, x + at, dz + at,
                            step.scratch)
            r += FNN_CHUNK
        put_gradient(step, step.scratch, o.d.accumulate_beta, d_beta + j * FNN_BLOCK if d_beta != NULL else NULL)
        put_gradient(step, step.scratch + FNN_BLOCK, o.d.accumulate_gamma,
                     d_gamma + j * FNN_BLOCK if d_gamma != NULL else NULL)


KERNELS = {
    "batchnorm_forward": <size_t> &batchnorm_forward,
    "batchnorm_update_moving": <size_t> &batchnorm_update_moving,
    "batchnorm_inference": <size_t> &batchnorm_inference,
    "batchnorm_backward": <size_t> &batchnorm_backward,
    "batchnorm_inference_backward": <size_t> &batchnorm_inference_backward,
    "layernorm_forward": <size_t> &layernorm_forward,
    "layernorm_backward": <size_t> &layernorm_backward,
    "layernorm_backward_weights": <size_t> &layernorm_backward_weights,
}
