"""Statistics of a step: of gradients, weights and activations, for a person to read.

Design
- They are taken in every n-th step only (`step.record` is NULL in the others), so that they may look at
  what the other kernels never see: a weight before and after its step, how long a unit has been silent.
- Each tile has a summary of its own, so that a figure does not depend on the number of threads; the
  `record_*` ops add them up in order, each by one member.
- A gradient that goes straight into its update is summarized on its way (`hand_over` in dense.pyx).
- All sums are float64: the squares of a gradient of 1e-25 are no float32.
"""

from libc.math cimport sqrt
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcpy

from fastnn.kernels.csrc cimport FNN_BLOCK, fnn_activation_summary, fnn_summary
from fastnn.kernels.op cimport Op, Step, blocks_of, parts, rows_of, share, smaller, take
from fastnn.kernels.operands cimport (
    KeepWeights, RecordActivations, RecordWeights, SummarizeActivations, SummarizeStep, SummarizeWeights
)

cdef enum:
    # Numbers of a weight that have a summary of their own.
    TILE = 2048
    # Bytes of a summary of each kind, and columns of a record.
    SUMMARY = sizeof(fnn_summary)
    ACTIVATION_SUMMARY = sizeof(fnn_activation_summary)

TILE_SIZE = TILE
SUMMARY_BYTES = SUMMARY
ACTIVATION_SUMMARY_BYTES = ACTIVATION_SUMMARY
OF_WEIGHTS = ("norm", "largest", "nonfinite")
OF_ACTIVATIONS = ("mean", "deviation", "zeros", "saturated", "nonfinite", "dead", "saturated_units")


cdef void keep_weights(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """kept = w"""
    cdef const KeepWeights *o = <const KeepWeights *> &op.operands
    cdef const float *w = <const float *> o.t.w          # IN (size,)
    cdef float *kept = <float *> o.t.kept                # OUT (size,)
    cdef int64_t begin, end
    share(o.d.size, TILE, i, n, &begin, &end)
    if begin < end:
        memcpy(kept + begin, w + begin, (end - begin) * sizeof(float))


cdef void summarize_weights(const Op *op, const Step *step, int i, int n) noexcept nogil:
    cdef const SummarizeWeights *o = <const SummarizeWeights *> &op.operands
    cdef const float *x = <const float *> o.t.x          # IN (size,)
    cdef fnn_summary *summaries = <fnn_summary *> o.t.summaries  # OUT (tiles,)
    cdef int64_t task, begin
    cdef int turn = 0
    while True:
        task = take(step, parts(o.d.size, TILE), i, n, &turn)
        if task < 0:
            break
        begin = task * TILE
        step.k.summarize(smaller(TILE, o.d.size - begin), x + begin, summaries + task)


cdef void summarize_step(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """Of a weight before its step, after it, and of the step itself, which takes the place of `kept`."""
    cdef const SummarizeStep *o = <const SummarizeStep *> &op.operands
    cdef const float *w = <const float *> o.t.w          # IN (size,)
    cdef float *kept = <float *> o.t.kept                # IN OUT (size,)
    cdef fnn_summary *before = <fnn_summary *> o.t.before  # OUT (tiles,)
    cdef fnn_summary *after = <fnn_summary *> o.t.after  # OUT (tiles,)
    cdef fnn_summary *change = <fnn_summary *> o.t.step  # OUT (tiles,)
    cdef int64_t task, begin, size
    cdef int turn = 0
    while True:
        task = take(step, parts(o.d.size, TILE), i, n, &turn)
        if task < 0:
            break
        begin = task * TILE
        size = smaller(TILE, o.d.size - begin)
        step.k.summarize(size, kept + begin, before + task)
        step.k.summarize(size, w + begin, after + task)
        step.k.axpby(size, 1.0, w + begin, -1.0, kept + begin)
        step.k.summarize(size, kept + begin, change + task)


cdef void summarize_activations(const Op *op, const Step *step, int i, int n) noexcept nogil:
    cdef const SummarizeActivations *o = <const SummarizeActivations *> &op.operands
    cdef const float *y = <const float *> o.t.y          # IN (rows, features)
    cdef fnn_activation_summary *summaries = <fnn_activation_summary *> o.t.summaries  # OUT (blocks,)
    cdef int64_t *last_nonzero = <int64_t *> o.t.last_nonzero  # IN OUT (features,): the step's number, or -1
    cdef int64_t features = o.d.features, j, c, units
    cdef int32_t nonzero[FNN_BLOCK]
    cdef int turn = 0
    while True:
        j = take(step, blocks_of(features), i, n, &turn)
        if j < 0:
            break
        units = smaller(FNN_BLOCK, features - j * FNN_BLOCK)
        step.k.summarize_activations(rows_of(op, step), <int> units, o.f.low, o.f.high, y + j * o.stride.y,
                                     summaries + j, nonzero)
        for c in range(units):
            # A unit's silence begins with the first step that is looked at.
            if nonzero[c] or last_nonzero[j * FNN_BLOCK + c] < 0:
                last_nonzero[j * FNN_BLOCK + c] = step.number


cdef void record_weights(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """Norm, largest number and count of those that are not finite, into the step's record."""
    cdef const RecordWeights *o = <const RecordWeights *> &op.operands
    cdef const fnn_summary *summaries = <const fnn_summary *> o.t.summaries  # IN (count,)
    cdef double *record = step.record + o.d.column
    cdef double squares = 0.0, largest = 0.0, nonfinite = 0.0
    cdef int64_t k
    if i != o.d.number % n:
        return
    for k in range(o.d.count):
        squares += summaries[k].squares
        nonfinite += summaries[k].nonfinite
        if largest == largest and not summaries[k].largest <= largest:  # a NaN comes through, and stays
            largest = summaries[k].largest
    record[0], record[1], record[2] = sqrt(squares), largest, nonfinite


cdef void record_activations(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """Mean, deviation and shares, into the step's record; see OF_ACTIVATIONS for their order."""
    cdef const RecordActivations *o = <const RecordActivations *> &op.operands
    cdef const fnn_activation_summary *summaries = <const fnn_activation_summary *> o.t.summaries  # IN (blocks,)
    cdef const int64_t *last_nonzero = <const int64_t *> o.t.last_nonzero  # IN (features,)
    cdef double *record = step.record + o.d.column
    cdef int64_t features = o.d.features, window = o.d.window, j, dead = 0
    cdef double count = 0.0, mean = 0.0, squares = 0.0, zeros = 0.0, saturated = 0.0, nonfinite = 0.0
    cdef double saturated_units = 0.0, distance
    if i != o.d.number % n:
        return
    for j in range(blocks_of(features)):
        # Chan, Golub & LeVeque 1979: two sets' mean and squares of deviations make those of both.
        distance = summaries[j].mean - mean
        squares += summaries[j].squares
        squares += distance * distance * count * summaries[j].count / (count + summaries[j].count)
        count += summaries[j].count
        mean += distance * summaries[j].count / count
        zeros += summaries[j].zeros
        saturated += summaries[j].saturated
        nonfinite += summaries[j].nonfinite
        saturated_units += summaries[j].saturated_units
    for j in range(features):
        dead += step.number - last_nonzero[j] >= window
    record[0], record[1] = mean, sqrt(squares / count)
    record[2], record[3], record[4] = zeros / count, saturated / count, nonfinite
    record[5], record[6] = <double> dead / features, saturated_units / features


KERNELS = {
    "keep_weights": <size_t> &keep_weights,
    "summarize_weights": <size_t> &summarize_weights,
    "summarize_step": <size_t> &summarize_step,
    "summarize_activations": <size_t> &summarize_activations,
    "record_weights": <size_t> &record_weights,
    "record_activations": <size_t> &record_activations,
}
