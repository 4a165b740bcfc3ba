"""Normalization: standardizing by statistics of the data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn._checks import check_flag, check_integer
from fastnn.graph import Shape, positive_axis
from fastnn.layers.adapting import batches_of
from fastnn.layers.preprocessing import PreprocessingLayer, as_float32
from fastnn.variables import Variable, restoring

EPSILON = 1e-7
"""The smallest deviation that is divided by, as in Keras."""


class Normalization(PreprocessingLayer):
    """``(x - mean) / sqrt(variance)``. Output shape = input shape.

    ::

        normalization = layers.Normalization()
        normalization.adapt(x_train)  # learns mean and variance, once, before training

    A deviation under 1e-7 counts as 1e-7. Mean and variance are two weights that no training
    changes. (Keras has a third, a count that nothing reads; and none where they were given.)

    Args:
        axis: The axis or axes that have a mean and variance for each place: -1 for one of each
            column. None for one of all numbers. Never the batch.
        mean, variance: Instead of ``adapt``: numbers, or arrays that broadcast to the extents of
            the axes.
        invert: ``x * sqrt(variance) + mean`` instead: from standardized numbers back to the unit
            that they had. As the last layer, adapted to y, it has a net learn the standardized
            target, and predict in y's own unit.

    Attributes:
        mean, variance : ndarray of float32: With the extents of the axes; (1,) for none.
    """

    def __init__(
        self,
        axis: int | Sequence[int] | None = -1,
        mean: ArrayLike | None = None,
        variance: ArrayLike | None = None,
        invert: bool = False,
        *,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        owner = "Normalization"
        if (mean is None) != (variance is None):
            raise ValueError(f"{owner}: give both mean and variance, or none of them")
        axes = () if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
        self.axis = tuple(check_integer(owner, "axis", each) for each in axes)
        self.invert = check_flag(owner, "invert", invert)
        self._given: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None
        if mean is not None and variance is not None:
            self._given = _statistic("mean", mean), _statistic("variance", variance)
            if self._given[0].shape != self._given[1].shape:
                raise ValueError(
                    f"{owner}: mean and variance must have one shape, got {self._given[0].shape} "
                    f"and {self._given[1].shape}"
                )
            if (self._given[1] < 0).any():
                raise ValueError(f"{owner}: variance must not be negative, got {variance}")
        super().__init__(name=name, trainable=trainable)

    @property
    def mean(self) -> NDArray[np.float32]:
        """What is taken off."""
        return self._weight(0).numpy()

    @property
    def variance(self) -> NDArray[np.float32]:
        """The square of what is divided by."""
        return self._weight(1).numpy()

    @property
    def variables(self) -> tuple[Variable, Variable]:
        """Mean and variance, as the engine reads them."""
        return self._weight(0), self._weight(1)

    def _weight(self, number: int) -> Variable:
        if not self.built:
            raise ValueError(f"layer {self.name!r} has no mean and variance yet: call adapt(data)")
        return self._untrained[number]

    def kept_axes(self, input_shape: Shape) -> tuple[int, ...]:
        """``axis`` as axes from 1, ascending."""
        owner = f"layer {self.name!r}"
        return tuple(sorted({positive_axis(owner, axis, input_shape) for axis in self.axis}))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        wanted = self._statistics_shape(input_shape)
        if self.built and self._untrained[0].shape != wanted:
            raise ValueError(
                f"layer {self.name!r} has a mean of shape {self._untrained[0].shape}, which inputs "
                f"of shape {input_shape} do not suit"
            )
        return input_shape

    def create_weights(self, input_shape: Shape) -> None:
        shape = self._statistics_shape(input_shape)
        size = int(np.prod(shape))
        values: dict[str, NDArray[Any]] = {}
        if self._given is not None:
            try:
                values = {
                    f"{self.name}/{name}": np.broadcast_to(value, shape)
                    for name, value in zip(("mean", "variance"), self._given, strict=True)
                }
            except ValueError as error:
                raise ValueError(
                    f"layer {self.name!r}: a mean of shape {self._given[0].shape} does not suit "
                    f"axis {self.axis} of inputs of shape {input_shape}"
                ) from error
        for name, initializer in (("mean", np.zeros), ("variance", np.ones)):
            if values:
                with restoring(values):
                    self.add_weight(shape, initializer, name, False, matrix_shape=(1, size))
            else:
                self.add_weight(shape, initializer, name, False, matrix_shape=(1, size))

    def _statistics_shape(self, input_shape: Shape) -> tuple[int, ...]:
        kept = self.kept_axes(input_shape)
        return tuple(input_shape[axis] or 1 for axis in kept) or (1,)

    def adapt(self, data: ArrayLike | Iterable[ArrayLike]) -> None:
        """Learn mean and variance, afresh, with float64 sums.

        Args:
            data: An array or table (N, ...), or an iterable of such batches.

        Raises:
            TypeError, ValueError: They are no finite numbers, or of another shape than the layer
                was built for; or the layer was given its mean.
        """
        if self._given is not None:
            raise ValueError(f"layer {self.name!r} was given its mean and variance")
        count, mean, squares = 0, np.zeros(()), np.zeros(())
        for batch in batches_of(data, f"layer {self.name!r}: data"):
            as_float32(batch, f"layer {self.name!r}: adapt")
            shape: Shape = (None, *batch.shape[1:])
            self.build(shape)
            kept = self.kept_axes(shape)
            reduced = tuple(axis for axis in range(batch.ndim) if axis not in kept)
            rows = int(np.prod([batch.shape[axis] for axis in reduced]))
            # Chan, Golub & LeVeque 1983: sums of parts, without cancellation.
            of_batch = batch.mean(axis=reduced, dtype=np.float64)
            deviation = batch.var(axis=reduced, dtype=np.float64) * rows
            away = of_batch - mean
            squares = squares + deviation + away**2 * (count * rows / (count + rows))
            mean = mean + away * (rows / (count + rows))
            count += rows
        shape_of_weight = self._untrained[0].shape
        self._untrained[0].assign(mean.reshape(shape_of_weight))
        self._untrained[1].assign((squares / count).reshape(shape_of_weight))

    def transform(self, x: NDArray[Any]) -> NDArray[np.float32]:
        """The array standardized (or back), float32."""
        x = as_float32(x, f"layer {self.name!r}")
        shape: Shape = (None, *x.shape[1:])
        if not self.built and self._given is not None:
            self.build(shape)
        mean, deviation = self.mean, np.maximum(np.sqrt(self.variance), np.float32(EPSILON))
        self.compute_output_shape(shape)
        kept = self.kept_axes(shape)
        broadcast = [n if axis in kept else 1 for axis, n in enumerate(x.shape)]
        mean, deviation = mean.reshape(broadcast), deviation.reshape(broadcast)
        made = x * deviation + mean if self.invert else (x - mean) / deviation
        return made.astype(np.float32, copy=False)

    def get_config(self) -> dict[str, Any]:
        mean, variance = self._given or (None, None)
        return {
            **super().get_config(),
            "axis": list(self.axis) if self.axis else None,
            "mean": None if mean is None else mean.tolist(),
            "variance": None if variance is None else variance.tolist(),
            "invert": self.invert,
        }


def _statistic(name: str, value: ArrayLike) -> NDArray[np.float32]:
    array = np.asarray(value)
    if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
        raise ValueError(f"Normalization: {name} must be finite numbers, got {value!r}")
    return array.astype(np.float32)
