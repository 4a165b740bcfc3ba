"""Metrics: what is measured beside the loss, as settings.

Most are the mean over the examples of a number that each example has, which the kernels compute:
``kind`` and ``params`` are all that lowering reads. The accuracies have kinds of their own, others
are the losses'. An ``EpochMetric`` is not such a mean, and computed when the epoch ends.

Names, arguments, defaults and meaning are Keras 3's, except that there is no ``dtype``. A new
metric is a class in a file here and a row in ``CLASSES``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastnn import losses
from fastnn._registry import resolve
from fastnn.metrics.accuracy import (
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
)
from fastnn.metrics.auc import AUC
from fastnn.metrics.base import EpochMetric, Metric
from fastnn.metrics.confusion import F1Score, Precision, Recall
from fastnn.metrics.functional import CallableMetric
from fastnn.metrics.loss_metrics import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    Huber,
    LossMetric,
    MeanAbsoluteError,
    MeanSquaredError,
    Poisson,
    SparseCategoricalCrossentropy,
)
from fastnn.metrics.regression import CosineSimilarity, R2Score, RootMeanSquaredError

__all__ = [
    "AUC",
    "BinaryAccuracy",
    "BinaryCrossentropy",
    "CallableMetric",
    "CategoricalAccuracy",
    "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy",
    "CosineSimilarity",
    "EpochMetric",
    "F1Score",
    "Huber",
    "LossMetric",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Metric",
    "Poisson",
    "Precision",
    "R2Score",
    "Recall",
    "RootMeanSquaredError",
    "SparseCategoricalAccuracy",
    "SparseCategoricalCrossentropy",
    "SparseTopKCategoricalAccuracy",
    "TopKCategoricalAccuracy",
    "get",
]

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
    "precision": Precision,
    "recall": Recall,
    "f1_score": F1Score,
    "auc": AUC,
    "root_mean_squared_error": RootMeanSquaredError,
    "cosine_similarity": CosineSimilarity,
    "r2_score": R2Score,
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


MetricLike = str | dict[str, Any] | Metric | type[Metric] | Callable[..., float]


def get(
    identifier: MetricLike,
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
