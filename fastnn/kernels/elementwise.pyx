"""Ops that treat each row of the batch by itself: a member of the team takes a range of rows."""

from libc.math cimport sqrtf
from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset

from fastnn.kernels.csrc cimport FNN_BLOCK, fnn_sparse
from fastnn.kernels.op cimport ROW_UNIT, Op, Step, blocks_of, share_rows
from fastnn.kernels.operands cimport (
    ActivationBackward, ActivationForward, Affine, CopyColumns, Gather, GatherNonzeros, GatherValues, Scatter,
    SoftmaxBackward, SoftmaxForward, Standardize
)


cdef void activation_forward(const Op *op, const Step *step, int i, int n) noexcept nogil:
    cdef const ActivationForward *o = <const ActivationForward *> &op.operands
    cdef const float *z = <const float *> o.t.z          # IN (rows, features)
    cdef float *y = <float *> o.t.y                      # OUT (rows, features)
    cdef int64_t r0, r1, j, at
    share_rows(op, step, i, n, &r0, &r1)
    for j in range(blocks_of(o.d.features)):
        at = j * o.stride.z + r0 * FNN_BLOCK
        step.k.activation[o.d.kind]((r1 - r0) * FNN_BLOCK, o.f.params, z + at, y + at)


cdef void activation_backward(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """dz [+]= dy f'(z)"""
    cdef const ActivationBackward *o = <const ActivationBackward *> &op.operands
    cdef const float *z = <const float *> o.t.z          # IN (rows, features) or NULL
    cdef const float *y = <const float *> o.t.y          # IN (rows, features)
    cdef const float *dy = <const float *> o.t.dy        # IN (rows, features)
    cdef float *dz = <float *> o.t.dz                    # OUT (rows, features)
    cdef float *part = step.scratch
    cdef int64_t r0, r1, r, j, at, m
    share_rows(op, step, i, n, &r0, &r1)
    for j in range(blocks_of(o.d.features)):
        r = r0
        while r < r1:
            m = ROW_UNIT if r1 - r > ROW_UNIT else r1 - r
            at = j * o.stride.dz + r * FNN_BLOCK
            if o.d.accumulate:
                step.k.activation_backward[o.d.kind](m * FNN_BLOCK, o.f.params, z + at if z != NULL else NULL, y + at,
                                                    dy + at, part)
                step.k.add(m * FNN_BLOCK, part, dz + at)
            else:
                step.k.activation_backward[o.d.kind](m * FNN_BLOCK, o.f.params, z + at if z != NULL else NULL, y + at,
                                                    dy + at, dz + at)
            r += m


cdef void softmax_forward(const Op *op, const Step *step, int i, int n) noexcept nogil:
    cdef const SoftmaxForward *o = <const SoftmaxForward *> &op.operands
    cdef const float *z = <const float *> o.t.z          # IN (rows, features)
    cdef float *y = <float *> o.t.y                      # OUT (rows, features)
    cdef int64_t r0, r1
    share_rows(op, step, i, n, &r0, &r1)
    step.k.softmax(r1 - r0, o.d.features, o.stride.z, z + r0 * FNN_BLOCK, y + r0 * FNN_BLOCK)


cdef void softmax_backward(const Op *op, const Step *step, int i, int n) noexcept nogil:
    cdef const SoftmaxBackward *o = <const SoftmaxBackward *> &op.operands
    cdef const float *y = <const float *> o.t.y          # IN (rows, features)
    cdef const float *dy = <const float *> o.t.dy        # IN (rows, features)
    cdef float *dz = <float *> o.t.dz                    # OUT (rows, features)
    cdef int64_t r0, r1
    share_rows(op, step, i, n, &r0, &r1)
    step.k.softmax_backward(r1 - r0, o.d.features, o.stride.y, y + r0 * FNN_BLOCK, dy + r0 * FNN_BLOCK,
                            <int> o.d.accumulate, dz + r0 * FNN_BLOCK)


cdef void affine(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """y [+]= scale * x + offset"""
    cdef const Affine *o = <const Affine *> &op.operands
    cdef const float *x = <const float *> o.t.x          # IN (rows, features)
    cdef float *y = <float *> o.t.y                      # OUT (rows, features)
    cdef float *part = step.scratch
    cdef int64_t r0, r1, r, j, at, m
    share_rows(op, step, i, n, &r0, &r1)
    for j in range(blocks_of(o.d.features)):
        r = r0
        while r < r1:
            m = ROW_UNIT if r1 - r > ROW_UNIT else r1 - r
            at = j * o.stride.x + r * FNN_BLOCK
            if o.d.accumulate:
                step.k.affine(m * FNN_BLOCK, o.f.scale, o.f.offset, x + at, part)
                step.k.add(m * FNN_BLOCK, part, y + at)
            else:
                step.k.affine(m * FNN_BLOCK, o.f.scale, o.f.offset, x + at, y + at)
            r += m


cdef void copy_columns(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """y[:, to : to + count] [+]= x[:, start : start + count]

    Where that is the end of y, its padding is cleared: what follows relies on zeros there.
    """
    cdef const CopyColumns *o = <const CopyColumns *> &op.operands
    cdef const float *x = <const float *> o.t.x          # IN (rows, ...)
    cdef float *y = <float *> o.t.y                      # OUT (rows, ...)
    cdef int64_t count = o.d.count, start = o.d.start, to = o.d.to
    cdef bint accumulate = o.d.accumulate
    cdef int64_t r0, r1, r, c, p, q
    share_rows(op, step, i, n, &r0, &r1)
    for c in range(count):
        p = (start + c) // FNN_BLOCK * o.stride.x + (start + c) % FNN_BLOCK
        q = (to + c) // FNN_BLOCK * o.stride.y + (to + c) % FNN_BLOCK
        for r in range(r0, r1):
            if accumulate:
                y[q + r * FNN_BLOCK] += x[p + r * FNN_BLOCK]
            else:
                y[q + r * FNN_BLOCK] = x[p + r * FNN_BLOCK]
    if to + count == o.d.features_of_y:
        for c in range(to + count, blocks_of(o.d.features_of_y) * FNN_BLOCK):
            q = c // FNN_BLOCK * o.stride.y + c % FNN_BLOCK
            for r in range(r0, r1):
                y[q + r * FNN_BLOCK] = 0.0


cdef void gather(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """The batch's rows of a data set, converted to float32: y = scale * x + offset."""
    cdef const Gather *o = <const Gather *> &op.operands
    cdef float *y = <float *> o.t.y                      # OUT (rows, features)
    cdef int64_t features = o.d.features, source = o.d.source
    cdef const char *data = step.sources[source].data
    cdef int64_t row_bytes = step.sources[source].row_bytes, line_bytes = step.sources[source].item_bytes * features
    cdef int64_t r0, r1, r
    share_rows(op, step, i, n, &r0, &r1)
    for r in range(r0, r1):
        step.k.gather[step.sources[source].dtype](features, data + step.order[r // op.positions] * row_bytes
                                                  + r % op.positions * line_bytes, o.f.scale, o.f.offset,
                                                  o.stride.y, y + r * FNN_BLOCK)


cdef void standardize(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """y [+]= (x - mean) / deviation; to `invert`, x * deviation + mean. No mean: that of a gradient."""
    cdef const Standardize *o = <const Standardize *> &op.operands
    cdef const float *x = <const float *> o.t.x          # IN (rows, features)
    cdef const float *mean = <const float *> o.t.mean    # IN (features,) or (1,), or NULL
    cdef const float *variance = <const float *> o.t.variance  # IN (features,) or (1,)
    cdef float *y = <float *> o.t.y                      # OUT (rows, features)
    cdef float means[FNN_BLOCK]
    cdef float deviations[FNN_BLOCK]
    cdef float made
    cdef int64_t r0, r1, r, j, c, at
    share_rows(op, step, i, n, &r0, &r1)
    for j in range(blocks_of(o.d.features)):
        for c in range(FNN_BLOCK):
            at = 0 if o.d.one_for_all else j * FNN_BLOCK + c
            if j * FNN_BLOCK + c >= o.d.features:  # padding stays as it is
                means[c], deviations[c] = 0.0, 1.0
                continue
            means[c] = 0.0 if mean == NULL else mean[at]
            deviations[c] = sqrtf(variance[at])
            if not deviations[c] > o.f.epsilon:
                deviations[c] = o.f.epsilon
        for r in range(r0, r1):
            at = j * o.stride.x + r * FNN_BLOCK
            for c in range(FNN_BLOCK):
                if o.d.invert:
                    made = x[at + c] * deviations[c] + means[c]
                else:
                    made = (x[at + c] - means[c]) / deviations[c]
                y[at + c] = y[at + c] + made if o.d.accumulate else made


cdef void gather_nonzeros(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """`gather` of rows that come as their nonzeros, which are scaled already."""
    cdef const GatherNonzeros *o = <const GatherNonzeros *> &op.operands
    cdef float *y = <float *> o.t.y                      # OUT (rows, features)
    cdef const fnn_sparse *x = step.sources[o.d.source].sparse
    cdef int64_t r0, r1, r, j, k, column
    share_rows(op, step, i, n, &r0, &r1)
    for j in range(blocks_of(o.d.features)):
        memset(y + j * o.stride.y + r0 * FNN_BLOCK, 0, (r1 - r0) * FNN_BLOCK * sizeof(float))
    for r in range(r0, r1):
        k = step.order[r]
        for j in range(x.start[k], x.start[k] + x.granule[k * (x.granules + 1) + x.granules]):
            column = x.column[j]
            y[column // FNN_BLOCK * o.stride.y + r * FNN_BLOCK + column % FNN_BLOCK] = x.value[j]


cdef void gather_values(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """A 4-byte value for each line of a row: labels (int32) or sample weights (float32).

    lines: of a row. same: they all have one value, the row's.
    """
    cdef const GatherValues *o = <const GatherValues *> &op.operands
    cdef char *y = <char *> o.t.y                        # OUT (rows, lines)
    cdef const char *data = step.sources[o.d.source].data
    cdef int64_t lines = o.d.lines, r0, r1, r, p
    share_rows(op, step, i, n, &r0, &r1)
    for r in range(r0, r1):
        if o.d.same:
            for p in range(r * lines, (r + 1) * lines):
                memcpy(y + 4 * p, data + 4 * step.order[r], 4)
        else:
            memcpy(y + 4 * r * lines, data + 4 * step.order[r] * lines, 4 * lines)


cdef void scatter(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """Predictions into the caller's array, row by row."""
    cdef const Scatter *o = <const Scatter *> &op.operands
    cdef const float *x = <const float *> o.t.x          # IN (rows, features)
    cdef int64_t features = o.d.features
    cdef float *output = step.outputs[o.d.output] + step.first * op.positions * features
    cdef int64_t r0, r1, r
    share_rows(op, step, i, n, &r0, &r1)
    for r in range(r0, r1):
        step.k.scatter(features, o.stride.x, x + r * FNN_BLOCK, output + r * features)


KERNELS = {
    "activation_forward": <size_t> &activation_forward,
    "activation_backward": <size_t> &activation_backward,
    "softmax_forward": <size_t> &softmax_forward,
    "softmax_backward": <size_t> &softmax_backward,
    "affine": <size_t> &affine,
    "standardize": <size_t> &standardize,
    "copy_columns": <size_t> &copy_columns,
    "gather": <size_t> &gather,
    "gather_nonzeros": <size_t> &gather_nonzeros,
    "gather_values": <size_t> &gather_values,
    "scatter": <size_t> &scatter,
}
