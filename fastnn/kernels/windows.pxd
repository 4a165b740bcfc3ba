"""Where the taps of windows lie, for the members of the team that go over some positions; and sums of lines."""

from libc.stdint cimport int32_t, int64_t

from fastnn.kernels.csrc cimport FNN_BLOCK, FNN_CHUNK
from fastnn.kernels.op cimport Step, smaller

cdef enum:
    # Bytes of scratch for the pointers to the lines of a panel's windows.
    LINES = 98304
    # Rows of a panel: what it reads and writes stays in the first-level cache.
    WINDOW_PANEL = 96
    # Taps whose lines are pointed at at a time.
    WINDOW_TAPS = 128


cdef inline void find_lines(const float *x, int64_t positions, const int32_t *windows, int64_t windows_of_row,
                            int64_t taps, int64_t t0, int64_t t1, int64_t begin, int64_t end,
                            const float **lines) noexcept nogil:
    """lines (end - begin, t1 - t0): where taps t0 to t1 of windows `begin` to `end` of the batch lie, NULL outside.

    x: (rows * positions, 16) lines. windows: (windows_of_row, taps), positions or -1.
    """
    cdef int64_t p = begin % windows_of_row, q, t
    cdef const float *row = x + begin // windows_of_row * positions * FNN_BLOCK
    cdef const int32_t *window
    for q in range(begin, end):
        window = windows + p * taps
        for t in range(t0, t1):
            if window[t] < 0:
                lines[0] = NULL
            else:
                lines[0] = row + window[t] * FNN_BLOCK
            lines += 1
        p += 1
        if p == windows_of_row:
            p = 0
            row += positions * FNN_BLOCK


cdef inline void sum_lines(const Step *step, const float *x, int64_t begin, int64_t end, float *sums) noexcept nogil:
    """sums (16,) = the sum of lines `begin` to `end` of x (lines, 16), in chunks"""
    cdef int64_t r = begin
    while r < end:
        step.k.add_rows(smaller(FNN_CHUNK, end - r), r > begin, x + r * FNN_BLOCK, sums)
        r += FNN_CHUNK
