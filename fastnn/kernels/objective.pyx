"""Losses and metrics of a batch, and their sums over batches."""

from libc.stdint cimport int32_t, int64_t

from fastnn.kernels.csrc cimport FNN_BLOCK, fnn_target
from fastnn.kernels.op cimport Op, Step, share_rows


cdef inline bint target_of_rows(const Op *op, const Step *step, int i, int n, fnn_target *t) noexcept nogil:
    """Tensors 0..6: y_pred, y_true, labels, weights, row_values, d_y_pred, probabilities."""
    cdef int64_t r0, r1, at
    share_rows(op, step, i, n, &r0, &r1)
    at = r0 * FNN_BLOCK
    t.rows = r1 - r0
    t.features = op.d[0]
    t.stride = op.stride[0]
    t.y_pred = <const float *> op.t[0] + at
    t.y_true = NULL if op.t[1] == NULL else <float *> op.t[1] + at
    t.labels = NULL if op.t[2] == NULL else <int32_t *> op.t[2] + r0
    t.weights = NULL if op.t[3] == NULL else <float *> op.t[3] + r0
    t.row_values = <float *> op.t[4] + r0
    t.d_y_pred = NULL if op.t[5] == NULL else <float *> op.t[5] + at
    t.probabilities = NULL if op.t[6] == NULL else <float *> op.t[6] + at
    t.params = op.f + 1
    return r0 < r1


cdef void loss(const Op *op, const Step *step, int i, int n) noexcept nogil:
    cdef fnn_target t
    if target_of_rows(op, step, i, n, &t):
        # d[2]: the batch's loss is the rows' mean, else their sum
        t.scale = op.f[0] / <float> step.rows if op.d[2] else op.f[0]
        step.k.loss[op.d[1]](&t)


cdef void metric(const Op *op, const Step *step, int i, int n) noexcept nogil:
    cdef fnn_target t
    if target_of_rows(op, step, i, n, &t):
        step.k.metric[op.d[1]](&t)


cdef void sum_rows(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """sums[d[0]] += the means over their lines of the rows' values, in their order and in float64; by one
    member. d[1]: the sum over all lines is the batch's value, of which the mean over rows is wanted: each
    row counts it once. d[2]: lines of a row."""
    cdef const float *values = <const float *> op.t[0]   # IN (rows, lines)
    cdef double total = 0.0
    cdef int64_t r
    if i == 0:
        for r in range(step.rows * op.d[2]):
            total += values[r]
        step.sums[op.d[0]] += total * step.rows if op.d[1] else total / op.d[2]


KERNELS = {
    "loss": <size_t> &loss,
    "metric": <size_t> &metric,
    "sum_rows": <size_t> &sum_rows,
}
