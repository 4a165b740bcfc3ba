"""Matrices of scipy.sparse as rows of nonzeros. scipy itself is never imported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.data.arrays import as_numbers, check_finite
from fastnn.engine.sources import MAX_COLUMNS, SparseRows
from fastnn.kernels.codes import GRANULE

_ROWS = 1 << 12
"""Rows counted at a time, so that what is in between stays small beside the matrix."""


@dataclass(frozen=True)
class SparseMatrix:
    """A matrix of scipy.sparse (N, columns).

    Attributes:
        rows: As a program reads them.
        values: Numbers as they came, each in the place where ``rows.value`` has it scaled.
    """

    rows: SparseRows
    values: NDArray[np.float32]
    columns: int

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> SparseMatrix:
        """Some rows; their nonzeros are not copied."""
        return SparseMatrix(self.rows[rows], self.values, self.columns)

    @property
    def longest_row(self) -> int:
        """Nonzeros of the row that has most."""
        return self.rows.longest_row

    def toarray(self) -> NDArray[np.float32]:
        """With its zeros, (N, columns)."""
        dense = np.zeros((len(self), self.columns), np.float32)
        rows = self.rows
        for row, start, count in zip(dense, rows.start, rows.granule[:, -1], strict=True):
            nonzeros = slice(start, start + int(count))
            row[rows.column[nonzeros]] = self.values[nonzeros]
        return dense


def is_sparse(value: Any) -> bool:
    """Whether ``value`` is a matrix or array of scipy.sparse."""
    return hasattr(value, "tocsr") and hasattr(value, "shape")


def as_sparse_matrix(value: Any, name: str, shape: tuple[int, ...], scale: float) -> SparseMatrix:
    """``value``, of scipy.sparse and (N, features), which a program reads as ``scale * value``.

    Duplicates are summed, explicit zeros dropped; ``value`` stays as it is.

    Raises:
        TypeError: Not real numbers.
        ValueError: Another shape, no rows, numbers that are not finite, or too many columns.
    """
    if len(value.shape) != 2 or tuple(value.shape[1:]) != shape:
        wanted = ", ".join(["N", *map(str, shape)])
        raise ValueError(f"{name} must have shape ({wanted}), got a sparse {tuple(value.shape)}")
    n_rows, columns = value.shape
    if n_rows == 0:
        raise ValueError(f"{name} is empty: got shape {tuple(value.shape)}")
    if columns > MAX_COLUMNS:
        raise ValueError(f"{name} may have up to {MAX_COLUMNS} columns if sparse, got {columns}")
    csr = value.tocsr()
    if not csr.has_canonical_format:
        csr = csr.copy()
        csr.sum_duplicates()  # sorts the columns, too
    start = np.asarray(csr.indptr, np.int64)
    data, column = as_numbers(csr.data, name)[: start[-1]], csr.indices[: start[-1]]
    kept = data != 0
    if not kept.all():
        start = np.concatenate([[0], np.cumsum(kept)])[start]
        data, column = data[kept], column[kept]
    _check_finite(data, start, name)
    values = np.ascontiguousarray(data, np.float32)
    scaled = values if scale == 1.0 else values * np.float32(scale)
    rows = SparseRows(
        start[:-1], _granule(start, column, columns), column.astype(np.uint16), scaled
    )
    return SparseMatrix(rows, values, columns)


def _check_finite(data: NDArray[Any], start: NDArray[np.int64], name: str) -> None:
    def row_of(number: int) -> int:
        return int(np.searchsorted(start, number, side="right")) - 1

    check_finite(data, name, row_of)


def _granule(start: NDArray[np.int64], column: NDArray[Any], columns: int) -> NDArray[np.uint16]:
    """How many nonzeros each row has before every GRANULE-th column."""
    n_rows, granules = len(start) - 1, -(-columns // GRANULE)
    result = np.zeros((n_rows, granules + 1), np.uint16)
    for first in range(0, n_rows, _ROWS):
        bounds = start[first : first + _ROWS + 1]
        n = len(bounds) - 1
        row = np.repeat(np.arange(n), np.diff(bounds))
        cell = row * granules + column[bounds[0] : bounds[-1]] // GRANULE
        counts = np.bincount(cell, minlength=n * granules).reshape(n, granules)
        result[first : first + n, 1:] = np.cumsum(counts, axis=1)
    return result
