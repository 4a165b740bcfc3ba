"""Ops that make one tensor of two, number by number: a member of the team takes a range of rows.

Where a result is added to what is there, it is made aside first, some rows of a block at a time.
"""

from libc.stdint cimport int64_t

from fastnn.kernels.csrc cimport FNN_BLOCK
from fastnn.kernels.op cimport Op, Step, blocks_of, share_rows, smaller

cdef enum:
    # Rows of a block that are gone through at a time.
    PANEL = 128


cdef void multiply(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """z [+]= x y"""
    cdef const float *x = <const float *> op.t[0]        # IN (rows, features)
    cdef const float *y = <const float *> op.t[1]        # IN (rows, features)
    cdef float *z = <float *> op.t[2]                    # OUT (rows, features)
    cdef int64_t r0, r1, r, j, at, m
    share_rows(op, step, i, n, &r0, &r1)
    for j in range(blocks_of(op.d[0])):
        r = r0
        while r < r1:
            m = smaller(PANEL, r1 - r) * FNN_BLOCK
            at = j * op.stride[0] + r * FNN_BLOCK
            if op.d[1]:
                step.k.multiply(m, x + at, y + at, step.scratch)
                step.k.add(m, step.scratch, z + at)
            else:
                step.k.multiply(m, x + at, y + at, z + at)
            r += PANEL


cdef void extremum(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """z = the larger of x and y; d[1]: the smaller"""
    cdef const float *x = <const float *> op.t[0]        # IN (rows, features)
    cdef const float *y = <const float *> op.t[1]        # IN (rows, features)
    cdef float *z = <float *> op.t[2]                    # OUT (rows, features)
    cdef int64_t r0, r1, j, at
    share_rows(op, step, i, n, &r0, &r1)
    for j in range(blocks_of(op.d[0])):
        at = j * op.stride[0] + r0 * FNN_BLOCK
        if op.d[1]:
            step.k.minimum((r1 - r0) * FNN_BLOCK, x + at, y + at, z + at)
        else:
            step.k.maximum((r1 - r0) * FNN_BLOCK, x + at, y + at, z + at)


cdef void extremum_backward(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """dx [+]= dz where x is z; half of it where the other is z, too"""
    cdef const float *x = <const float *> op.t[0]        # IN (rows, features)
    cdef const float *other = <const float *> op.t[1]    # IN (rows, features)
    cdef const float *z = <const float *> op.t[2]        # IN (rows, features)
    cdef const float *dz = <const float *> op.t[3]       # IN (rows, features)
    cdef float *dx = <float *> op.t[4]                   # OUT (rows, features)
    cdef int64_t r0, r1, r, j, at, m
    share_rows(op, step, i, n, &r0, &r1)
    for j in range(blocks_of(op.d[0])):
        r = r0
        while r < r1:
            m = smaller(PANEL, r1 - r) * FNN_BLOCK
            at = j * op.stride[0] + r * FNN_BLOCK
            if op.d[1]:
                step.k.extremum_backward(m, x + at, other + at, z + at, dz + at, step.scratch)
                step.k.add(m, step.scratch, dx + at)
            else:
                step.k.extremum_backward(m, x + at, other + at, z + at, dz + at, dx + at)
            r += PANEL


KERNELS = {
    "multiply": <size_t> &multiply,
    "extremum": <size_t> &extremum,
    "extremum_backward": <size_t> &extremum_backward,
}
