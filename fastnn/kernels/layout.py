"""How a weight lies in memory: columns in blocks of one cache line.

A matrix of shape (in, out) is kept as (ceil(out / 16), rows, 16): block ``j`` holds columns
``16 j .. 16 j + 15``, one row of a block is one 64-byte cache line, and the product kernels walk a
block from top to bottom without packing it first. A vector of shape (n,) is a matrix of one row, a
weight of higher rank the matrix that its owner names. Padding is zero and stays zero.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK = 16
"""Columns in a block: 16 float32 values fill one 64-byte cache line."""

ALIGNMENT = 64
"""Bytes. Every buffer that a kernel reads starts on a cache line."""


def n_blocks(width: int) -> int:
    """Blocks that hold ``width`` columns."""
    return -(-width // BLOCK)


def packed_shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Shape of the storage of a matrix (in, out) or a vector (n,)."""
    if len(shape) == 1:
        return (n_blocks(shape[0]), 1, BLOCK)
    rows, columns = shape
    # An odd number of lines between blocks: with a power of two, the same row of every block
    # would fall into the same cache set.
    return (n_blocks(columns), rows | 1, BLOCK)


def activation_rows(capacity: int) -> int:
    """Rows kept for each block of the activations of a batch: odd, for the same reason."""
    return capacity | 1


def aligned_zeros(shape: tuple[int, ...], dtype: type = np.float32) -> NDArray[Any]:
    """Zeros in C order that start on a cache line."""
    n_bytes = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    raw = np.zeros(n_bytes + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + n_bytes].view(dtype).reshape(shape)


def pack(array: NDArray[Any], storage: NDArray[np.float32]) -> None:
    """Write ``array`` of shape (in, out) or (n,) into ``storage`` of ``packed_shape``."""
    matrix = np.atleast_2d(array)
    rows, columns = matrix.shape
    for block in range(n_blocks(columns)):
        start = block * BLOCK
        stop = min(start + BLOCK, columns)
        storage[block, :rows, : stop - start] = matrix[:, start:stop]


def unpack(storage: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A C-order copy of what ``pack`` stored, with its original ``shape``."""
    rows = shape[0] if len(shape) == 2 else 1
    columns = shape[-1]
    matrix = storage[:, :rows].transpose(1, 0, 2).reshape(rows, -1)
    return np.array(matrix[:, :columns], order="C").reshape(shape)
