"""A data set as the engine reads it: sources in the order of the program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.data.sparse import SparseMatrix
from fastnn.engine.sources import MAX_COLUMNS, Rows, SparseRows, sparse_rows

DENSEST = 0.3
"""Inputs with a larger share of nonzeros are multiplied as they are. The skipping products read an
index for each number: with a fifth of them nonzero (MNIST) they take about half the time."""

FEWEST_ROWS = 64
"""With fewer rows, finding the nonzeros costs more than it saves."""

_SAMPLED_ROWS = 512


@dataclass
class Dataset:
    """Checked inputs (N, features), targets, and weights (N,) or None for each output."""

    inputs: list[NDArray[Any] | SparseMatrix | SparseRows]
    targets: list[NDArray[Any]] = field(default_factory=list)
    weights: list[NDArray[np.float32] | None] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.inputs[0])

    @property
    def weighted(self) -> bool:
        """Whether the rows of an output have weights."""
        return any(w is not None for w in self.weights)

    @property
    def longest_rows(self) -> dict[int, int]:
        """Sparse inputs by number -> nonzeros of the longest row."""
        inputs = enumerate(self.inputs)
        return {i: x.longest_row for i, x in inputs if not isinstance(x, np.ndarray)}

    def part(self, rows: slice | NDArray[np.int64]) -> Dataset:
        """Some rows; those of a slice without a copy."""
        return Dataset(
            [x[rows] for x in self.inputs],
            [y[rows] for y in self.targets],
            [None if w is None else w[rows] for w in self.weights],
        )

    def sources(self, weighted: bool) -> list[Rows | SparseRows]:
        """In the program's order: inputs, targets and, for a weighted program, weights."""
        inputs = [_source(x) for x in self.inputs]
        weights: list[NDArray[np.float32]] = []
        if weighted:
            ones = np.ones(len(self), np.float32)
            weights = [ones if w is None else w for w in self.weights]
        return [*inputs, *map(Rows, self.targets), *map(Rows, weights)]

    def find_nonzeros(self, scales: Mapping[int, float]) -> None:
        """Keep only the nonzeros of those inputs of which few numbers are nonzero.

        Args:
            scales: Input number -> what it is multiplied by, of the inputs that may be sparse.
        """
        for number, scale in scales.items():
            x = self.inputs[number]
            if isinstance(x, np.ndarray) and _skipping_pays(x):
                self.inputs[number] = sparse_rows(x, scale)


def _source(x: NDArray[Any] | SparseMatrix | SparseRows) -> Rows | SparseRows:
    if isinstance(x, SparseMatrix):
        return x.rows
    return x if isinstance(x, SparseRows) else Rows(x)


def _skipping_pays(x: NDArray[Any]) -> bool:
    """Whether few numbers of ``x`` are nonzero, judged from rows spread evenly over it."""
    if len(x) < FEWEST_ROWS or x.shape[1] > MAX_COLUMNS:
        return False
    sample = x[:: max(1, len(x) // _SAMPLED_ROWS)]
    return bool(np.count_nonzero(sample) <= DENSEST * sample.size)
