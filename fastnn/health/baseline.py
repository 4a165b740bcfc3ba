"""What a net that looks at nothing achieves: against this, learning is measured."""

from __future__ import annotations

from math import isfinite, nan
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastnn.data.dataset import Dataset

if TYPE_CHECKING:
    from fastnn.losses import Loss
    from fastnn.models import Model

_BISECTIONS = 50
"""Of the range of a target: to float64's last bits."""

_CATEGORICAL = ("sparse_categorical_crossentropy", "categorical_crossentropy")


REGRESSIONS = ("mean_squared_error", "mean_absolute_error", "huber")
"""Losses of a difference."""


def learns_numbers(model: Model) -> bool:
    """Whether a loss of the model is of a difference."""
    return any(getattr(each.loss, "kind", "") in REGRESSIONS for each in model._objectives())


def baseline_loss(model: Model, dataset: Dataset) -> float | None:
    """The loss of the best constant prediction for these targets; None where nobody knows it.

    That is the entropy of the classes for a cross-entropy, the variance for a squared error.
    Regularizers and label smoothing are left out.
    """
    total = 0.0
    for objective, best in zip(model._objectives(), best_constants(model, dataset), strict=True):
        if objective.loss is None:
            continue
        if best is None:
            return None
        total += objective.loss_weight * best
    return total


def best_constants(model: Model, dataset: Dataset) -> list[float | None]:
    """That of each output, before it is weighted; None too where an output has no loss."""
    found: list[float | None] = []
    targets, weights = iter(dataset.targets), iter(dataset.weights)
    for objective in model._objectives():
        target = next(targets) if objective.has_target else None
        weight = next(weights, None) if objective.takes_weights else None
        if target is None or objective.loss is None:
            found.append(None)
            continue
        if objective.loss.kind in _CATEGORICAL:
            target = objective.by_place(target)
            weight = None if weight is None else objective.by_place(weight)
        found.append(_of_output(objective.loss, target, weight))
    return found


def chance(target: NDArray[Any]) -> float:
    """The accuracy of the most frequent class; of several columns of which each is right or wrong
    by itself, their mean."""
    if target.ndim == 1:
        return float(np.bincount(target.astype(np.int64)).max() / len(target))
    means = target.reshape(len(target), -1).mean(axis=0, dtype=np.float64)
    if is_one_class(target):
        return float(means.max())
    return float(np.maximum(means, 1 - means).mean())


def is_one_class(target: NDArray[Any]) -> bool:
    """Whether each row of a matrix has a single 1, and 0 else."""
    flat = target.reshape(len(target), -1)
    return bool(flat.shape[1] > 1 and np.isin(flat, (0, 1)).all() and (flat.sum(axis=1) == 1).all())


def share_learned(loss: float, best_constant: float, above_chance: float = nan) -> float:
    """How much of what there is to learn was learned; see ``Trial.learned``.

    Args:
        best_constant: The loss of the best constant prediction; 0 where there is nothing to learn.
        above_chance: Where the targets are classes, by how much the accuracy is above that of the
            most frequent one, as a share of what is left above it; else NaN.
    """
    below = 1.0 - loss / best_constant if best_constant and isfinite(loss) else 0.0
    above = above_chance if isfinite(above_chance) else 0.0
    return float(min(max(0.0, below, above), 1.0))


def explained(
    target: NDArray[Any],
    predicted: NDArray[Any],
    weight: NDArray[np.float32] | None = None,
    squared: bool = True,
) -> float:
    """R2, by column, and their mean; a column that is worse than a constant counts as 0, and one
    that is constant not at all.

    Args:
        squared: Else errors are taken absolute, from the median, and the share that is left of them
            is squared afterwards: that is R2, too, where errors are distributed like the target,
            and stray rows count for little.
    """
    true = target.reshape(len(target), -1).astype(np.float64)
    found = predicted.reshape(len(target), -1).astype(np.float64)
    w = np.ones(len(true)) if weight is None else weight.astype(np.float64)
    if not w.sum() > 0:
        return 0.0
    shares = []
    for column, guess in zip(true.T, found.T, strict=True):
        if squared:
            before = w @ (column - w @ column / w.sum()) ** 2
            left = w @ (column - guess) ** 2
        else:
            before = (w @ np.abs(column - _median(column, w))) ** 2
            left = (w @ np.abs(column - guess)) ** 2
        if before > 0:
            # Not a number is no prediction.
            shares.append(1.0 - left / before if left < before else 0.0)
    return float(np.mean(shares)) if shares else 0.0


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
    if kind == "huber":
        return scale * float(np.mean([_huber(column, w, loss.params[0]) for column in values.T]))
    if kind == "mean_absolute_error":
        medians = [_median(column, w) for column in values.T]
        return scale * float((w @ np.abs(values - medians) / w.sum()).mean())
    return None


def _huber(values: NDArray[np.float64], weights: NDArray[np.float64], delta: float) -> float:
    """By bisection: the slope of the loss rises with the constant."""
    low, high = float(values.min()), float(values.max())
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if weights @ np.clip(values - middle, -delta, delta) > 0:
            low = middle
        else:
            high = middle
    error = np.abs(values - middle)
    each = np.where(error <= delta, error**2 / 2, delta * error - delta**2 / 2)
    return float(weights @ each / weights.sum())


def _median(values: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    order = np.argsort(values)
    below = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(below, below[-1] / 2)])


def _entropy(counts: NDArray[Any]) -> float:
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())
