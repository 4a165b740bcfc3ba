"""Ops that treat each row of the batch by itself: a member of the team takes a range of rows."""

from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset

from fastnn.kernels.csrc cimport FNN_BLOCK, fnn_sparse
from fastnn.kernels.op cimport ROW_UNIT, Op, Step, blocks_of, share_rows


cdef void activation_forward(const Op *op, const Step *step, int i, int n) noexcept nogil:
    cdef const float *z = <const float *> op.t[0]        # IN (rows, features)
    cdef float *y = <float *> op.t[1]                    # OUT (rows, features)
    cdef int64_t r0, r1, j, at
    share_rows(op, step, i, n, &r0, &r1)
    for j in range(blocks_of(op.d[0])):
        at = j * op.stride[0] + r0 * FNN_BLOCK
        step.k.activation[op.d[1]]((r1 - r0) * FNN_BLOCK, op.f, z + at, y + at)


cdef void activation_backward(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """dz [+]= dy f'(z)"""
    cdef const float *z = <const float *> op.t[0]        # IN (rows, features) or NULL
    cdef const float *y = <const float *> op.t[1]        # IN (rows, features)
    cdef const float *dy = <const float *> op.t[2]       # IN (rows, features)
    cdef float *dz = <float *> op.t[3]                   # OUT (rows, features)
    cdef float *part = step.scratch
    cdef int64_t r0, r1, r, j, at, m
    share_rows(op, step, i, n, &r0, &r1)
    for j in range(blocks_of(op.d[0])):
        r = r0
        while r < r1:
            m = ROW_UNIT if r1 - r > ROW_UNIT else r1 - r
            at = j * op.stride[3] + r * FNN_BLOCK
            if op.d[2]:
                step.k.activation_backward[op.d[1]](m * FNN_BLOCK, op.f, z + at if z != NULL else NULL, y + at,
                                                    dy + at, part)
                step.k.add(m * FNN_BLOCK, part, dz + at)
            else:
                step.k.activation_backward[op.d[1]](m * FNN_BLOCK, op.f, z + at if z != NULL else NULL, y + at,
                                                    dy + at, dz + at)
            r += m


cdef void softmax_forward(const Op *op, const Step *step, int i, int n) noexcept nogil:
    cdef const float *z = <const float *> op.t[0]        # IN (rows, features)
    cdef float *y = <float *> op.t[1]                    # OUT (rows, features)
    cdef int64_t r0, r1
    share_rows(op, step, i, n, &r0, &r1)
    step.k.softmax(r1 - r0, op.d[0], op.stride[0], z + r0 * FNN_BLOCK, y + r0 * FNN_BLOCK)


cdef void softmax_backward(const Op *op, const Step *step, int i, int n) noexcept nogil:
    cdef const float *y = <const float *> op.t[0]        # IN (rows, features)
    cdef const float *dy = <const float *> op.t[1]       # IN (rows, features)
    cdef float *dz = <float *> op.t[2]                   # OUT (rows, features)
    cdef int64_t r0, r1
    share_rows(op, step, i, n, &r0, &r1)
    step.k.softmax_backward(r1 - r0, op.d[0], op.stride[0], y + r0 * FNN_BLOCK, dy + r0 * FNN_BLOCK,
                            <int> op.d[1], dz + r0 * FNN_BLOCK)


cdef void affine(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """y [+]= scale * x + offset"""
    cdef const float *x = <const float *> op.t[0]        # IN (rows, features)
    cdef float *y = <float *> op.t[1]                    # OUT (rows, features)
    cdef float *part = step.scratch
    cdef int64_t r0, r1, r, j, at, m
    share_rows(op, step, i, n, &r0, &r1)
    for j in range(blocks_of(op.d[0])):
        r = r0
        while r < r1:
            m = ROW_UNIT if r1 - r > ROW_UNIT else r1 - r
            at = j * op.stride[0] + r * FNN_BLOCK
            if op.d[1]:
                step.k.affine(m * FNN_BLOCK, op.f[0], op.f[1], x + at, part)
                step.k.add(m * FNN_BLOCK, part, y + at)
            else:
                step.k.affine(m * FNN_BLOCK, op.f[0], op.f[1], x + at, y + at)
            r += m


cdef void copy_columns(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """y[:, to : to + count] [+]= x[:, start : start + count]

    Where that is the end of y, its padding is cleared: what follows relies on zeros there.
    """
    cdef const float *x = <const float *> op.t[0]        # IN (rows, ...)
    cdef float *y = <float *> op.t[1]                    # OUT (rows, ...)
    cdef int64_t count = op.d[0], start = op.d[1], to = op.d[2]
    cdef bint accumulate = op.d[3]
    cdef int64_t r0, r1, r, c, p, q
    share_rows(op, step, i, n, &r0, &r1)
    for c in range(count):
        p = (start + c) // FNN_BLOCK * op.stride[0] + (start + c) % FNN_BLOCK
        q = (to + c) // FNN_BLOCK * op.stride[1] + (to + c) % FNN_BLOCK
        for r in range(r0, r1):
            if accumulate:
                y[q + r * FNN_BLOCK] += x[p + r * FNN_BLOCK]
            else:
                y[q + r * FNN_BLOCK] = x[p + r * FNN_BLOCK]
    if to + count == op.d[4]:
        for c in range(to + count, blocks_of(op.d[4]) * FNN_BLOCK):
            q = c // FNN_BLOCK * op.stride[1] + c % FNN_BLOCK
            for r in range(r0, r1):
                y[q + r * FNN_BLOCK] = 0.0


cdef void gather(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """The batch's rows of a data set, converted to float32: y = scale * x + offset."""
    cdef float *y = <float *> op.t[0]                    # OUT (rows, features)
    cdef int64_t features = op.d[0], source = op.d[1]
    cdef const char *data = step.sources[source].data
    cdef int64_t row_bytes = step.sources[source].row_bytes, line_bytes = step.sources[source].item_bytes * features
    cdef int64_t r0, r1, r
    share_rows(op, step, i, n, &r0, &r1)
    for r in range(r0, r1):
        step.k.gather[step.sources[source].dtype](features, data + step.order[r // op.positions] * row_bytes
                                                  + r % op.positions * line_bytes, op.f[0], op.f[1],
                                                  op.stride[0], y + r * FNN_BLOCK)


cdef void gather_nonzeros(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """`gather` of rows that come as their nonzeros, which are scaled already."""
    cdef float *y = <float *> op.t[0]                    # OUT (rows, features)
    cdef const fnn_sparse *x = step.sources[op.d[1]].sparse
    cdef int64_t r0, r1, r, j, k, column
    share_rows(op, step, i, n, &r0, &r1)
    for j in range(blocks_of(op.d[0])):
        memset(y + j * op.stride[0] + r0 * FNN_BLOCK, 0, (r1 - r0) * FNN_BLOCK * sizeof(float))
    for r in range(r0, r1):
        k = step.order[r]
        for j in range(x.start[k], x.start[k] + x.granule[k * (x.granules + 1) + x.granules]):
            column = x.column[j]
            y[column // FNN_BLOCK * op.stride[0] + r * FNN_BLOCK + column % FNN_BLOCK] = x.value[j]


cdef void gather_values(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """A 4-byte value for each line of a row: labels (int32) or sample weights (float32).

    d[1]: the lines of a row. d[2]: they all have one value, the row's.
    """
    cdef char *y = <char *> op.t[0]                      # OUT (rows, lines)
    cdef const char *data = step.sources[op.d[0]].data
    cdef int64_t lines = op.d[1], r0, r1, r, p
    share_rows(op, step, i, n, &r0, &r1)
    for r in range(r0, r1):
        if op.d[2]:
            for p in range(r * lines, (r + 1) * lines):
                memcpy(y + 4 * p, data + 4 * step.order[r], 4)
        else:
            memcpy(y + 4 * r * lines, data + 4 * step.order[r] * lines, 4 * lines)


cdef void scatter(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """Predictions into the caller's array, row by row."""
    cdef const float *x = <const float *> op.t[0]        # IN (rows, features)
    cdef int64_t features = op.d[0]
    cdef float *output = step.outputs[op.d[1]] + step.first * op.positions * features
    cdef int64_t r0, r1, r
    share_rows(op, step, i, n, &r0, &r1)
    for r in range(r0, r1):
        step.k.scatter(features, op.stride[0], x + r * FNN_BLOCK, output + r * features)


KERNELS = {
    "activation_forward": <size_t> &activation_forward,
    "activation_backward": <size_t> &activation_backward,
    "softmax_forward": <size_t> &softmax_forward,
    "softmax_backward": <size_t> &softmax_backward,
    "affine": <size_t> &affine,
    "copy_columns": <size_t> &copy_columns,
    "gather": <size_t> &gather,
    "gather_nonzeros": <size_t> &gather_nonzeros,
    "gather_values": <size_t> &gather_values,
    "scatter": <size_t> &scatter,
}
