"""What a program reads its batches from: an array's rows as they lie, or only their nonzeros."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.engine.threads import get_num_threads, in_threads
from fastnn.kernels import nonzeros
from fastnn.kernels.codes import DTYPES, GRANULE

_NUMBERS = {np.dtype(name): number for name, number in DTYPES.items()}


class Rows:
    """An array (N, features) or (N,) whose rows are contiguous, read in place."""

    __slots__ = ("array", "dtype")

    def __init__(self, array: NDArray[Any]) -> None:
        self.array = array
        self.dtype = _NUMBERS[array.dtype]


@dataclass(frozen=True)
class SparseRows:
    """The nonzeros of an array (N, columns), row after row (CSR).

    ``granule[row]`` tells, for every GRANULE-th column, how many nonzeros the row has before it.
    """

    start: NDArray[np.int64]
    granule: NDArray[np.uint16]
    column: NDArray[np.uint16]
    value: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.start)

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> SparseRows:
        """Some rows; their nonzeros are not copied."""
        return SparseRows(self.start[rows], self.granule[rows], self.column, self.value)

    @property
    def longest_row(self) -> int:
        """Nonzeros of the row that has most."""
        return int(self.granule[:, -1].max(initial=0))


MAX_COLUMNS = np.iinfo(np.uint16).max
"""Columns of a sparse source are numbered in 16 bits."""


def sparse_rows(array: NDArray[Any], scale: float) -> SparseRows:
    """The nonzeros of ``scale * array``, (N, columns) with at most MAX_COLUMNS columns."""
    n_rows, columns = array.shape
    counts = np.zeros(n_rows, np.int64)
    bounds = np.linspace(0, n_rows, get_num_threads() + 1, dtype=np.int64).tolist()
    parts = list(pairwise(bounds))
    in_threads(lambda a, b: nonzeros.count(array, a, b, counts), parts)
    start = np.zeros(n_rows, np.int64)
    np.cumsum(counts[:-1], out=start[1:])
    total = int(counts.sum())
    granule = np.zeros((n_rows, -(-columns // GRANULE) + 1), np.uint16)
    column = np.empty(total, np.uint16)
    value = np.empty(total, np.float32)
    in_threads(
        lambda a, b: nonzeros.collect(array, scale, a, b, start, granule, column, value), parts
    )
    return SparseRows(start, granule, column, value)
