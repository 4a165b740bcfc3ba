"""Functions of the user's inside a step, and what brings them their arrays.

Design
- NumPy wants rows that are contiguous; the kernels keep blocks. `unpack` and `pack` convert, the whole
  team taking rows; the function works on the rows in place.
- Member 0 is the thread that asked for the run (after a fork: one that it waits for). It takes the GIL and
  calls; the others go on to the next wait.
- An exception is kept for the end of the run. The guard before the updates, and the end of the step, see
  `failed`: the step leaves no trace.
- Other processes are met by an object of the engine's, which Python's bytecode has no part in: a signal's handler
  runs before the meeting or after it, never within it.
"""

from libc.stdint cimport int64_t, uint64_t

from fastnn.kernels.csrc cimport FNN_BLOCK
from fastnn.kernels.op cimport FAILED, Op, Step, rows_of, share, unit_of
from fastnn.kernels.operands cimport Pack, Unpack

cdef extern from "fnn.h":
    int FNN_FLOAT32

cdef extern from "float_mode.h" nogil:
    uint64_t fnn_flush_denormals()
    void fnn_set_float_mode(uint64_t mode)


cdef void unpack(const Op *op, const Step *step, int i, int n) noexcept nogil:
    cdef const Unpack *o = <const Unpack *> &op.operands
    cdef const float *x = <const float *> o.t.x          # IN (rows, features) in blocks
    cdef float *y = <float *> o.t.y                      # OUT (rows, features) in C order
    # of the batch, or of a weight
    cdef int64_t rows = rows_of(op, step) if o.d.by_rows else o.d.rows
    cdef int64_t stride = o.stride.x if o.d.by_rows else o.d.stride
    cdef int64_t features = o.d.features, r0, r1, r
    share(rows, unit_of(op), i, n, &r0, &r1)
    for r in range(r0, r1):
        step.k.scatter(features, stride, x + r * FNN_BLOCK, y + r * features)


cdef void pack(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """y [+]= x. mean: a gradient of the mean over this process's rows becomes one of that over the batch."""
    cdef const Pack *o = <const Pack *> &op.operands
    cdef const float *x = <const float *> o.t.x          # IN (rows, features) in C order
    cdef float *y = <float *> o.t.y                      # OUT (rows, features) in blocks
    # of the batch, or of a weight
    cdef int64_t rows = rows_of(op, step) if o.d.by_rows else o.d.rows
    cdef int64_t stride = o.stride.y if o.d.by_rows else o.d.stride
    cdef int64_t features = o.d.features, r0, r1, r, c
    cdef float scale = step.rows / <float> step.batch if o.d.mean else 1.0
    share(rows, unit_of(op), i, n, &r0, &r1)
    for r in range(r0, r1):
        if o.d.accumulate:
            for c in range(features):
                y[c // FNN_BLOCK * stride + r * FNN_BLOCK + c % FNN_BLOCK] += scale * x[r * features + c]
        else:
            step.k.gather[FNN_FLOAT32](features, x + r * features, scale, 0.0, stride, y + r * FNN_BLOCK)


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
        (<object> op.function)(step.rows)
    except BaseException as error:  # KeyboardInterrupt as well: whoever asked for the run gets it
        (<list> step.failures).append(error)
        step.failed[0] = 1


cdef void guard_calls(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """What follows is left out if a function has raised an exception."""
    if step.failed[0]:
        step.verdict.state = FAILED


cdef void exchange(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """All processes put together what each has of the batch. Of one that has failed whoever asked for its run tells
    the others."""
    cdef uint64_t mode
    if i == 0 and not step.failed[0]:
        mode = fnn_flush_denormals()
        fnn_set_float_mode(step.float_mode)
        meet(op, step)
        fnn_set_float_mode(mode)


cdef void meet(const Op *op, const Step *step) noexcept with gil:
    try:
        (<object> op.function)(step.rows, step.batch, step.number)
    except BaseException as error:
        (<list> step.failures).append(error)
        step.failed[0] = 1


KERNELS = {
    "unpack": <size_t> &unpack,
    "pack": <size_t> &pack,
    "call": <size_t> &call,
    "guard_calls": <size_t> &guard_calls,
    "exchange": <size_t> &exchange,
}
