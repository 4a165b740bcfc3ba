"""A data set as the engine reads it: sources in the order of the program, and the number of rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.engine.sources import MAX_COLUMNS, Rows, SparseRows, sparse_rows

DENSEST = 0.3
"""Inputs with a larger share of nonzeros are multiplied as they are: the skipping products read an
index for each number, and win only where few are left (bench/README.md has the measurement)."""

FEWEST_ROWS = 64
"""With fewer rows, finding the nonzeros costs more than it saves."""

_SAMPLED_ROWS = 512


@dataclass
class Dataset:
    """Checked arrays: inputs (N, features), targets, weights (N,) or None for each output."""

    inputs: list[NDArray]
    targets: list[NDArray] = field(default_factory=list)
    weights: list[NDArray | None] = field(default_factory=list)
    nonzeros: dict[int, SparseRows] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.inputs[0])

    @property
    def weighted(self) -> bool:
        return any(w is not None for w in self.weights)

    def part(self, rows: slice) -> Dataset:
        """Some rows, without a copy."""
        return Dataset(
            [x[rows] for x in self.inputs],
            [y[rows] for y in self.targets],
            [None if w is None else w[rows] for w in self.weights],
        )

    def sources(self) -> list[Any]:
        """In the program's order: inputs, targets, weights of all outputs if any has them."""
        inputs = [self.nonzeros.get(i) or Rows(x) for i, x in enumerate(self.inputs)]
        weights = []
        if self.weighted:
            weights = [Rows(np.ones(len(self), np.float32) if w is None else w) for w in self.weights]
        return [*inputs, *map(Rows, self.targets), *weights]

    def find_nonzeros(self, scales: dict[int, float]) -> None:
        """Keep the nonzeros of those inputs of which few numbers are nonzero.

        Args:
            scales: Input number -> what it is multiplied by, of the inputs that may be sparse.
        """
        for number, scale in scales.items():
            x = self.inputs[number]
            if len(x) >= FEWEST_ROWS and x.shape[1] <= MAX_COLUMNS and is_sparse(x):
                self.nonzeros[number] = sparse_rows(x, scale)


def is_sparse(x: NDArray) -> bool:
    """Whether skipping the zeros of ``x`` pays, judged from rows spread evenly over it."""
    sample = x[:: max(1, len(x) // _SAMPLED_ROWS)]
    return bool(np.count_nonzero(sample) <= DENSEST * sample.size)
