"""Labels of a kind or range that the loss does not take."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn import losses
from fastnn.health.loss.edits import CATEGORICAL, STRAY, Fault, with_loss
from fastnn.losses import Loss


def wrong_labels(output: int, loss: Loss, width: int, target: NDArray[Any]) -> Fault | None:
    """The target's fault, (N,) or (N, columns)."""
    logits = bool(getattr(loss, "from_logits", False))
    several = target.ndim == 2 and target.shape[1] > 1
    if loss.kind == "sparse_categorical_crossentropy":
        if several and target.shape[1] == width:
            return Fault(
                f"{loss.name} wants class numbers, but the targets have {width} columns",
                "categorical_crossentropy instead",
                with_loss(output, losses.CategoricalCrossentropy(logits, reduction=loss.reduction)),
            )
        return _wrong_columns(target, width) if several else _wrong_classes(target, width)
    if width > 1 and not several:
        cause = (
            f"{loss.name} wants targets of {width} columns, one for each output, but got one "
            "number a row"
        )
        if not _are_classes(target) or target.min() < 0 or target.max() >= width:
            return Fault(cause)
        logits = logits and loss.kind in CATEGORICAL
        return Fault(
            f"{cause}, a class",
            "sparse_categorical_crossentropy instead",
            with_loss(
                output, losses.SparseCategoricalCrossentropy(logits, reduction=loss.reduction)
            ),
        )
    if several and target.shape[1] != width:
        return _wrong_columns(target, width)
    return _wrong_probabilities(output, loss, target)


def _wrong_columns(target: NDArray[Any], width: int) -> Fault:
    return Fault(f"the targets have {target.shape[1]} columns, but the output {width}")


def _wrong_classes(target: NDArray[Any], width: int) -> Fault | None:
    if not _are_classes(target):
        return Fault("the labels of a sparse loss must be class numbers, but they have fractions")
    low, high = target.min(), target.max()
    if low >= 0 and high < width:
        return None
    return Fault(f"the labels go from {low:g} to {high:g}, but the output has {width} classes")


def _are_classes(target: NDArray[Any]) -> bool:
    return bool(np.equal(np.rint(target), target).all())


def _wrong_probabilities(output: int, loss: Loss, target: NDArray[Any]) -> Fault | None:
    if loss.kind == "poisson" and target.min() < 0:
        return Fault(f"{loss.name} wants counts, but the targets go down to {target.min():g}")
    if loss.kind not in CATEGORICAL and loss.kind != "binary_crossentropy":
        return None
    low, high = target.min(), target.max()
    if low < -1e-6 or high > 1 + 1e-6:
        return Fault(f"{loss.name} wants targets from 0 to 1, but they go from {low:g} to {high:g}")
    if loss.kind in CATEGORICAL and several_at_once(target):
        logits = bool(getattr(loss, "from_logits", False))
        return Fault(
            f"{loss.name} wants one class a row, but rows have several",
            "binary_crossentropy instead",
            with_loss(output, losses.BinaryCrossentropy(logits, reduction=loss.reduction)),
        )
    return None


def several_at_once(target: NDArray[Any]) -> bool:
    """Whether rows name more than one class."""
    if target.ndim != 2 or target.shape[1] < 2 or not np.isin(target, (0, 1)).all():
        return False
    return bool(np.mean(target.sum(axis=1) > 1) > STRAY)
