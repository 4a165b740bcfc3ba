"""Metrics: what is measured beside the loss, as settings. The arithmetic is the kernels'.

A metric is the mean over the examples of a number that each example has. ``kind`` and ``params``
are all that lowering reads: the accuracies have kinds of their own, the others are the losses'.
Names, arguments, defaults and meaning are Keras 3's, except that there is no ``dtype``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from numbers import Real
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike

from fastnn import losses
from fastnn._checks import check_integer, check_real
from fastnn._registry import resolve


class Metric(ABC):
    """Base class of the metrics.

    Args:
        name: the key in ``history`` and ``logs``.

    Attributes:
        kind: which formula.
        direction: whether ``"max"`` or ``"min"`` is better, which is what ``mode="auto"`` of a
            callback goes by; None where that is not known.
    """

    kind: ClassVar[str]
    direction: ClassVar[Literal["max", "min"] | None] = "max"

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    @abstractmethod
    def params(self) -> tuple[float, ...]:
        """The formula's numbers, in the order in which the kernel of ``kind`` takes them."""

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Metric:
        """The metric that ``get_config`` described."""
        return cls(**config)

    def __repr__(self) -> str:
        arguments = ", ".join(f"{key}={value!r}" for key, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


class EpochMetric(Metric):
    """Base class of the metrics that need all examples of an epoch at once.

    They are computed here when the epoch ends: the engine only hands over what the model predicted.
    """

    kind = "epoch"
    params = ()

    @abstractmethod
    def compute(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> float:
        """The metric.

        Args:
            y_true: targets as the caller gave them: (N, outputs), or labels (N,).
            y_pred: predictions, (N, outputs).
            sample_weight: (N,), the examples' weights; None for all 1.
        """


class CallableMetric(EpochMetric):
    """Any ``function(y_true, y_pred) -> float``, called when the epoch ends, with all its examples.

    A weight for each example is passed as ``sample_weight`` where there are some.

    Args:
        function: the function; a model with it can't be saved, only its weights.
        name: the key in ``history``; by default the function's name.

    Raises:
        TypeError: ``function`` can't be called.
    """

    direction = None

    def __init__(self, function: Callable[..., float], name: str | None = None) -> None:
        if not callable(function):
            raise TypeError(f"CallableMetric: function must be a function, got {function!r}")
        own = getattr(function, "__name__", type(function).__name__)
        super().__init__(str(own) if name is None else name)
        self.function = function

    def compute(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> float:
        """See ``EpochMetric``; TypeError if the function gives something else than a number."""
        weights = {} if sample_weight is None else {"sample_weight": sample_weight}
        value = self.function(y_true, y_pred, **weights)
        if isinstance(value, np.ndarray) and value.ndim == 0:
            value = value.item()
        if not isinstance(value, Real):
            raise TypeError(
                f"metric {self.name!r}: the function must give a number, got {type(value).__name__}"
            )
        return float(value)

    def get_config(self) -> dict[str, Any]:
        """Always a ValueError: a function can't be written into a file."""
        raise ValueError(
            f"metric {self.name!r} is a Python function, which can't be saved: save the weights "
            "alone, or compile the model without it"
        )

    def __repr__(self) -> str:
        return f"CallableMetric({self.function!r}, name={self.name!r})"


class SparseCategoricalAccuracy(Metric):
    """Share of examples whose most probable class is the label, an integer."""

    kind = "sparse_categorical_accuracy"
    params = ()

    def __init__(self, name: str = "sparse_categorical_accuracy") -> None:
        super().__init__(name)


class CategoricalAccuracy(Metric):
    """Share of examples whose most probable class is that of the one-hot target."""

    kind = "categorical_accuracy"
    params = ()

    def __init__(self, name: str = "categorical_accuracy") -> None:
        super().__init__(name)


class BinaryAccuracy(Metric):
    """Share of predictions that, compared with ``threshold``, give the target, 0 or 1.

    Args:
        name: the key in ``history``.
        threshold: a prediction above it counts as 1 (0 suits logits).
    """

    kind = "binary_accuracy"

    def __init__(self, name: str = "binary_accuracy", *, threshold: float = 0.5) -> None:
        super().__init__(name)
        self.threshold = check_real(type(self).__name__, "threshold", threshold)

    @property
    def params(self) -> tuple[float, ...]:
        """(threshold,)."""
        return (self.threshold,)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "threshold": self.threshold}


class TopKCategoricalAccuracy(Metric):
    """Share of examples whose one-hot target's class is among the ``k`` most probable ones."""

    kind = "top_k"

    def __init__(self, k: int = 5, name: str = "top_k_categorical_accuracy") -> None:
        super().__init__(name)
        self.k = check_integer(type(self).__name__, "k", k, at_least=1)

    @property
    def params(self) -> tuple[float, ...]:
        """(k,)."""
        return (float(self.k),)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "k": self.k}


class SparseTopKCategoricalAccuracy(TopKCategoricalAccuracy):
    """Share of examples whose label, an integer, is among the ``k`` most probable classes."""

    kind = "sparse_top_k"

    def __init__(self, k: int = 5, name: str = "sparse_top_k_categorical_accuracy") -> None:
        super().__init__(k, name)


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


CLASSES: dict[str, type[Metric]] = {
    "sparse_categorical_accuracy": SparseCategoricalAccuracy,
    "categorical_accuracy": CategoricalAccuracy,
    "binary_accuracy": BinaryAccuracy,
    "top_k_categorical_accuracy": TopKCategoricalAccuracy,
    "sparse_top_k_categorical_accuracy": SparseTopKCategoricalAccuracy,
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
    "categorical_crossentropy": CategoricalCrossentropy,
    "binary_crossentropy": BinaryCrossentropy,
    "categorical_focal_crossentropy": CategoricalFocalCrossentropy,
    "mean_squared_error": MeanSquaredError,
    "mean_absolute_error": MeanAbsoluteError,
    "huber": Huber,
    "poisson": Poisson,
}
"""Every name of a metric: snake case, the class's name, and Keras's aliases."""
CLASSES |= {cls.__name__: cls for cls in CLASSES.values()}
CLASSES |= {
    "bce": BinaryCrossentropy,
    "BCE": BinaryCrossentropy,
    "mse": MeanSquaredError,
    "MSE": MeanSquaredError,
    "mae": MeanAbsoluteError,
    "MAE": MeanAbsoluteError,
}


def get(
    identifier: str | dict[str, Any] | Metric | type[Metric] | Callable[..., float],
    loss: losses.Loss | None = None,
    output_shape: tuple[int | None, ...] | None = None,
) -> Metric:
    """The metric that ``identifier`` names or is.

    A name is also the key in ``history``, as it was written ("mse" stays "mse"). ``"accuracy"``
    and ``"acc"`` mean what they mean in Keras: ``BinaryAccuracy`` for an output of width 1, else
    ``SparseCategoricalAccuracy`` where the labels are integers (the loss tells), else
    ``CategoricalAccuracy``.

    Args:
        identifier: a name, a config, a metric, or a function ``(y_true, y_pred) -> float``, which
            becomes a ``CallableMetric``.
        loss: the output's loss; only "accuracy" needs it.
        output_shape: the output's shape, (None, width); only "accuracy" needs it.

    Raises:
        ValueError: the name is unknown, or is "accuracy" where the labels' form is not known.
        TypeError: ``identifier`` is none of these.
    """
    if callable(identifier) and not isinstance(identifier, type):
        return CallableMetric(identifier)
    if isinstance(identifier, str) and identifier.lower() in ("accuracy", "acc"):
        return _accuracy(identifier, loss, output_shape)
    # mypy wants a class that can be called, but an abstract base only serves isinstance.
    metric = resolve("metric", Metric, CLASSES, identifier)  # type: ignore[type-abstract]
    if isinstance(identifier, str):
        metric.name = identifier
    return metric


def _accuracy(
    name: str, loss: losses.Loss | None, output_shape: tuple[int | None, ...] | None
) -> Metric:
    if output_shape is not None and output_shape[-1] == 1:
        return BinaryAccuracy(name)
    if loss is None or isinstance(loss, losses.CallableLoss):
        raise ValueError(
            f"metric {name!r} needs the output's loss to know the labels' form; without one that "
            "tells, say 'sparse_categorical_accuracy' or 'categorical_accuracy'"
        )
    if loss.kind == losses.SparseCategoricalCrossentropy.kind:
        return SparseCategoricalAccuracy(name)
    return CategoricalAccuracy(name)
