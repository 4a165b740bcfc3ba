"""Pooling, and other ways of making lines of positions from lines of positions: a member takes examples.

Design
- Tables made by lowering/windows.py say which lines a window reads, and which windows read a line: so the gradient
  of a line is gathered by one member, in an order that does not depend on the team.
- The largest of a window leaves the number of its tap: a byte, unless windows have more taps than that.
- Where windows do not overlap, each spreads its gradient over its lines instead; the derivative of the activation
  before it is that at the largest, which is what the pooling made.
- What is summed with factors is an average, padding with zeros, a crop, or an enlarged picture.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.string cimport memset

from fastnn.kernels.csrc cimport FNN_BLOCK
from fastnn.kernels.op cimport Op, Step, blocks_of, share, smaller
from fastnn.kernels.operands cimport MaxPool, MaxPoolBackward, MaxPoolSpread, SumWindows

cdef enum:
    # Lines that are made at a time, where they are not yet what the op wants.
    PANEL = 128


cdef void max_pool(const Op *op, const Step *step, int i, int n) noexcept nogil:
    cdef const MaxPool *o = <const MaxPool *> &op.operands
    cdef const float *x = <const float *> o.t.x          # IN (rows * positions, features)
    cdef const int32_t *windows = <const int32_t *> o.t.windows  # IN (windows of a row, taps)
    cdef float *y = <float *> o.t.y                      # OUT (rows * windows, features)
    cdef uint8_t *found = <uint8_t *> o.t.found          # OUT likewise, numbers of taps; or NULL
    cdef int64_t taps = o.d.taps, windows_of_row = o.d.windows_of_row, index_bytes = o.d.index_bytes
    cdef int64_t e0, e1, e, j, at
    share(step.rows, 1, i, n, &e0, &e1)
    for e in range(e0, e1):
        for j in range(blocks_of(o.d.features)):
            at = j * o.stride.y + e * windows_of_row * FNN_BLOCK
            step.k.window_max[0 if index_bytes == 1 else 1](
                windows_of_row, taps, windows, x + j * o.stride.x + e * op.positions * FNN_BLOCK, y + at,
                found + at * index_bytes if found != NULL else NULL)


cdef void max_pool_backward(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """dx [+]= dy where x was the largest, times the derivative of the activation that made x."""
    cdef const MaxPoolBackward *o = <const MaxPoolBackward *> &op.operands
    cdef const float *dy = <const float *> o.t.dy        # IN (rows * windows, features)
    cdef const uint8_t *found = <const uint8_t *> o.t.found  # IN likewise
    cdef const int32_t *readers = <const int32_t *> o.t.readers  # IN (positions, most, 2)
    cdef float *dx = <float *> o.t.dx                    # OUT (rows * positions, features)
    cdef const float *x_z = <const float *> o.t.x_z      # IN likewise or NULL: x = f(x_z)
    cdef const float *x = <const float *> o.t.x          # IN likewise or NULL
    cdef int64_t most = o.d.most, positions = o.d.positions, index_bytes = o.d.index_bytes, activation = o.d.activation
    cdef int64_t e0, e1, e, j, at, to, p, m
    cdef float *out
    share(step.rows, 1, i, n, &e0, &e1)
    for e in range(e0, e1):
        for j in range(blocks_of(o.d.features)):
            at = j * o.stride.dy + e * op.positions * FNN_BLOCK
            p = 0
            while p < positions:
                m = smaller(PANEL, positions - p)
                to = j * o.stride.dx + (e * positions + p) * FNN_BLOCK
                out = step.scratch if o.d.accumulate else dx + to
                step.k.window_max_backward[0 if index_bytes == 1 else 1](
                    m, most, readers + 2 * most * p, dy + at, found + at * index_bytes, out)
                if activation != 0:
                    step.k.activation_backward[activation](
                        m * FNN_BLOCK, o.f.params, x_z + to if x_z != NULL else NULL, x + to, out, out)
                if o.d.accumulate:
                    step.k.add(m * FNN_BLOCK, out, dx + to)
                p += m


cdef void max_pool_spread(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """`max_pool_backward` where no position is in two windows."""
    cdef const MaxPoolSpread *o = <const MaxPoolSpread *> &op.operands
    cdef const float *dy = <const float *> o.t.dy        # IN (rows * windows, features)
    cdef const uint8_t *found = <const uint8_t *> o.t.found  # IN likewise
    cdef const int32_t *windows = <const int32_t *> o.t.windows  # IN (windows of a row, taps)
    cdef const float *y = <const float *> o.t.y          # IN like dy, or NULL: the largest
    cdef float *dx = <float *> o.t.dx                    # OUT (rows * positions, features)
    cdef int64_t taps = o.d.taps, positions = o.d.positions, index_bytes = o.d.index_bytes, activation = o.d.activation
    cdef int64_t e0, e1, e, j, w, m, at
    cdef const float *dz
    cdef float *to
    share(step.rows, 1, i, n, &e0, &e1)
    for e in range(e0, e1):
        for j in range(blocks_of(o.d.features)):
            to = dx + j * o.stride.dx + e * positions * FNN_BLOCK
            if o.d.unread:
                memset(to, 0, positions * FNN_BLOCK * sizeof(float))
            w = 0
            while w < op.positions:
                m = smaller(PANEL, op.positions - w)
                at = j * o.stride.dy + (e * op.positions + w) * FNN_BLOCK
                dz = dy + at
                if activation != 0:
                    step.k.activation_backward[activation](m * FNN_BLOCK, o.f.params, NULL, y + at, dz, step.scratch)
                    dz = step.scratch
                step.k.window_max_spread[0 if index_bytes == 1 else 1](
                    m, taps, windows + w * taps, dz, found + at * index_bytes, to)
                w += m


cdef void sum_windows(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """y [+]= a factor for each window times the sum of its lines, each times its own factor."""
    cdef const SumWindows *o = <const SumWindows *> &op.operands
    cdef const float *x = <const float *> o.t.x          # IN (rows * positions, features)
    cdef const int32_t *windows = <const int32_t *> o.t.windows  # IN (windows of a row, taps)
    cdef const float *of_windows = <const float *> o.t.of_windows  # IN (windows of a row,) or NULL
    cdef const float *of_taps = <const float *> o.t.of_taps  # IN (windows of a row, taps) or NULL
    cdef float *y = <float *> o.t.y                      # OUT (rows * windows, features)
    cdef int64_t taps = o.d.taps, windows_of_row = o.d.windows_of_row
    cdef int64_t e0, e1, e, j, q, m, to
    cdef float *out
    share(step.rows, 1, i, n, &e0, &e1)
    for e in range(e0, e1):
        for j in range(blocks_of(o.d.features)):
            q = 0
            while q < windows_of_row:
                m = smaller(PANEL, windows_of_row - q)
                to = j * o.stride.y + (e * windows_of_row + q) * FNN_BLOCK
                out = step.scratch if o.d.accumulate else y + to
                step.k.window_sum(m, taps, windows + q * taps, of_windows + q if of_windows != NULL else NULL,
                                  of_taps + q * taps if of_taps != NULL else NULL,
                                  x + j * o.stride.x + e * op.positions * FNN_BLOCK, out)
                if o.d.accumulate:
                    step.k.add(m * FNN_BLOCK, out, y + to)
                q += m


KERNELS = {
    "max_pool": <size_t> &max_pool,
    "max_pool_backward": <size_t> &max_pool_backward,
    "max_pool_spread": <size_t> &max_pool_spread,
    "sum_windows": <size_t> &sum_windows,
}
