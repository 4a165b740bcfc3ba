"""The numbers of each row in other lines, or in another order: a member of the team takes rows of the batch.

Design
- Both sides may have lines of any length, so that a row moves in runs: as far as neither a line nor one of
  its blocks of 16 ends. Where both lines are whole blocks, a run is a cache line.
- Any other order of the numbers is a list of places, made once when the program is.
"""

from libc.stdint cimport int64_t
from libc.string cimport memcpy

from fastnn.kernels.csrc cimport FNN_BLOCK
from fastnn.kernels.op cimport Op, Step, parts, share, smaller
from fastnn.kernels.operands cimport Permute, Regroup


cdef inline int64_t run_of(int64_t lane, int64_t features) noexcept nogil:
    """Numbers from `lane` of a line to the end of its block, or of the line."""
    return smaller(FNN_BLOCK - lane % FNN_BLOCK, features - lane)


cdef inline void clear_padding(float *line, int64_t stride, int64_t features) noexcept nogil:
    """Zeros after the last number of a line: what follows relies on them."""
    cdef int64_t c
    for c in range(features, parts(features, FNN_BLOCK) * FNN_BLOCK):
        line[c // FNN_BLOCK * stride + c % FNN_BLOCK] = 0.0


cdef void regroup(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """y [+]= x, the numbers of a row in the same order"""
    cdef const Regroup *o = <const Regroup *> &op.operands
    cdef const float *x = <const float *> o.t.x          # IN (rows, positions, features)
    cdef float *y = <float *> o.t.y                      # OUT (rows, other positions, other features)
    cdef int64_t x_features = o.d.features_of_x, y_features = o.d.features_of_y, numbers = o.d.numbers
    cdef bint accumulate = o.d.accumulate
    cdef int64_t x_lines = numbers // x_features, y_lines = numbers // y_features
    # Pixels, as they lie: one line a row, its blocks one after another.
    cdef int64_t x_row = o.d.row_of_x if o.d.row_of_x else x_lines * FNN_BLOCK
    cdef int64_t y_row = o.d.row_of_y if o.d.row_of_y else y_lines * FNN_BLOCK
    cdef int64_t r0, r1, r, a, b, k, m
    cdef const float *x_line
    cdef const float *source
    cdef float *y_line
    cdef float *to
    share(step.rows, 1, i, n, &r0, &r1)
    for r in range(r0, r1):
        x_line = x + r * x_row
        y_line = y + r * y_row
        a = b = 0
        for _ in range(numbers):
            m = smaller(run_of(a, x_features), run_of(b, y_features))
            source = x_line + a // FNN_BLOCK * o.stride.x + a % FNN_BLOCK
            to = y_line + b // FNN_BLOCK * o.stride.y + b % FNN_BLOCK
            if accumulate:
                for k in range(m):
                    to[k] += source[k]
            elif m == FNN_BLOCK:
                memcpy(to, source, FNN_BLOCK * sizeof(float))
            else:
                for k in range(m):
                    to[k] = source[k]
            a += m
            b += m
            if a == x_features:
                a = 0
                x_line += FNN_BLOCK
            if b == y_features:
                if not accumulate:
                    clear_padding(y_line, o.stride.y, y_features)
                b = 0
                y_line += FNN_BLOCK
                if y_line == y + r * y_row + y_lines * FNN_BLOCK:
                    break


cdef void permute(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """y [+]= x, the numbers of a row in another order"""
    cdef const Permute *o = <const Permute *> &op.operands
    cdef const float *x = <const float *> o.t.x          # IN (rows, positions, features)
    cdef const int64_t *places = <const int64_t *> o.t.places  # IN of each number of a row of y, in x's first row
    cdef float *y = <float *> o.t.y                      # OUT (rows, other positions, other features)
    cdef int64_t features = o.d.features_of_y, lines = o.d.lines, r0, r1, r, k, c
    cdef bint accumulate = o.d.accumulate
    cdef const float *source
    cdef const int64_t *place
    cdef float *line
    cdef float *to
    share(step.rows, 1, i, n, &r0, &r1)
    for r in range(r0, r1):
        source = x + r * op.positions * FNN_BLOCK
        place = places
        for k in range(r * lines, (r + 1) * lines):
            line = y + k * FNN_BLOCK
            for c in range(features):
                to = line + c // FNN_BLOCK * o.stride.y + c % FNN_BLOCK
                to[0] = source[place[c]] + (to[0] if accumulate else 0.0)
            if not accumulate:
                clear_padding(line, o.stride.y, features)
            place += features


KERNELS = {
    "permute": <size_t> &permute,
    "regroup": <size_t> &regroup,
}
