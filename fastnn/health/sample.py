"""Rows of the user's data to try a net on: some to train with, some held out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.data.sparse import is_sparse


@dataclass(frozen=True)
class Sample:
    """Parts of x, y and weights, in the form in which they were given.

    Attributes:
        train: x, y and sample weights of the rows to train with.
        held_out: Of other rows; of the same, where there are too few.
    """

    train: tuple[Any, Any, Any]
    held_out: tuple[Any, Any, Any]

    def with_fewer_held_out(self, count: int) -> Sample:
        """Up to so many."""
        return Sample(self.train, first_rows(self.held_out, count))

    def dense(self) -> Sample:
        """With arrays in the place of sparse matrices."""
        parts = (self.train, self.held_out)
        return Sample(*((_dense(x), y, w) for x, y, w in parts))


def draw(
    x: Any, y: Any, sample_weight: Any, n_rows: int, train: int, held_out: int, seed: int,
    judged: tuple[Any, Any, Any] | None = None, fold: int = 0,
) -> Sample:  # fmt: skip
    """Up to so many rows, in an order that depends on ``seed`` and ``fold`` alone.

    Args:
        n_rows: Of ``x``. At most a fifth of them is held out.
        judged: Rows to evaluate on; then none is held out.
        fold: From 0 to 4: each holds other rows out and has the others in another order.

    Raises:
        ValueError: Something has another number of rows.
    """
    for name, data in (("x", x), ("y", y), ("sample_weight", sample_weight)):
        for array in _arrays(data):
            length = _length(array)
            if length != n_rows:
                raise ValueError(f"{name} has {length} rows, but x has {n_rows}")
    held_out = min(held_out, n_rows // 5)
    order = np.roll(np.random.default_rng(seed).permutation(n_rows), -fold * max(1, held_out))
    if judged is not None:
        held_out = 0
    parts = [order[held_out : held_out + train], order[:held_out] if held_out else order]
    own, other = (
        (rows_of(x, rows), rows_of(y, rows), rows_of(sample_weight, rows)) for rows in parts
    )
    return Sample(own, other if judged is None else judged)


def first_rows(data: tuple[Any, Any, Any], most: int) -> tuple[Any, Any, Any]:
    """Of x, y and weights up to so many."""
    x, y, weight = data
    first = np.arange(min(most, n_rows_of(x)))
    return rows_of(x, first), rows_of(y, first), rows_of(weight, first)


def _dense(x: Any) -> Any:
    if isinstance(x, Mapping):
        return {name: _dense(value) for name, value in x.items()}
    if _is_list_of_arrays(x):
        return [_dense(value) for value in x]
    return x.toarray() if is_sparse(x) else x


def rows_of(data: Any, rows: NDArray[np.int64]) -> Any:
    """These rows of an array-like, or of each of the arrays of a dict or list of arrays."""
    if data is None:
        return None
    if isinstance(data, Mapping):
        return {name: rows_of(value, rows) for name, value in data.items()}
    if _is_list_of_arrays(data):
        return [rows_of(value, rows) for value in data]
    if is_sparse(data):
        return data.tocsr()[rows]
    if hasattr(data, "iloc"):
        return data.iloc[rows]
    return np.asarray(data)[rows]


def n_rows_of(x: Any) -> int:
    """Rows of an array-like, or of the first of the arrays of a dict or list of arrays."""
    return _length(_arrays(x)[0])


def _length(array: Any) -> int:
    length: int = array.shape[0] if hasattr(array, "shape") else len(array)
    return length


def _arrays(data: Any) -> list[Any]:
    if data is None:
        return []
    if isinstance(data, Mapping):
        return [array for value in data.values() for array in _arrays(value)]
    return list(data) if _is_list_of_arrays(data) else [data]


def _is_list_of_arrays(data: Any) -> bool:
    """Of several inputs or outputs; else it is a list of rows."""
    is_list = isinstance(data, (list, tuple)) and len(data) > 0
    return is_list and all(len(getattr(value, "shape", ())) > 0 for value in data)
