"""Losses and metrics of a batch, and their sums over batches."""

from libc.stdint cimport int32_t, int64_t

from fastnn.kernels.csrc cimport FNN_BLOCK, fnn_target
from fastnn.kernels.op cimport Op, Step, share_rows
from fastnn.kernels.operands cimport AddSums, Loss, Metric, SumRows, Target


cdef inline bint target_of_rows(const Target *target, const Op *op, const Step *step, int i, int n,
                                fnn_target *t) noexcept nogil:
    """What is a member's of the rows; False if it has none."""
    cdef int64_t r0, r1, at
    share_rows(op, step, i, n, &r0, &r1)
    at = r0 * FNN_BLOCK
    t.rows = r1 - r0
    t.y_pred = <const float *> target.y_pred + at
    t.y_true = NULL if target.y_true == NULL else <float *> target.y_true + at
    t.labels = NULL if target.labels == NULL else <int32_t *> target.labels + r0
    t.weights = NULL if target.weights == NULL else <float *> target.weights + r0
    t.row_values = <float *> target.row_values + r0
    t.d_y_pred = NULL if target.d_y_pred == NULL else <float *> target.d_y_pred + at
    t.probabilities = NULL if target.probabilities == NULL else <float *> target.probabilities + at
    return r0 < r1


cdef void loss(const Op *op, const Step *step, int i, int n) noexcept nogil:
    cdef const Loss *o = <const Loss *> &op.operands
    cdef fnn_target t
    if target_of_rows(&o.t.target, op, step, i, n, &t):
        t.features, t.stride = o.d.features, o.stride.y_pred
        t.params = &o.f.params[0]
        # mean: the batch's loss is the rows' mean, else their sum
        t.scale = o.f.scale / <float> step.batch if o.d.mean else o.f.scale
        step.k.loss[o.d.kind](&t)


cdef void metric(const Op *op, const Step *step, int i, int n) noexcept nogil:
    cdef const Metric *o = <const Metric *> &op.operands
    cdef fnn_target t
    if target_of_rows(&o.t.target, op, step, i, n, &t):
        t.features, t.stride = o.d.features, o.stride.y_pred
        t.params = &o.f.param_0
        step.k.metric[o.d.kind](&t)


cdef void sum_rows(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """A sum += the means over their lines of the rows' values, in their order and in float64; by one
    member. times_rows: the sum over all lines is the batch's value, of which the mean over rows is wanted:
    each row counts it once. lines: of a row. into: the sums of this step in this process, to be exchanged."""
    cdef const SumRows *o = <const SumRows *> &op.operands
    cdef const float *values = <const float *> o.t.values  # IN (rows, lines)
    cdef double *sums = step.sums if o.t.into == NULL else <double *> o.t.into
    cdef double total = 0.0
    cdef int64_t r
    if i == 0:
        for r in range(step.rows * o.d.lines):
            total += values[r]
        sums[o.d.sum] += total * step.batch if o.d.times_rows else total / o.d.lines


cdef void add_sums(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """The sums of this step in all processes, added to those of the steps before; by one member."""
    cdef const AddSums *o = <const AddSums *> &op.operands
    cdef const double *sums = <const double *> o.t.sums  # IN (count,)
    cdef int64_t k
    if i == 0:
        for k in range(o.d.count):
            step.sums[k] += sums[k]


KERNELS = {
    "loss": <size_t> &loss,
    "metric": <size_t> &metric,
    "sum_rows": <size_t> &sum_rows,
    "add_sums": <size_t> &add_sums,
}
