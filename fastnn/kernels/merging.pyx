"""Ops that make one tensor of two, number by number: a member of the team takes a range of rows.

Where a result is added to what is there, it is made aside first, some rows of a block at a time.
"""

from libc.stdint cimport int64_t

from fastnn.kernels.csrc cimport FNN_BLOCK
from fastnn.kernels.op cimport Op, Step, blocks_of, share_rows, smaller
from fastnn.kernels.operands cimport Extremum, ExtremumBackward, Multiply

cdef enum:
    # Rows of a block that are gone through at a time.
    PANEL = 128


cdef void multiply(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """z [+]= x y"""
    cdef const Multiply *o = <const Multiply *> &op.operands
    cdef const float *x = <const float *> o.t.x          # IN (rows, features)
    cdef const float *y = <const float *> o.t.y          # IN (rows, features)
    cdef float *z = <float *> o.t.z                      # OUT (rows, features)
    cdef int64_t r0, r1, r, j, at, m
    share_rows(op, step, i, n, &r0, &r1)
    for j in range(blocks_of(o.d.features)):
        r = r0
        while r < r1:
            m = smaller(PANEL, r1 - r) * FNN_BLOCK
            at = j * o.stride.x + r * FNN_BLOCK
            if o.d.accumulate:
                step.k.multiply(m, x + at, y + at, step.scratch)
                step.k.add(m, step.scratch, z + at)
            else:
                step.k.multiply(m, x + at, y + at, z + at)
            r += PANEL


cdef void extremum(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """z = the larger of x and y, or the smaller"""
    cdef const Extremum *o = <const Extremum *> &op.operands
    cdef const float *x = <const float *> o.t.x          # IN (rows, features)
    cdef const float *y = <const float *> o.t.y          # IN (rows, features)
    cdef float *z = <float *> o.t.z                      # OUT (rows, features)
    cdef int64_t r0, r1, j, at
    share_rows(op, step, i, n, &r0, &r1)
    for j in range(blocks_of(o.d.features)):
        at = j * o.stride.x + r0 * FNN_BLOCK
        if o.d.smallest:
            step.k.minimum((r1 - r0) * FNN_BLOCK, x + at, y + at, z + at)
        else:
            step.k.maximum((r1 - r0) * FNN_BLOCK, x + at, y + at, z + at)


cdef void extremum_backward(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """dx [+]= dz where x is z; half of it where the other is z, too"""
    cdef const ExtremumBackward *o = <const ExtremumBackward *> &op.operands
    cdef const float *x = <const float *> o.t.x          # IN (rows, features)
    cdef const float *other = <const float *> o.t.other  # IN (rows, features)
    cdef const float *z = <const float *> o.t.z          # IN (rows, features)
    cdef const float *dz = <const float *> o.t.dz        # IN (rows, features)
    cdef float *dx = <float *> o.t.dx                    # OUT (rows, features)
    cdef int64_t r0, r1, r, j, at, m
    share_rows(op, step, i, n, &r0, &r1)
    for j in range(blocks_of(o.d.features)):
        r = r0
        while r < r1:
            m = smaller(PANEL, r1 - r) * FNN_BLOCK
            at = j * o.stride.x + r * FNN_BLOCK
            if o.d.accumulate:
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
