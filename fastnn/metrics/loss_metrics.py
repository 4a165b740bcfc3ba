"""The losses as metrics."""

from __future__ import annotations

from typing import Any

from fastnn import losses
from fastnn.metrics.base import Metric


class LossMetric(Metric):
    """Base class of the losses as metrics: the mean over the examples of ``loss``."""

    direction = "min"

    def __init__(self, loss: losses.Loss, name: str) -> None:
        super().__init__(name)
        self.loss = loss

    @property
    def params(self) -> tuple[float, ...]:
        """The loss's params."""
        return self.loss.params

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments: the loss's, without ``reduction``."""
        config = {**self.loss.get_config(), "name": self.name}
        del config["reduction"]
        return config


class SparseCategoricalCrossentropy(LossMetric):
    """The loss of this name, as a metric."""

    kind = losses.SparseCategoricalCrossentropy.kind

    def __init__(
        self, name: str = "sparse_categorical_crossentropy", *, from_logits: bool = False
    ) -> None:
        super().__init__(losses.SparseCategoricalCrossentropy(from_logits), name)


class CategoricalCrossentropy(LossMetric):
    """The loss of this name, as a metric."""

    kind = losses.CategoricalCrossentropy.kind

    def __init__(
        self,
        name: str = "categorical_crossentropy",
        *,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(losses.CategoricalCrossentropy(from_logits, label_smoothing), name)


class BinaryCrossentropy(LossMetric):
    """The loss of this name, as a metric."""

    kind = losses.BinaryCrossentropy.kind

    def __init__(
        self,
        name: str = "binary_crossentropy",
        *,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(losses.BinaryCrossentropy(from_logits, label_smoothing), name)


class CategoricalFocalCrossentropy(LossMetric):
    """The loss of this name, as a metric; Keras has it only as a function."""

    kind = losses.CategoricalFocalCrossentropy.kind

    def __init__(
        self,
        name: str = "categorical_focal_crossentropy",
        *,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(
            losses.CategoricalFocalCrossentropy(alpha, gamma, from_logits, label_smoothing), name
        )


class MeanSquaredError(LossMetric):
    """The loss of this name, as a metric."""

    kind = losses.MeanSquaredError.kind

    def __init__(self, name: str = "mean_squared_error") -> None:
        super().__init__(losses.MeanSquaredError(), name)


class MeanAbsoluteError(LossMetric):
    """The loss of this name, as a metric."""

    kind = losses.MeanAbsoluteError.kind

    def __init__(self, name: str = "mean_absolute_error") -> None:
        super().__init__(losses.MeanAbsoluteError(), name)


class Huber(LossMetric):
    """The loss of this name, as a metric; Keras has it only as a function."""

    kind = losses.Huber.kind

    def __init__(self, name: str = "huber", *, delta: float = 1.0) -> None:
        super().__init__(losses.Huber(delta), name)


class Poisson(LossMetric):
    """The loss of this name, as a metric."""

    kind = losses.Poisson.kind

    def __init__(self, name: str = "poisson") -> None:
        super().__init__(losses.Poisson(), name)
