"""Functions of the user's inside a step, and what brings them their arrays.

Design
- NumPy wants rows that are contiguous; the kernels keep blocks. `unpack` and `pack` convert, the whole
  team taking rows; the function works on the rows in place.
- Member 0 is the thread that asked for the run (after a fork: one that it waits for). It takes the GIL and
  calls; the others go on to the next wait.
- An exception is kept for the end of the run. The guard before the updates, and the end of the step, see
  `failed`: the step leaves no trace.
"""

from libc.stdint cimport int64_t, uint64_t

from fastnn.kernels.csrc cimport FNN_BLOCK
from fastnn.kernels.op cimport FAILED, Op, Step, rows_of, share, unit_of

cdef extern from "fnn.h":
    int FNN_FLOAT32

cdef extern from "float_mode.h" nogil:
    uint64_t fnn_flush_denormals()
    void fnn_set_float_mode(uint64_t mode)


cdef inline void rows_and_stride(const Op *op, const Step *step, int of, int64_t *rows, int64_t *stride) noexcept nogil:
    """Of the batch, with the stride of tensor number `of`; or of a weight."""
    rows[0] = rows_of(op, step) if op.d[1] else op.d[2]
    stride[0] = op.stride[of] if op.d[1] else op.d[3]


cdef void unpack(const Op *op, const Step *step, int i, int n) noexcept nogil:
    cdef const float *x = <const float *> op.t[0]        # IN (rows, features) in blocks
    cdef float *y = <float *> op.t[1]                    # OUT (rows, features) in C order
    cdef int64_t features = op.d[0], rows, stride, r0, r1, r
    rows_and_stride(op, step, 0, &rows, &stride)
    share(rows, unit_of(op), i, n, &r0, &r1)
    for r in range(r0, r1):
        step.k.scatter(features, stride, x + r * FNN_BLOCK, y + r * features)


cdef void pack(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """y [+]= x"""
    cdef const float *x = <const float *> op.t[0]        # IN (rows, features) in C order
    cdef float *y = <float *> op.t[1]                    # OUT (rows, features) in blocks
    cdef int64_t features = op.d[0], rows, stride, r0, r1, r, c
    rows_and_stride(op, step, 1, &rows, &stride)
    share(rows, unit_of(op), i, n, &r0, &r1)
    for r in range(r0, r1):
        if op.d[4]:
            for c in range(features):
                y[c // FNN_BLOCK * stride + r * FNN_BLOCK + c % FNN_BLOCK] += x[r * features + c]
        else:
            step.k.gather[FNN_FLOAT32](features, x + r * features, 1.0, 0.0, stride, y + r * FNN_BLOCK)


cdef void call(const Op *op, const Step *step, int i, int n) noexcept nogil:
    cdef uint64_t mode
    if i == 0 and not step.failed[0]:
        # The function finds floating point as its caller left it.
        mode = fnn_flush_denormals()
        fnn_set_float_mode(step.float_mode)
        call_python(op, step)
        fnn_set_float_mode(mode)


cdef void call_python(const Op *op, const Step *step) noexcept with gil:
    try:
        (<object> op.t[1])(step.rows)
    except BaseException as error:  # KeyboardInterrupt as well: whoever asked for the run gets it
        (<list> step.failures).append(error)
        step.failed[0] = 1


cdef void guard_calls(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """What follows is left out if a function has raised an exception."""
    if step.failed[0]:
        step.verdict.state = FAILED


KERNELS = {
    "unpack": <size_t> &unpack,
    "pack": <size_t> &pack,
    "call": <size_t> &call,
    "guard_calls": <size_t> &guard_calls,
}
