"""Rows that are the positions of a picture, each a line of every block of channels: how Flatten leaves them to Dense."""

from libc.stdint cimport int64_t

from fastnn.kernels.csrc cimport FNN_BLOCK


cdef inline int64_t block_of_segments(int64_t k, int64_t segments, int64_t features, int64_t stride) noexcept nogil:
    """Where block k of the first row lies. The next row is `segments` lines further.

    features: of a row; of each segment whole blocks, unless there is one only.
    stride: floats from block to block of channels.
    """
    cdef int64_t blocks
    if segments == 1:
        return k * stride
    blocks = features // segments // FNN_BLOCK
    return k % blocks * stride + k // blocks * FNN_BLOCK
