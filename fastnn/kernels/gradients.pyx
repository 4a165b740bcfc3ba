"""Gradients between backward and update: are they finite, how long are they, what makes them shorter; and
the update of what has a stored gradient.

Design
- A weight gradient that goes straight into its update is never seen as a whole. That it is finite follows
  from its factors: |x' dz| <= rows * max|x| * max|dz|. The maxima (`magnitude`) cost a look at the
  activations; `guard_factors` multiplies them. Where that proves nothing, the engine stops before the
  step's updates, and the step is run again by a program that stores the gradients.
- Stored gradients come with the squares of each column of each panel of rows; `square_sums` adds them up,
  in their order, to a weight's squared norm, and `guard` finds from the norms what is not finite and how
  much the global norm is to be clipped.
- For few rows a norm comes from the factors of the product instead (product_norms.pyx), and no gradient is
  stored to be clipped. Where too few digits of it can be trusted, the engine stops as if nothing were proved.
- A guard is worked out by every member for itself, from what all wrote before the wait: no other wait is
  needed for the team to agree.
"""

from libc.math cimport isfinite, isnan, sqrt
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcpy

from fastnn.kernels.csrc cimport FNN_BLOCK, FNN_CHUNK, fnn_sparse
from fastnn.kernels.gradients cimport NAN, NON_NEGATIVE, SURELY_FINITE, UNIT_NORM, finish
from fastnn.kernels.op cimport (
    NONFINITE, ROW_UNIT, UNPROVEN, Op, Step, blocks_of, parts, share, share_rows, smaller, take, unit_of
)
from fastnn.kernels.operands cimport (
    Clip, ClipGradient, ConstrainRows, FinishGradient, Guard, GuardFactors, Magnitude, MagnitudeSparse, Penalty,
    RegularizeActivity, SquareSums, SumPenalties, Update
)

cdef extern from "math.h" nogil:
    double INFINITY

cdef enum:
    # Rows of a block that are updated at a time: gradient, weight and slots stay in the first-level cache.
    UPDATE_ROWS = 96

# Of a squared norm that clips: the length of the step is then off by half as much.
cdef double MOST_ERROR = 1e-4


cdef inline float number_of(int32_t magnitude) noexcept nogil:
    cdef float x
    memcpy(&x, &magnitude, sizeof(x))
    return x


cdef inline int32_t largest_of_lines(const Op *op, const Step *step, const float *x, int64_t begin,
                                     int64_t lines) noexcept nogil:
    cdef const Magnitude *o = <const Magnitude *> &op.operands
    cdef int32_t most = 0, found
    cdef int64_t j
    for j in range(blocks_of(o.d.features)):
        found = step.k.magnitude(lines * FNN_BLOCK, x + j * o.stride.x + begin * FNN_BLOCK)
        if found > most:
            most = found
    return most


cdef void magnitude(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """The largest |x| of each unit of rows, as its bits."""
    cdef const Magnitude *o = <const Magnitude *> &op.operands
    cdef const float *x = <const float *> o.t.x          # IN (rows, features)
    cdef int32_t *out = <int32_t *> o.t.magnitudes       # OUT (units,)
    cdef int32_t most
    cdef int64_t unit = unit_of(op), r0, r1, r
    share_rows(op, step, i, n, &r0, &r1)
    r = r0
    while r < r1:
        if o.d.row:  # pixels, as they lie: so many floats from row to row
            most = step.k.magnitude(smaller(unit, r1 - r) // op.positions * o.d.row, x + r // op.positions * o.d.row)
        else:
            most = largest_of_lines(op, step, x, r, smaller(unit, r1 - r))
        out[r // unit] = most
        r += unit


cdef void magnitude_sparse(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """`magnitude` of the batch's rows of nonzeros."""
    cdef const MagnitudeSparse *o = <const MagnitudeSparse *> &op.operands
    cdef int32_t *out = <int32_t *> o.t.magnitudes       # OUT (units,)
    cdef const fnn_sparse *x = step.sources[o.d.source].sparse
    cdef const float *value
    cdef int32_t bits, most
    cdef int64_t r0, r1, r, k
    share_rows(op, step, i, n, &r0, &r1)
    most = 0
    for r in range(r0, r1):
        if r % ROW_UNIT == 0:
            most = 0
        value = x.value + x.start[step.order[r]]
        for k in range(x.granule[step.order[r] * (x.granules + 1) + x.granules]):
            memcpy(&bits, value + k, sizeof(bits))
            bits &= 0x7fffffff
            if bits > most:
                most = bits
        out[r // ROW_UNIT] = most


cdef inline float largest(const int32_t *magnitudes, const int64_t *entry, int64_t rows) noexcept nogil:
    """Of the maxima of a tensor's parts and units of lines; 1 for none. entry: where the first one is, parts, from
    part to part, lines of a row, lines of a unit."""
    cdef int32_t most = 0
    cdef int64_t part, u, at
    for part in range(entry[1]):
        at = entry[0] + part * entry[2]
        for u in range(at, at + parts(rows * entry[3], entry[4])):
            if magnitudes[u] > most:
                most = magnitudes[u]
    return 1.0 if entry[1] == 0 else number_of(most)


cdef inline double atleast_one(float x) noexcept nogil:
    return 1.0 if x < 1.0 else x  # NaN stays NaN


cdef void guard_factors(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """Halts the step unless all products x' dz are surely finite."""
    cdef const GuardFactors *o = <const GuardFactors *> &op.operands
    cdef const int32_t *magnitudes = <const int32_t *> o.t.magnitudes  # IN (entries, units)
    cdef const int64_t *factors = <const int64_t *> o.t.factors  # IN (products, 2, 5): see `largest`
    cdef const int64_t *x
    cdef const int64_t *dz
    cdef int64_t p
    cdef double bound
    for p in range(o.d.products):
        x = factors + 10 * p
        dz = x + 5
        # not less than 1: the sum of dz is the bias's gradient
        bound = atleast_one(largest(magnitudes, x, step.rows)) * step.rows * dz[3]
        bound *= largest(magnitudes, dz, step.rows)
        if not bound < SURELY_FINITE:
            step.verdict.state = UNPROVEN
            return


cdef void finish_gradient(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """`finish` for a gradient that was stored without it."""
    cdef const FinishGradient *o = <const FinishGradient *> &op.operands
    cdef float *gradient = <float *> o.t.gradient        # IN OUT (blocks, rows, 16)
    cdef const float *w = <const float *> o.t.w          # IN likewise
    cdef float *squares = <float *> o.t.squares          # OUT (blocks, panels, 16)
    cdef int64_t rows = o.d.rows, panel = o.d.panel, panels = parts(rows, panel), task, j, r
    cdef int turn = 0
    while True:
        task = take(step, o.d.blocks * panels, i, n, &turn)
        if task < 0:
            break
        j, r = task // panels, task % panels * panel
        finish(step, smaller(panel, rows - r), o.f.l1, o.f.l2, o.f.clipvalue, w + (j * rows + r) * FNN_BLOCK,
               gradient + (j * rows + r) * FNN_BLOCK, squares + task * FNN_BLOCK if squares != NULL else NULL)


cdef void square_sums(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """A gradient's squared norm, in float64; NaN if it has a number that is not finite. By one member.

    Squares overflow long before the gradient does: then it is gone through once more. So it is where
    (`exact`) a norm is wanted for itself, since squares also vanish long before the gradient does.

    More than `limit` counts as not finite, if that is not 0: the optimizer squares it in float32.
    """
    cdef const SquareSums *o = <const SquareSums *> &op.operands
    cdef const float *squares = <const float *> o.t.squares  # IN (count,)
    cdef const float *gradient = <const float *> o.t.gradient  # IN (size,)
    cdef double *norm = <double *> o.t.norm              # OUT
    cdef double total = 0.0
    cdef int64_t k
    if i != o.d.number % n:
        return
    for k in range(o.d.count):
        total += squares[k]
    if o.d.exact or not (isfinite(total) or isnan(total)):
        total = 0.0
        for k in range(o.d.size):
            total += NAN if not isfinite(gradient[k]) else <double> gradient[k] * gradient[k]
    norm[0] = INFINITY if o.f.limit > 0 and total > o.f.limit else total


cdef void guard(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """Halts the step if a norm is not finite (`halts`); else settles the scale for `global_clipnorm`.

    The last `unstored` norms are of gradients that nobody has seen, a kernel's and its bias's in turn: those may be
    finite, or what cancelled in them may have left too few digits of a norm that clips.
    """
    cdef const Guard *o = <const Guard *> &op.operands
    cdef const double *norms = <const double *> o.t.norms  # IN (count,), squared
    cdef const double *errors = <const double *> o.t.errors  # IN (unstored / 2,)
    cdef double total = 0.0, error = 0.0
    cdef int64_t v
    for v in range(o.d.count - o.d.unstored, o.d.count):
        if not isfinite(norms[v]):
            step.verdict.state = UNPROVEN
            return
    for v in range(o.d.count):
        if o.d.halts and not isfinite(norms[v]):
            step.verdict.state = NONFINITE
            return
        total += norms[v]
    for v in range(o.d.unstored // 2):
        error += errors[v]
    if error > MOST_ERROR * total and total + error > o.f.global_clipnorm * o.f.global_clipnorm:
        step.verdict.state = UNPROVEN
        return
    if o.f.global_clipnorm > 0 and not sqrt(total) <= o.f.global_clipnorm:
        step.verdict.scale = <float> (o.f.global_clipnorm / sqrt(total))


cdef inline void column_norms(const Step *step, int64_t rows, const float *x, double *norms) noexcept nogil:
    """norms (16,) += the squares of each column of x (rows, 16)"""
    cdef int64_t r = 0, c
    # aligned: a vector is stored to it
    cdef float *sums = step.scratch + UPDATE_ROWS * FNN_BLOCK
    while r < rows:
        step.k.squares(smaller(FNN_CHUNK, rows - r), x + r * FNN_BLOCK, sums)
        for c in range(FNN_BLOCK):
            norms[c] += sums[c]
        r += FNN_CHUNK


cdef inline void norms_of_units(const Step *step, bint whole, int64_t rows, int64_t blocks, const float *x,
                                double *norms) noexcept nogil:
    """Of each column; or the one norm of all, for each column."""
    cdef int64_t j, c
    cdef double total = 0.0
    for c in range(FNN_BLOCK):
        norms[c] = 0.0
    for j in range(blocks):
        column_norms(step, rows, x + j * rows * FNN_BLOCK, norms)
    if whole:
        for c in range(FNN_BLOCK):
            total += norms[c]
        for c in range(FNN_BLOCK):
            norms[c] = total
    for c in range(FNN_BLOCK):
        norms[c] = sqrt(norms[c])


cdef inline void prepare_clip(const Clip *clip, const Step *step, bint whole, int64_t rows, int64_t blocks,
                              const float *gradient, const float *w, const double *norm,
                              float *factors) noexcept nogil:
    """Factors (16,) of a unit's columns: the global norm's, the weight's own, or each unit's. norm: squared."""
    cdef double of_gradient[FNN_BLOCK]
    cdef double of_weight[FNN_BLOCK]
    cdef float factor = step.verdict.scale
    cdef int64_t c
    if clip.adaptive_clip > 0:
        norms_of_units(step, whole, rows, blocks, gradient, of_gradient)
        norms_of_units(step, whole, rows, blocks, w, of_weight)
        for c in range(FNN_BLOCK):
            factors[c] = adaptive_factor(clip.adaptive_clip, of_gradient[c], of_weight[c])
        return
    if clip.clipnorm > 0 and not sqrt(norm[0]) <= clip.clipnorm:
        factor = <float> (clip.clipnorm / sqrt(norm[0]))
    for c in range(FNN_BLOCK):
        factors[c] = factor


cdef void clip_gradient(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """A stored gradient is clipped where it lies, for an update that is not element by element."""
    cdef const ClipGradient *o = <const ClipGradient *> &op.operands
    cdef float *gradient = <float *> o.t.gradient         # IN OUT (blocks, rows, 16)
    cdef const float *w = <const float *> o.t.w           # IN likewise
    cdef int64_t rows = o.d.rows, at, j
    cdef const double *norm = <const double *> o.t.norm   # IN, squared
    cdef float *factors = step.scratch + (UPDATE_ROWS + 1) * FNN_BLOCK
    cdef int turn = 0
    while True:
        j = take(step, o.d.blocks, i, n, &turn)
        if j < 0:
            break
        at = j * rows * FNN_BLOCK
        prepare_clip(&o.f.clip, step, o.d.whole, rows, 1, gradient + at, w + at, norm, factors)
        step.k.scale_columns(rows, factors, gradient + at, gradient + at)


cdef void update(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """w takes the optimizer's step by a stored gradient: clipped; then averaged, then constrained.

    A task is a block of columns, or a whole vector, since clipping by units and constraints look at its
    norm. Settings: see the op's row.
    """
    cdef const Update *o = <const Update *> &op.operands
    cdef const float *gradient = <const float *> o.t.gradient  # IN (blocks, rows, 16), or NULL: the step is done
    cdef float *w = <float *> o.t.w                       # IN OUT likewise, as the slots
    cdef float *average = <float *> o.t.average           # IN OUT likewise, or NULL
    cdef const double *norm = <const double *> o.t.norm   # IN, squared
    cdef int64_t rows = o.d.rows, group = o.d.group
    cdef float *part = step.scratch
    cdef float *factors = step.scratch + (UPDATE_ROWS + 1) * FNN_BLOCK
    cdef bint clips = o.f.clip.clipnorm > 0 or o.f.clip.adaptive_clip > 0 or step.verdict.scale != 1.0
    cdef float *slots[3]
    cdef int64_t task, at, r, j, s, m, blocks
    cdef const float *g
    cdef int turn = 0
    while True:
        task = take(step, parts(o.d.blocks, group), i, n, &turn)
        if task < 0:
            break
        blocks = smaller(group, o.d.blocks - task * group)
        at = task * group * rows * FNN_BLOCK
        if clips and gradient != NULL:
            prepare_clip(&o.f.clip, step, o.d.whole, rows, blocks, gradient + at, w + at, norm, factors)
        for j in range(task * group, task * group + blocks):
            r = 0
            while r < rows:
                m = smaller(UPDATE_ROWS, rows - r)
                at = (j * rows + r) * FNN_BLOCK
                if gradient != NULL:
                    g = gradient + at
                    if clips:
                        step.k.scale_columns(m, factors, g, part)
                        g = part
                    for s in range(3):
                        slots[s] = <float *> o.t.slots[s]
                        if slots[s] != NULL:
                            slots[s] += at
                    step.k.update[o.d.optimizer](m * FNN_BLOCK, step.scalars, g, w + at, slots[0], slots[1], slots[2])
                if average != NULL:
                    step.k.average(m * FNN_BLOCK, o.f.ema_momentum if step.number > 0 else 0.0, w + at, average + at)
                    if o.d.overwrite_every > 0 and (step.number + 1) % o.d.overwrite_every == 0:
                        memcpy(w + at, average + at, m * FNN_BLOCK * sizeof(float))
                r += UPDATE_ROWS
        if o.d.constraint:
            constrain_units(o.d.constraint, o.f.constraint_value, o.d.whole, step, rows, blocks,
                            w + task * group * rows * FNN_BLOCK)


cdef inline float adaptive_factor(double clipping, double of_gradient, double of_weight) noexcept nogil:
    """Brock et al. 2021, equation 3, with its epsilon 1e-3."""
    cdef double most = clipping * (of_weight if of_weight > 1e-3 else 1e-3)
    return 1.0 if of_gradient <= most else <float> (most / of_gradient)


cdef inline float norm_factor(int64_t kind, double most, double norm) noexcept nogil:
    """Keras 3's MaxNorm and UnitNorm, with its epsilon."""
    cdef double wanted = 1.0 if kind == UNIT_NORM else norm if norm < most else most
    return <float> (wanted / (1e-7 + norm))


cdef void constrain_units(int64_t kind, double most, bint whole, const Step *step, int64_t rows, int64_t blocks,
                          float *w) noexcept nogil:
    cdef double norms[FNN_BLOCK]
    cdef float *factors = step.scratch + (UPDATE_ROWS + 2) * FNN_BLOCK
    cdef int64_t c, j
    if kind == NON_NEGATIVE:
        step.k.clip(blocks * rows * FNN_BLOCK, 0.0, <float> INFINITY, w)
        return
    norms_of_units(step, whole, rows, blocks, w, norms)
    for c in range(FNN_BLOCK):
        factors[c] = norm_factor(kind, most, norms[c])
    for j in range(blocks):
        step.k.scale_columns(rows, factors, w + j * rows * FNN_BLOCK, w + j * rows * FNN_BLOCK)


cdef void constrain_rows(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """Constraints by the norm of each row of a kernel, or (`whole`) of all of it: by one member."""
    cdef const ConstrainRows *o = <const ConstrainRows *> &op.operands
    cdef float *w = <float *> o.t.w                       # IN OUT (blocks, rows + padding, 16)
    cdef int64_t blocks = o.d.blocks, rows = o.d.rows, stored = o.d.stored_rows, r, r0, r1
    cdef double total
    cdef float factor
    if o.d.whole:
        if i > 0:
            return
        r0, r1 = 0, 1
    else:
        share(rows, 1, i, n, &r0, &r1)
    for r in range(r0, r1):
        total = row_squares(w, r, rows if o.d.whole else r + 1, blocks, stored)
        factor = norm_factor(o.d.constraint, o.f.constraint_value, sqrt(total))
        scale_rows(w, r, rows if o.d.whole else r + 1, blocks, stored, factor)


cdef double row_squares(const float *w, int64_t r0, int64_t r1, int64_t blocks, int64_t stored) noexcept nogil:
    cdef double total = 0.0
    cdef int64_t r, j, c
    for r in range(r0, r1):
        for j in range(blocks):
            for c in range(FNN_BLOCK):
                total += <double> w[(j * stored + r) * FNN_BLOCK + c] * w[(j * stored + r) * FNN_BLOCK + c]
    return total


cdef void scale_rows(float *w, int64_t r0, int64_t r1, int64_t blocks, int64_t stored, float factor) noexcept nogil:
    cdef int64_t r, j, c
    for r in range(r0, r1):
        for j in range(blocks):
            for c in range(FNN_BLOCK):
                w[(j * stored + r) * FNN_BLOCK + c] *= factor


cdef void penalty(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """What a regularizer asks for a weight: a sum for each column, in float32 over chunks of rows."""
    cdef const Penalty *o = <const Penalty *> &op.operands
    cdef const float *w = <const float *> o.t.w           # IN (blocks, rows, 16)
    cdef double *sums = <double *> o.t.penalties          # OUT (blocks,)
    cdef int64_t rows = o.d.rows, j, r, c
    cdef float *part = step.scratch
    cdef int turn = 0
    while True:
        j = take(step, o.d.blocks, i, n, &turn)
        if j < 0:
            break
        sums[j] = 0.0
        r = 0
        while r < rows:
            step.k.penalty(smaller(FNN_CHUNK, rows - r), o.f.l1, o.f.l2, w + (j * rows + r) * FNN_BLOCK, part)
            for c in range(FNN_BLOCK):
                sums[j] += part[c]
            r += FNN_CHUNK


cdef void sum_penalties(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """A sum += the penalties, once for each row: as the losses are, it is divided by rows."""
    cdef const SumPenalties *o = <const SumPenalties *> &op.operands
    cdef const double *penalties = <const double *> o.t.penalties  # IN (blocks,)
    cdef double total = 0.0
    cdef int64_t j
    if i == 0:
        for j in range(o.d.blocks):
            total += penalties[j]
        step.sums[o.d.sum] += total * step.batch


cdef void regularize_activity(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """Each row's share of l1 |y| + l2 y^2, and its gradient by the batch's mean added to dy."""
    cdef const RegularizeActivity *o = <const RegularizeActivity *> &op.operands
    cdef const float *y = <const float *> o.t.y           # IN (rows, features)
    cdef float *dy = <float *> o.t.dy                     # OUT (rows, features) or NULL
    cdef float *row_values = <float *> o.t.row_values     # OUT (rows,)
    cdef float *part = step.scratch
    cdef int64_t features = o.d.features, r0, r1, r, j, c
    cdef double total = 0.0
    share_rows(op, step, i, n, &r0, &r1)
    for r in range(r0, r1):
        if r % op.positions == 0:
            total = 0.0
        for j in range(blocks_of(features)):
            step.k.penalty(1, o.f.l1, o.f.l2, y + j * o.stride.y + r * FNN_BLOCK, part)
            for c in range(FNN_BLOCK):
                total += part[c]
            if dy != NULL:
                if not o.d.accumulate:
                    for c in range(FNN_BLOCK):
                        dy[j * o.stride.y + r * FNN_BLOCK + c] = 0.0
                step.k.regularize(FNN_BLOCK, o.f.l1 / <float> step.batch, o.f.l2 / <float> step.batch,
                                  y + j * o.stride.y + r * FNN_BLOCK, dy + j * o.stride.y + r * FNN_BLOCK)
        if (r + 1) % op.positions == 0:
            row_values[r // op.positions] = <float> total


KERNELS = {
    "magnitude": <size_t> &magnitude,
    "magnitude_sparse": <size_t> &magnitude_sparse,
    "guard_factors": <size_t> &guard_factors,
    "finish_gradient": <size_t> &finish_gradient,
    "square_sums": <size_t> &square_sums,
    "guard": <size_t> &guard,
    "clip_gradient": <size_t> &clip_gradient,
    "update": <size_t> &update,
    "constrain_rows": <size_t> &constrain_rows,
    "penalty": <size_t> &penalty,
    "sum_penalties": <size_t> &sum_penalties,
    "regularize_activity": <size_t> &regularize_activity,
}
