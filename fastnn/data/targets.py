"""Targets and sample weights, checked against what the loss wants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn._checks import check_real
from fastnn.data.arrays import as_numbers, as_rows, check_finite


def are_labels(value: Any, shape: tuple[int, ...]) -> bool:
    """Whether ``value`` is an integer for each place of an output (N, *shape) with several
    columns."""
    array = np.asarray(value)
    places = shape[:-1]
    return array.dtype.kind in "iub" and array.shape[1:] in (places, (*places, 1))


def as_labels(value: Any, name: str, shape: tuple[int, ...]) -> NDArray[np.int32]:
    """Integer labels for an output (N, ..., classes): (N, ...), (N,) say, or (N, ..., 1), within
    0 .. classes - 1, as int32 of shape (N,), or (N, places).

    Raises:
        TypeError: Not real numbers.
        ValueError: Another shape, no rows, fractions, or a label out of range.
    """
    array = as_numbers(value, name)
    *places, classes = shape
    if array.shape[1:] == (*places, 1):
        array = array[..., 0]
    if not array.ndim or array.shape[1:] != (*places,):
        wanted = f"(N, {', '.join(map(str, places))})" if places else "(N,)"
        raise ValueError(
            f"{name} must have shape {wanted} of integer labels, got {array.shape}; for one-hot "
            "targets use categorical_crossentropy"
        )
    if not len(array):
        raise ValueError(f"{name} is empty: got shape {array.shape}")
    check_finite(array, name)
    low, high = array.min(), array.max()
    if low < 0 or high >= classes:
        raise ValueError(
            f"{name} must hold labels within 0..{classes - 1}, since the output has {classes} "
            f"classes; got {low if low < 0 else high}"
        )
    labels = array.astype(np.int32)
    if array.dtype.kind == "f" and not np.array_equal(labels, array):
        raise ValueError(f"{name} must hold integer labels, got {array[labels != array][0]}")
    return np.ascontiguousarray(labels if not places else labels.reshape(len(labels), -1))


def as_targets(value: Any, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Targets of the output's shape (N, *shape), as a matrix."""
    array = as_numbers(value, name)
    if array.ndim == 1 and shape != (1,) and array.dtype.kind in "iu":
        raise ValueError(
            f"{name} must have shape (N, {', '.join(map(str, shape))}), got {array.shape}; for "
            "integer labels use sparse_categorical_crossentropy, or utils.to_categorical"
        )
    return as_rows(array, name, shape)


def as_weights(value: Any, name: str, n_rows: int) -> NDArray[np.float32]:
    """One finite number for each of ``n_rows`` rows."""
    array = as_numbers(value, name)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.shape != (n_rows,):
        raise ValueError(f"{name} must have shape ({n_rows},), one number a row, got {array.shape}")
    check_finite(array, name)
    return np.ascontiguousarray(array, dtype=np.float32)


def class_weights(
    class_weight: Mapping[int, float], target: NDArray[Any], classes: int
) -> NDArray[np.float32]:
    """Each row's weight by its class: the label, or the largest of a one-hot row (Keras). A class
    that is not named weighs 1.

    Raises:
        TypeError: Not a dict from integers to numbers.
        ValueError: A class that does not exist, or a weight that is not finite.
    """
    if not isinstance(class_weight, Mapping):
        raise TypeError(f"class_weight must be a dict from class to weight, got {class_weight!r}")
    table = np.ones(max(classes, 2), np.float32)
    for label, weight in class_weight.items():
        if isinstance(label, bool) or not isinstance(label, (int, np.integer)):
            raise TypeError(f"class_weight must have integers as keys, got {label!r}")
        if not 0 <= label < len(table):
            raise ValueError(
                f"class_weight names class {label}, but classes are 0..{len(table) - 1}"
            )
        check_real("class_weight", f"the weight of class {label}", weight)
        table[label] = weight
    if target.ndim == 1:
        labels = target
    elif target.shape[1] == 1:
        labels = np.rint(target[:, 0]).astype(np.int64)
        if labels.min() < 0 or labels.max() >= len(table):
            raise ValueError("class_weight wants targets that are classes, 0 or 1")
    else:
        labels = target.argmax(axis=1)
    weights: NDArray[np.float32] = table[labels]
    return weights
