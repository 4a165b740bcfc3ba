"""What all normalizations share."""

from libc.stdint cimport int64_t
from libc.string cimport memcpy

from fastnn.kernels.csrc cimport FNN_BLOCK, FNN_CHUNK
from fastnn.kernels.op cimport Step, drop_activated, smaller
from fastnn.kernels.operands cimport Activated


cdef inline void normalize_block(const Activated *f, const float *params, const Step *step, const float *x,
                                 const float *pivot, const float *scale, const float *shift, float *z, float *y,
                                 int64_t row, int64_t rows, int64_t j) noexcept nogil:
    """y = f((x - pivot) * scale + shift) for rows of block j; z is kept where the derivative reads it.

    row: Of the first one's random numbers.
    """
    cdef float *linear = y if z == NULL else z
    cdef int64_t r = 0, m, at
    while r < rows:
        m = smaller(FNN_CHUNK, rows - r)
        at = r * FNN_BLOCK
        step.k.scale_rows(m, pivot, scale, shift, x + at, linear + at)
        if f.activation != 0 or z != NULL:
            step.k.activation[f.activation](m * FNN_BLOCK, params, linear + at, y + at)
        drop_activated(f, step, m, row + r, j, y + at)
        r += m


cdef inline void put_gradient(const Step *step, const float *gradient, bint accumulate,
                              float *to) noexcept nogil:
    """16 numbers of a weight's gradient."""
    if to == NULL:
        return
    if accumulate:
        step.k.add(FNN_BLOCK, gradient, to)
    else:
        memcpy(to, gradient, FNN_BLOCK * sizeof(float))
