"""Find the nonzeros of rows, once, before training: they do not change from epoch to epoch."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t

from fastnn.kernels.csrc cimport FNN_GRANULE

ctypedef fused number:
    const float
    const double
    const uint8_t
    const int32_t
    const int64_t


def count(number[:, :] x, int64_t first, int64_t last, int64_t[::1] counts):
    """counts[row] = nonzeros of x[row], for rows first..last of x (N, columns)."""
    cdef int64_t r, k, n
    cdef int64_t columns = x.shape[1]
    cdef number *row
    if columns == 0:
        return
    with nogil:
        for r in range(first, last):
            row = &x[r, 0]
            n = 0
            for k in range(columns):
                n += row[k] != 0
            counts[r] = n


def collect(number[:, :] x, float scale, int64_t first, int64_t last, const int64_t[::1] start,
            uint16_t[:, ::1] granule, uint16_t[::1] column, float[::1] value):
    """Write columns and scaled values of the nonzeros of rows first..last from start[row] on.

    granule[row, g] counts the row's nonzeros before column GRANULE * g."""
    cdef int64_t r, k, p, g, stop
    cdef int64_t columns = x.shape[1], granules = granule.shape[1] - 1
    cdef number *row
    if columns == 0:
        return
    with nogil:
        for r in range(first, last):
            row = &x[r, 0]
            p = start[r]
            for g in range(granules):
                granule[r, g] = <uint16_t> (p - start[r])
                stop = (g + 1) * FNN_GRANULE
                if stop > columns:
                    stop = columns
                for k in range(g * FNN_GRANULE, stop):
                    if row[k] != 0:
                        column[p] = <uint16_t> k
                        value[p] = <float> row[k] * scale
                        p += 1
            granule[r, granules] = <uint16_t> (p - start[r])
