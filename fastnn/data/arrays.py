"""Arrays as rows that the engine can read in place; a copy is made only where it must be."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.kernels.codes import DTYPES

_LARGEST = float(np.finfo(np.float32).max)

_PASS = 1 << 20
"""Numbers looked at in one pass of a check, so that a memory-mapped array is never held whole."""


def as_numbers(value: Any, name: str) -> NDArray[Any]:
    """``value`` as an array of real numbers in a type that the engine reads.

    Raises:
        TypeError: It holds something else than real numbers.
        ValueError: It is ragged.
    """
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} must be an array, got rows of different lengths") from error
    if array.dtype.kind == "O":
        raise TypeError(
            f"{name} must hold numbers, got dtype object"
            f"{_first_odd(array)}; convert it, for example with x.astype('float32')"
        )
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}")
    if array.dtype.name in DTYPES and array.dtype.isnative:
        return array
    if array.dtype.kind == "b":
        return array.astype(np.uint8)
    exact_in_float32 = array.dtype.itemsize <= 2
    return array.astype(np.float32 if exact_in_float32 else np.float64)


def _first_odd(array: NDArray[Any]) -> str:
    for item in array.flat:
        if not isinstance(item, (int, float, np.number)):
            return f" (the first odd one is {str(item)[:40]!r}, of type {type(item).__name__})"
    return ""


def as_rows(value: Any, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """``value`` of shape (N, *shape) as a matrix (N, features) whose rows are contiguous.

    A last axis of extent 1 may be missing: gray pictures (N, height, width), as in Keras.

    Raises:
        TypeError: Not real numbers.
        ValueError: Another shape, no rows, or numbers that are not finite.
    """
    array = as_numbers(value, name)
    if shape[-1:] == (1,) and array.ndim == len(shape):
        array = array[..., None]
    if array.shape[1:] != shape or array.ndim == 0:
        wanted = ", ".join(["N", *map(str, shape)])
        raise ValueError(f"{name} must have shape ({wanted}), got {array.shape}")
    if len(array) == 0:
        raise ValueError(f"{name} is empty: got shape {array.shape}")
    if not (array.flags.c_contiguous and array.flags.aligned):
        array = np.array(array, order="C")
    array = array.reshape(len(array), prod(shape))
    check_finite(array, name)
    return array


def as_indices(
    value: Any, name: str, shape: tuple[int, ...], layer: str, count: int
) -> NDArray[np.int32]:
    """Integers within 0 .. count - 1, of shape (N, *shape), as an int32 matrix.

    Args:
        layer: Whose table has so many rows, for messages.

    Raises:
        TypeError: Not real numbers.
        ValueError: Another shape, no rows, a fraction, or a number out of range.
    """
    array = as_rows(value, name, shape)
    rows = max(1, _PASS // max(1, array.shape[1]))
    found = np.empty(array.shape, np.int32)
    for start in range(0, len(array), rows):
        part = array[start : start + rows]
        fits = (part >= 0) & (part < count)
        if part.dtype.kind == "f":
            fits &= part == np.floor(part)
        if not fits.all():
            row, column = np.argwhere(~fits)[0]
            raise ValueError(
                f"layer {layer!r} (Embedding) takes integers within 0..{count - 1}, got "
                f"{part[row, column]} in row {start + row} of {name}"
            )
        found[start : start + rows] = part
    return found


def check_finite(
    array: NDArray[Any], name: str, row_of: Callable[[int], int] = lambda number: number
) -> None:
    """Raise ValueError naming the first row with a number that is not finite in float32.

    Args:
        row_of: The row that a place along the first axis belongs to.
    """
    if array.dtype.kind != "f" or not array.size:
        return
    rows = max(1, _PASS // max(1, array[0].size))
    for start in range(0, len(array), rows):
        part = array[start : start + rows]
        # false for NaN, too
        if not (part.min() >= -_LARGEST and part.max() <= _LARGEST):
            fits = np.abs(part.reshape(len(part), -1)) <= _LARGEST
            row = int(np.argmin(fits.all(axis=1)))
            bad = part.reshape(len(part), -1)[row][~fits[row]][0]
            wanted = "within float32's range" if np.isfinite(bad) else "finite"
            raise ValueError(f"{name} must be {wanted}, got {bad} in row {row_of(start + row)}")


def check_same_length(arrays: dict[str, int]) -> int:
    """The common number of rows of the named arrays; ValueError if they differ."""
    lengths = set(arrays.values())
    if len(lengths) > 1:
        raise ValueError(
            "arrays must have the same number of rows, got "
            + ", ".join(f"{n} of {name}" for name, n in arrays.items())
        )
    return lengths.pop()
