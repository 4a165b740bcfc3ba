"""What a net that looks at nothing achieves: against this, learning is measured."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastnn.data.dataset import Dataset

if TYPE_CHECKING:
    from fastnn.losses import Loss
    from fastnn.models import Model

_CATEGORICAL = ("sparse_categorical_crossentropy", "categorical_crossentropy")


def baseline_loss(model: Model, dataset: Dataset) -> float | None:
    """The loss of the best constant prediction for these targets; None where nobody knows it.

    That is the entropy of the classes for a cross-entropy, the variance for a squared error.
    Regularizers and label smoothing are left out.
    """
    total, targets, weights = 0.0, iter(dataset.targets), iter(dataset.weights)
    for objective in model._objectives():
        target = next(targets) if objective.has_target else None
        weight = next(weights, None) if objective.takes_weights else None
        if target is None or objective.loss is None:
            continue
        if objective.loss.kind in _CATEGORICAL:
            target = objective.by_place(target)
            weight = None if weight is None else objective.by_place(weight)
        loss = _of_output(objective.loss, target, weight)
        if loss is None:
            return None
        total += objective.loss_weight * loss
    return total


def chance(target: NDArray[Any]) -> float:
    """The accuracy of the most frequent class."""
    if target.ndim == 1:
        return float(np.bincount(target.astype(np.int64)).max() / len(target))
    flat = target.reshape(len(target), -1)
    means = flat.mean(axis=0)
    return float(max(means[0], 1 - means[0]) if flat.shape[1] == 1 else means.max())


def share_learned(
    loss: float, best_constant: float, accuracies: Sequence[tuple[float, float]]
) -> float:
    """How much of what there is to learn was learned; see ``Trial.learned``.

    Args:
        best_constant: The loss of the best constant prediction; 0 where there is nothing to learn.
        accuracies: Each with that of the most frequent class.
    """
    below = 1.0 - loss / best_constant if best_constant and isfinite(loss) else 0.0
    above = [(right - lucky) / (1.0 - lucky) for right, lucky in accuracies if lucky < 1.0]
    return float(min(max(0.0, below, *above), 1.0))


def _of_output(
    loss: Loss, target: NDArray[Any], weight: NDArray[np.float32] | None
) -> float | None:
    """Rows count by their weights; the mean is over rows, as the loss's is."""
    kind = getattr(loss, "kind", None)
    if loss.reduction != "sum_over_batch_size":
        return None
    w = np.ones(len(target)) if weight is None else weight.astype(np.float64)
    if not w.sum() > 0:
        return 0.0
    scale: float = w.sum() / len(w)
    if kind in _CATEGORICAL:
        labelled = target.ndim == 1
        return scale * _entropy(np.bincount(target, w) if labelled else w @ target)
    values = target.reshape(len(target), -1).astype(np.float64)
    means = w @ values / w.sum()
    if kind == "binary_crossentropy":
        return scale * float(np.mean([_entropy(np.array([mean, 1 - mean])) for mean in means]))
    if kind == "mean_squared_error":
        return scale * float((w @ (values - means) ** 2 / w.sum()).mean())
    if kind == "mean_absolute_error":
        medians = [_median(column, w) for column in values.T]
        return scale * float((w @ np.abs(values - medians) / w.sum()).mean())
    return None


def _median(values: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    order = np.argsort(values)
    below = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(below, below[-1] / 2)])


def _entropy(counts: NDArray[Any]) -> float:
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())
