"""What becomes of a tile of a weight's gradient: it goes into the optimizer's step, or to memory."""

from libc.stdint cimport int64_t
from libc.string cimport memcpy

from fastnn.kernels.csrc cimport FNN_BLOCK, FNN_CHUNK, FNN_MAX_SLOTS, fnn_summary
from fastnn.kernels.gradients cimport finish
from fastnn.kernels.op cimport SCRATCH, Op, Step, rows_of, smaller
from fastnn.kernels.operands cimport HandOverIntegers, HandOverNumbers, Weight

cdef extern from "math.h" nogil:
    double INFINITY

# Who gets a gradient: a kernel, or a bias.
ctypedef struct Receiver:
    const Weight *weight
    int64_t optimizer
    int64_t accumulate
    int64_t unfinished
    int64_t non_negative
    float l1
    float l2
    float clipvalue


cdef inline Receiver to_kernel(const Weight *kernel, const HandOverIntegers *d,
                               const HandOverNumbers *f) noexcept nogil:
    return Receiver(kernel, d.optimizer, d.accumulate, d.unfinished, d.kernel_non_negative,
                    f.kernel_l1, f.kernel_l2, f.clipvalue)


cdef inline Receiver to_bias(const Weight *bias, const HandOverIntegers *d,
                             const HandOverNumbers *f) noexcept nogil:
    return Receiver(bias, d.optimizer, d.accumulate, d.unfinished, d.bias_non_negative,
                    f.bias_l1, f.bias_l2, f.clipvalue)


cdef inline void hand_over(const Receiver *to, const Step *step, int64_t at, int64_t rows, int64_t panel,
                           float *gradient) noexcept nogil:
    """Give a rectangle (rows, 16) of a gradient to the optimizer, or store it. at: of it in the weight."""
    cdef int64_t slot, n = rows * FNN_BLOCK
    cdef float *slots[FNN_MAX_SLOTS]
    cdef float *w = <float *> to.weight.w + at
    cdef float *stored = <float *> to.weight.gradient
    cdef float *squares = <float *> to.weight.squares
    cdef fnn_summary *summaries = <fnn_summary *> to.weight.summaries
    if not to.unfinished:
        finish(step, rows, to.l1, to.l2, to.clipvalue, w, gradient,
               squares + panel * FNN_BLOCK if squares != NULL else NULL)
    if summaries != NULL and step.record != NULL:
        step.k.summarize(n, gradient, summaries + panel)
    if stored != NULL:
        if to.accumulate:
            step.k.add(n, gradient, stored + at)
        else:
            memcpy(stored + at, gradient, n * sizeof(float))
        return
    for slot in range(FNN_MAX_SLOTS):
        slots[slot] = <float *> to.weight.slots[slot]
        if slots[slot] != NULL:
            slots[slot] += at
    if step.verdict.scale != 1.0:
        # Clipped by the global norm, which was found without this gradient.
        for slot in range(FNN_BLOCK):
            step.scratch[SCRATCH - FNN_BLOCK + slot] = step.verdict.scale
        step.k.scale_columns(rows, step.scratch + SCRATCH - FNN_BLOCK, gradient, gradient)
    step.k.update[to.optimizer](n, step.scalars, gradient, w, slots[0], slots[1], slots[2])
    if to.non_negative:
        step.k.clip(n, 0.0, <float> INFINITY, w)


cdef inline void hand_over_bias(const Receiver *to, const Op *op, const Step *step, const float *dz, int64_t stride,
                                int64_t j0, int64_t j1) noexcept nogil:
    cdef int64_t j, r
    for j in range(j0, j1):
        r = 0
        while r < rows_of(op, step):
            step.k.add_rows(smaller(FNN_CHUNK, rows_of(op, step) - r), r > 0,
                            dz + j * stride + r * FNN_BLOCK, step.scratch)
            r += FNN_CHUNK
        hand_over(to, step, j * FNN_BLOCK, 1, j, step.scratch)
