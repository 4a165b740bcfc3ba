"""A target brought to mean 0 and deviation 1, and predictions brought back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastnn.layers import BatchNormalization, Rescaling
from fastnn.layers.base import Layer
from fastnn.optimizers import SGD, Adagrad

if TYPE_CHECKING:
    from fastnn.losses import Loss
    from fastnn.optimizers import Optimizer

_EVEN = 1.01
"""Columns whose deviations differ by less have one scale."""

_TO_DEVIATION = 1.349
"""The interquartile range of a normal distribution, in deviations."""


@dataclass(frozen=True, eq=False)
class Standard:
    """Where the columns of a target lie, and how wide they are.

    Attributes:
        mean: (columns,) float64. For an absolute error and Huber's, medians.
        deviation: (columns,) float64, > 0. For those, the interquartile range as a deviation: a few
            stray rows say nothing of the others. 1 for a constant column.
        slope: (columns,) float64: what the gradient by a standardised prediction is of the order
            of, by the loss's own.
    """

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    slope: NDArray[np.float64]

    @classmethod
    def of(cls, target: NDArray[Any], loss: Loss) -> Standard:
        """Of a target (N,) or (N, ...), for a loss of a difference."""
        values = target.reshape(len(target), -1).astype(np.float64)
        mean, deviation = values.mean(axis=0), values.std(axis=0)
        if loss.kind != "mean_squared_error":
            quarter, mean, three = np.quantile(values, (0.25, 0.5, 0.75), axis=0)
            width = (three - quarter) / _TO_DEVIATION
            deviation = np.where(width > 0, width, deviation)
        # Rounding makes a deviation of a constant, too.
        constant = deviation <= 1e-12 * np.abs(mean)
        deviation = np.where(constant, 1.0, deviation)
        error = deviation
        if loss.kind == "huber":
            error = np.minimum(deviation, loss.params[0])
        if loss.kind == "mean_absolute_error":
            error = np.ones_like(deviation)
        return cls(mean, deviation, deviation * error)

    def factor(self, optimizer: Optimizer) -> float:
        """Of the loss: with it, gradients are those of a target of deviation 1. Where columns
        differ, of the widest if the optimizer's steps are as long as the gradient, else of the
        narrowest: others make up for large gradients, but not for those below their epsilon."""
        return float(1.0 / (self.slope.max() if goes_by_gradient(optimizer) else self.slope.min()))

    @property
    def even(self) -> bool:
        """Whether one factor and one offset do for all columns."""
        low, high = self.deviation.min(), self.deviation.max()
        return bool(high <= _EVEN * low and np.ptp(self.mean) <= (_EVEN - 1.0) * low)

    def layer(self, name: str) -> Layer:
        """What turns standardised predictions, (N, columns), back into the target's units: a
        Rescaling, or where columns differ a BatchNormalization that does not train."""
        if self.even:
            return Rescaling(float(self.deviation[0]), float(self.mean[0]), name=name)
        layer = BatchNormalization(name=name, trainable=False)
        layer.build((None, len(self.mean)))
        nothing = np.zeros_like(self.mean)
        layer.set_weights([self.deviation, self.mean, nothing, nothing + 1.0 - layer.epsilon])
        return layer


def goes_by_gradient(optimizer: Optimizer) -> bool:
    """Whether its steps are as long as the gradient, or begin so."""
    return isinstance(optimizer, (SGD, Adagrad))
