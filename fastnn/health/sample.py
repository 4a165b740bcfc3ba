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


def draw(
    x: Any, y: Any, sample_weight: Any, n_rows: int, train: int, held_out: int, seed: int
) -> Sample:
    """Up to so many rows, in an order that depends on ``seed`` alone.

    Args:
        n_rows: Of ``x``. At most a fifth of them is held out.
    """
    order = np.random.default_rng(seed).permutation(n_rows)
    held_out = min(held_out, n_rows // 5)
    parts = [order[held_out : held_out + train], order[:held_out] if held_out else order]
    return Sample(
        *((rows_of(x, rows), rows_of(y, rows), rows_of(sample_weight, rows)) for rows in parts)
    )


def rows_of(data: Any, rows: NDArray[np.int64]) -> Any:
    """These rows of an array-like, or of each of the arrays of a dict or list of arrays."""
    if data is None:
        return None
    if isinstance(data, Mapping):
        return {name: rows_of(value, rows) for name, value in data.items()}
    if isinstance(data, (list, tuple)) and data and np.ndim(data[0]) > 0 and _are_arrays(data):
        return [rows_of(value, rows) for value in data]
    if is_sparse(data):
        return data.tocsr()[rows]
    if hasattr(data, "iloc"):
        return data.iloc[rows]
    return np.asarray(data)[rows]


def _are_arrays(data: Any) -> bool:
    return all(hasattr(value, "shape") for value in data)
