"""Embeddings: rows of a table, picked by integers of the data set.

Design
- Integers are read where the data set has them, as int32: no float stands between. They were checked when the
  rows were fed.
- A batch's lines are sorted by index once, lines of one index in ascending order. So the gradient of a table's
  row is a sum in the order of the examples, whoever takes it: chains of FNN_CHUNK terms, added in order.
- An optimizer that leaves a weight as it is where the gradient is 0 gets the rows that the batch has, and no
  others (`touched`). Else all of the table takes its step, as in Keras: a tile's gradient is zeros and the sums of
  its rows, made in scratch, and is nowhere as a whole.
"""

from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcpy, memset

from fastnn.kernels.csrc cimport FNN_BLOCK, FNN_CHUNK
from fastnn.kernels.handover cimport Receiver, hand_over, to_kernel
from fastnn.kernels.op cimport Op, Step, blocks_of, parts, rows_of, share_rows, smaller, take
from fastnn.kernels.operands cimport EmbeddingBackward, EmbeddingForward, SortIndices

cdef enum:
    # Rows of a table in a tile of its gradient, and in a task where only the touched ones are taken.
    TABLE_PANEL = 96
    TOUCHED_ROWS = 16
    # Bits of an index that one pass of the sort looks at.
    RADIX = 11

PANEL = TABLE_PANEL


cdef inline int64_t index_of(const int32_t *data, const Step *step, int64_t positions, int64_t line) noexcept nogil:
    """The data set's integer for a line of the batch."""
    if positions == 1:
        return data[step.order[line]]
    return data[step.order[line // positions] * positions + line % positions]


cdef void embedding_forward(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """y[line] = table[index of the line]"""
    cdef const EmbeddingForward *o = <const EmbeddingForward *> &op.operands
    cdef const int32_t *data = <const int32_t *> step.sources[o.d.source].data  # IN (data set, positions)
    cdef const float *table = <const float *> o.t.kernel  # IN (indices, features)
    cdef float *y = <float *> o.t.y                       # OUT (rows, features)
    cdef int64_t blocks = blocks_of(o.d.features), r0, r1, r, j, index
    share_rows(op, step, i, n, &r0, &r1)
    for r in range(r0, r1):
        index = index_of(data, step, op.positions, r)
        for j in range(blocks):
            memcpy(y + j * o.stride.y + r * FNN_BLOCK, table + j * o.d.kernel_block + index * FNN_BLOCK,
                   FNN_BLOCK * sizeof(float))


cdef void sort_indices(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """The batch's lines by their index, and those of one index in ascending order: by one member."""
    cdef const SortIndices *o = <const SortIndices *> &op.operands
    cdef const int32_t *data = <const int32_t *> step.sources[o.d.source].data  # IN (data set, positions)
    cdef int32_t *lines = <int32_t *> o.t.lines           # OUT (lines,)
    cdef int32_t *indices = <int32_t *> o.t.indices       # OUT (lines,): of each of `lines`
    cdef int32_t *starts = <int32_t *> o.t.starts         # OUT (lines + 2,): how many indices; where each begins; end
    cdef int32_t *more_lines = <int32_t *> o.t.more_lines      # (lines,)
    cdef int32_t *more_indices = <int32_t *> o.t.more_indices  # (lines,)
    cdef int32_t *counts = <int32_t *> step.scratch
    cdef int32_t *swap
    cdef int64_t count = step.rows * o.d.positions, k, at, shift = 0, buckets = 1 << RADIX, distinct = 0
    cdef int32_t before, here
    if i != n - 1:  # the others go on with the forward pass
        return
    for k in range(count):
        lines[k] = <int32_t> k
        indices[k] = <int32_t> index_of(data, step, o.d.positions, k)
    while shift == 0 or (o.d.inputs - 1) >> shift > 0:
        memset(counts, 0, buckets * sizeof(int32_t))
        for k in range(count):
            counts[(indices[k] >> shift) & (buckets - 1)] += 1
        before = 0
        for k in range(buckets):
            here = counts[k]
            counts[k] = before
            before += here
        for k in range(count):
            at = counts[(indices[k] >> shift) & (buckets - 1)]
            counts[(indices[k] >> shift) & (buckets - 1)] += 1
            more_lines[at] = lines[k]
            more_indices[at] = indices[k]
        swap = lines
        lines = more_lines
        more_lines = swap
        swap = indices
        indices = more_indices
        more_indices = swap
        shift += RADIX
    if lines != <int32_t *> o.t.lines:
        memcpy(o.t.lines, lines, count * sizeof(int32_t))
        memcpy(o.t.indices, indices, count * sizeof(int32_t))
    for k in range(count):
        if k == 0 or indices[k] != indices[k - 1]:
            distinct += 1
            starts[distinct] = <int32_t> k
    starts[0] = <int32_t> distinct
    starts[distinct + 1] = <int32_t> count


cdef inline void sum_lines(const float *dz, const int32_t *lines, int64_t begin, int64_t end,
                           float *total) noexcept nogil:
    """total (16,) = the sum of these lines of a block, in order."""
    cdef float chain[FNN_BLOCK]
    cdef int64_t k = begin, stop, c
    while k < end:
        stop = smaller(k + FNN_CHUNK, end)
        memcpy(chain, dz + lines[k] * FNN_BLOCK, sizeof(chain))
        k += 1
        while k < stop:
            for c in range(FNN_BLOCK):
                chain[c] += dz[lines[k] * FNN_BLOCK + c]
            k += 1
        if stop <= begin + FNN_CHUNK:
            memcpy(total, chain, sizeof(chain))
        else:
            for c in range(FNN_BLOCK):
                total[c] += chain[c]


cdef inline int64_t first_from(const int32_t *starts, const int32_t *indices, int64_t index) noexcept nogil:
    """Of the batch's distinct indices, in order, the number of the first that is not less than this."""
    cdef int64_t low = 0, high = starts[0], middle
    while low < high:
        middle = (low + high) // 2
        if indices[starts[1 + middle]] < index:
            low = middle + 1
        else:
            high = middle
    return low


cdef void embedding_backward(const Op *op, const Step *step, int i, int n) noexcept nogil:
    """The gradient of the table, by which it takes its step; or stored."""
    cdef const EmbeddingBackward *o = <const EmbeddingBackward *> &op.operands
    cdef const float *dz = <const float *> o.t.dz         # IN (rows, features)
    cdef const int32_t *lines = <const int32_t *> o.t.lines    # IN (lines,)
    cdef const int32_t *indices = <const int32_t *> o.t.indices  # IN (lines,)
    cdef const int32_t *starts = <const int32_t *> o.t.starts  # IN (lines + 2,)
    cdef int64_t blocks = blocks_of(o.d.units), panels = parts(o.d.inputs, TABLE_PANEL)
    cdef int64_t distinct = starts[0], groups = parts(distinct, TOUCHED_ROWS)
    cdef int64_t task, j, k, k0, index, m
    cdef Receiver table = to_kernel(&o.t.kernel, &o.d.hand_over, &o.f.hand_over)
    cdef float *tile = step.scratch
    # Decay takes some of every row.
    cdef bint touched = o.d.touched and step.scalars[1] == 0
    cdef int turn = 0
    while True:
        task = take(step, blocks * (groups if touched else panels), i, n, &turn)
        if task < 0:
            break
        if touched:
            j, k0 = task // groups, task % groups * TOUCHED_ROWS
            for k in range(k0, smaller(k0 + TOUCHED_ROWS, distinct)):
                sum_lines(dz + j * o.stride.dz, lines, starts[1 + k], starts[2 + k], tile)
                index = indices[starts[1 + k]]
                hand_over(&table, step, j * o.d.kernel_block + index * FNN_BLOCK, 1, 0, tile)
            continue
        j, k0 = task // panels, task % panels * TABLE_PANEL
        m = smaller(TABLE_PANEL, o.d.inputs - k0)
        memset(tile, 0, m * FNN_BLOCK * sizeof(float))
        k = first_from(starts, indices, k0)
        while k < distinct and indices[starts[1 + k]] < k0 + m:
            sum_lines(dz + j * o.stride.dz, lines, starts[1 + k], starts[2 + k],
                      tile + (indices[starts[1 + k]] - k0) * FNN_BLOCK)
            k += 1
        hand_over(&table, step, j * o.d.kernel_block + k0 * FNN_BLOCK, m, task, tile)


KERNELS = {
    "embedding_forward": <size_t> &embedding_forward,
    "sort_indices": <size_t> &sort_indices,
    "embedding_backward": <size_t> &embedding_backward,
}
