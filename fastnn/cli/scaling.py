"""Standardize a table while a model learns from it, and leave no trace of it in the model.

Columns of a table have all kinds of units, and a network learns from them only once they are of
the same size. So it learns from ``(x - mean) / deviation``, and then its first layer takes over
that arithmetic: the saved model takes and gives the table's own units.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from fastnn.layers import Dense
    from fastnn.models import Model


_BLOCK = 1 << 20
"""Numbers that are scaled at a time."""


class Scaling(NamedTuple):
    """What is taken off a column, and what it is divided by: float64 (columns,) each."""

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]

    def apply(
        self, table: NDArray[Any], out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """The standardized table, float32 (rows, columns); in ``out``, which may be the table."""
        if out is None:
            out = np.empty(table.shape, np.float32)
        for rows in _blocks(table):
            out[rows] = (table[rows] - self.mean) / self.deviation
        return out


def _blocks(table: NDArray[Any]) -> Iterator[slice]:
    """Some rows after the other: arithmetic in float64 shall take no memory worth the name."""
    rows = max(1, _BLOCK // table.shape[1])
    return (slice(start, start + rows) for start in range(0, len(table), rows))


def _moments(x: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and deviation of the columns of x, (rows, columns)."""
    mean = sum(x[rows].sum(axis=0, dtype=np.float64) for rows in _blocks(x)) / len(x)
    squares = sum(((x[rows] - mean) ** 2).sum(axis=0) for rows in _blocks(x))
    return mean, np.sqrt(squares / len(x))


def of_features(x: NDArray[Any]) -> Scaling | None:
    """The scaling of x, (rows, columns); None if it needs none: images, and values within [-1, 1].

    A column that is the same everywhere keeps its unit.
    """
    if x.ndim != 2 or x.dtype == np.uint8 or (x.min() >= -1 and x.max() <= 1):
        return None
    return of_numbers(x, np.ones(x.shape[1], np.bool_))


def of_numbers(x: NDArray[Any], columns: NDArray[np.bool_]) -> Scaling:
    """The scaling of the chosen columns of x, (rows, columns); the others keep their unit."""
    mean, deviation = _moments(x)
    # Of equal numbers rounding may leave a deviation.
    scaled = columns & (x.max(axis=0) > x.min(axis=0))
    return Scaling(np.where(columns, mean, 0.0), np.where(scaled, deviation, 1.0))


def of_targets(y: NDArray[Any]) -> Scaling:
    """The scaling of y, (rows,) or (rows, columns).

    All columns have one deviation, so that a squared error is divided by the same square.
    """
    table = y.reshape(len(y), -1)
    mean = table.mean(axis=0, dtype=np.float64)
    deviation = float(np.sqrt(np.mean((table - mean) ** 2))) or 1.0
    return Scaling(mean, np.full(len(mean), deviation))


def with_features(model: Model, scaling: Scaling) -> Model:
    """A model that gives for raw inputs what ``model``, which may be changed, gives for
    standardized ones.

    A first layer that can't take the arithmetic over, a Residual say, gets a BatchNormalization
    before it that no training changes. Neither does one that is penalized for large weights.
    """
    from fastnn.health.blueprint import Blueprint
    from fastnn.layers import BatchNormalization, Dense

    first = model.layers[0]
    if isinstance(first, Dense) and first.kernel_regularizer is None:
        _fold_into_first(first, scaling)
        return model
    blueprint = Blueprint.of(model)
    name = blueprint.free_name("input_normalization")
    scaled = blueprint.preceded(
        BatchNormalization(center=False, scale=False, epsilon=1e-30, name=name, trainable=False)
    ).make()
    scaled.get_layer(name).set_weights([scaling.mean, scaling.deviation**2])
    return scaled


def _fold_into_first(dense: Dense, scaling: Scaling) -> None:
    kernel, bias = (weight.astype(np.float64) for weight in dense.get_weights())
    kernel = kernel / scaling.deviation[:, None]
    dense.set_weights([kernel, bias - scaling.mean @ kernel])


def fold_into_last(model: Model, scaling: Scaling) -> None:
    """Make ``model``, whose last layer is a linear Dense, give targets in their own units."""
    dense = model.layers[-1]
    kernel, bias = (weight.astype(np.float64) for weight in dense.get_weights())
    dense.set_weights([kernel * scaling.deviation, bias * scaling.deviation + scaling.mean])
