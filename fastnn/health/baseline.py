"""What a net that looks at nothing achieves: against this, learning is measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastnn.data.dataset import Dataset

if TYPE_CHECKING:
    from fastnn.lowering.objective import Objective
    from fastnn.models import Model

_CATEGORICAL = ("sparse_categorical_crossentropy", "categorical_crossentropy")


def baseline_loss(model: Model, dataset: Dataset) -> float | None:
    """The loss of the best constant prediction for these targets; None where nobody knows it.

    That is the entropy of the classes for a cross-entropy, the variance for a squared error.
    Regularizers and label smoothing are left out.
    """
    total, targets = 0.0, iter(dataset.targets)
    for objective in model._objectives():
        if not objective.has_target:
            continue
        target = next(targets)
        if objective.loss is None:
            continue
        loss = _of_output(objective, target)
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


def _of_output(objective: Objective, target: NDArray[Any]) -> float | None:
    loss = objective.loss
    assert loss is not None
    kind = getattr(loss, "kind", None)
    if loss.reduction not in ("sum_over_batch_size", "mean"):
        return None
    if kind in _CATEGORICAL:
        return _entropy(np.bincount(target) if target.ndim == 1 else target.sum(axis=0))
    values = target.reshape(len(target), -1).astype(np.float64)
    means = values.mean(axis=0)
    if kind == "binary_crossentropy":
        return float(np.mean([_entropy(np.array([mean, 1 - mean])) for mean in means]))
    if kind == "mean_squared_error":
        return float(values.var(axis=0).mean())
    if kind == "mean_absolute_error":
        return float(np.abs(values - np.median(values, axis=0)).mean())
    return None


def _entropy(counts: NDArray[Any]) -> float:
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())
