"""What is done to a stretch of a gradient before the optimizer has it."""

from libc.stdint cimport int64_t

from fastnn.kernels.csrc cimport FNN_BLOCK
from fastnn.kernels.op cimport Step

cdef extern from "math.h" nogil:
    double NAN

cdef extern from *:
    """
    // Of a gradient and of its squares, with room for the rounding of long sums and for regularizers.
    #define SURELY_FINITE 1e18
    """
    double SURELY_FINITE

cdef enum:
    INFINITE = 0x7f800000  # the bits of a float; those of a NaN are more

# Constraints of a weight; 0 for none.
cdef enum:
    NON_NEGATIVE = 1
    MAX_NORM = 2
    UNIT_NORM = 3


cdef inline void finish(const Step *step, int64_t rows, float l1, float l2, float clipvalue, const float *w,
                        float *gradient, float *squares) noexcept nogil:
    """A rectangle (rows, 16): the regularizer's part comes in; its squares are taken, with a NaN where
    clipping by value would hide an infinity."""
    if l1 != 0 or l2 != 0:
        step.k.regularize(rows * FNN_BLOCK, l1, l2, w, gradient)
    if squares != NULL:
        step.k.squares(rows, gradient, squares)
    if clipvalue > 0:
        if squares != NULL and step.k.magnitude(rows * FNN_BLOCK, gradient) >= INFINITE:
            squares[0] = NAN
        step.k.clip(rows * FNN_BLOCK, -clipvalue, clipvalue, gradient)
