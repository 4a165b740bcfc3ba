"""What all metrics share, and what those share that are no mean over the examples."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn._checks import check_text


class Metric(ABC):
    """Base class of the metrics.

    Args:
        name: the key in ``history`` and ``logs``.

    Attributes:
        kind: which formula.
        direction: whether ``"max"`` or ``"min"`` is better, which is what ``mode="auto"`` of a
            callback goes by; None where that is not known.

    Raises:
        TypeError: ``name`` is no string.
    """

    kind: ClassVar[str]
    direction: ClassVar[Literal["max", "min"] | None] = "max"

    def __init__(self, name: str) -> None:
        self.name = check_text(type(self).__name__, "name", name)

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

    They are computed here, in NumPy and float64, when the epoch ends: the engine only hands over
    what the model predicted.
    """

    kind = "epoch"
    params = ()

    @abstractmethod
    def compute(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> float:
        """The metric.

        Args:
            y_true: targets as the caller gave them: (N, outputs), or labels (N,) or (N, 1).
            y_pred: predictions, (N, outputs).
            sample_weight: (N,), the examples' weights; None for all 1.

        Raises:
            ValueError: the shapes do not fit, or labels are no classes of the output.
        """


def weights_of(sample_weight: ArrayLike | None, n_rows: int) -> NDArray[np.float64]:
    """The rows' weights, (N,)."""
    if sample_weight is None:
        return np.ones(n_rows)
    weights = np.asarray(sample_weight, np.float64).reshape(-1)
    if len(weights) != n_rows:
        raise ValueError(
            f"sample_weight must have shape ({n_rows},), got {np.shape(sample_weight)}"
        )
    return weights


def values_like(
    metric: Metric, y_true: ArrayLike, y_pred: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Targets and predictions as (N, outputs); (N,) is taken as (N, 1)."""
    pred = np.asarray(y_pred, np.float64)
    true = np.asarray(y_true, np.float64)
    pred, true = (each[:, None] if each.ndim == 1 else each for each in (pred, true))
    if pred.ndim != 2 or true.shape != pred.shape or not len(pred):
        raise ValueError(
            f"metric {metric.name!r} takes targets of the output's shape, got y_true of shape "
            f"{np.shape(y_true)} and y_pred of shape {np.shape(y_pred)}"
        )
    return true, pred


def one_hot_like(
    metric: Metric, y_true: ArrayLike, y_pred: ArrayLike
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which class is true, (N, outputs), and the predictions.

    Labels (N,) or (N, 1) become one-hot where the output has several classes. Keras refuses them.
    """
    pred = np.asarray(y_pred, np.float64)
    pred = pred[:, None] if pred.ndim == 1 else pred
    labels = np.asarray(y_true)
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if pred.ndim != 2 or pred.shape[1] == 1 or labels.shape != pred.shape[:1]:
        true, pred = values_like(metric, y_true, y_pred)
        return true != 0, pred
    classes = labels.astype(np.int64)
    wrong = (classes != labels) | (classes < 0) | (classes >= pred.shape[1])
    if wrong.any():
        raise ValueError(
            f"metric {metric.name!r} takes labels within 0..{pred.shape[1] - 1}, since the output "
            f"has {pred.shape[1]} classes, or targets of shape {pred.shape}; got "
            f"{labels[wrong][0]}"
        )
    return classes[:, None] == np.arange(pred.shape[1]), pred
