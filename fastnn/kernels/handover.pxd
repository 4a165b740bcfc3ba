"""What becomes of a tile of a weight's gradient: it goes into the optimizer's step, or to memory.

For ops whose integers begin with ``_GRADIENT`` and whose numbers are ``_OF_GRADIENT`` (ops.py).
"""

from libc.stdint cimport int64_t
from libc.string cimport memcpy

from fastnn.kernels.csrc cimport FNN_BLOCK, FNN_CHUNK, FNN_MAX_SLOTS, fnn_summary
from fastnn.kernels.gradients cimport finish
from fastnn.kernels.op cimport SCRATCH, Op, Step, rows_of, smaller

cdef extern from "math.h" nogil:
    double INFINITY

cdef enum:
    # Tensors of a weight: itself, its slots, where its gradient goes, where its squares and statistics.
    OF_WEIGHT = 7
    GRADIENT = 4
    SQUARES = 5
    SUMMARIES = 6


cdef inline void hand_over(const Op *op, const Step *step, int64_t first, int role, int64_t at, int64_t rows,
                           int64_t panel, float *gradient) noexcept nogil:
    """Give a rectangle (rows, 16) of a gradient to the optimizer, or store it.

    first: the weight's first tensor. role: 0 the kernel, 1 the bias. at: of the rectangle in the weight.
    """
    cdef int64_t slot, n = rows * FNN_BLOCK
    cdef float *slots[FNN_MAX_SLOTS]
    cdef float *w = <float *> op.t[first] + at
    cdef float *stored = <float *> op.t[first + GRADIENT]
    cdef float *squares = <float *> op.t[first + SQUARES]
    cdef fnn_summary *summaries = <fnn_summary *> op.t[first + SUMMARIES]
    if not op.d[5]:
        finish(step, rows, op.f[2 * role], op.f[2 * role + 1], op.f[4], w, gradient,
               squares + panel * FNN_BLOCK if squares != NULL else NULL)
    if summaries != NULL and step.record != NULL:
        step.k.summarize(n, gradient, summaries + panel)
    if stored != NULL:
        if op.d[4]:
            step.k.add(n, gradient, stored + at)
        else:
            memcpy(stored + at, gradient, n * sizeof(float))
        return
    for slot in range(FNN_MAX_SLOTS):
        slots[slot] = <float *> op.t[first + 1 + slot]
        if slots[slot] != NULL:
            slots[slot] += at
    if step.verdict.scale != 1.0:
        # Clipped by the global norm, which was found without this gradient.
        for slot in range(FNN_BLOCK):
            step.scratch[SCRATCH - FNN_BLOCK + slot] = step.verdict.scale
        step.k.scale_columns(rows, step.scratch + SCRATCH - FNN_BLOCK, gradient, gradient)
    step.k.update[op.d[3]](n, step.scalars, gradient, w, slots[0], slots[1], slots[2])
    if op.d[6 + role]:
        step.k.clip(n, 0.0, <float> INFINITY, w)


cdef inline void hand_over_bias(const Op *op, const Step *step, int64_t first, const float *dz, int64_t stride,
                         int64_t j0, int64_t j1) noexcept nogil:
    cdef int64_t j, r
    for j in range(j0, j1):
        r = 0
        while r < rows_of(op, step):
            step.k.add_rows(smaller(FNN_CHUNK, rows_of(op, step) - r), r > 0,
                            dz + j * stride + r * FNN_BLOCK, step.scratch)
            r += FNN_CHUNK
        hand_over(op, step, first, 1, j * FNN_BLOCK, 1, j, step.scratch)
