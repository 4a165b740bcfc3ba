"""Slow float64 twins of everything that looks through windows, and their gradients.

Pictures are (examples, *lengths, channels). They are padded, and sliced tap by tap: no tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from fastnn.layers.geometry import Axis

Array = NDArray[np.float64]


def padded(x: Array, axes: Sequence[Axis], value: float = 0.0) -> Array:
    """With what lies around the picture, and room for the last window after it."""
    around = []
    for axis in axes:
        reach = (axis.windows - 1) * axis.stride + (axis.window - 1) * axis.dilation + 1
        around.append((axis.before, max(axis.after, reach - axis.length - axis.before)))
    return np.pad(x, [(0, 0), *around, (0, 0)], constant_values=value)


def taps(axes: Sequence[Axis]) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...]]]:
    """Each tap of the window, and where all windows find it in the padded picture."""
    for tap in product(*(range(axis.window) for axis in axes)):
        yield (
            tap,
            (
                slice(None),
                *(
                    slice(t * a.dilation, t * a.dilation + (a.windows - 1) * a.stride + 1, a.stride)
                    for t, a in zip(tap, axes, strict=True)
                ),
                slice(None),
            ),
        )


def cut(x: Array, axes: Sequence[Axis]) -> Array:
    """Of a padded picture what lies inside."""
    return x[(slice(None), *(slice(a.before, a.before + a.length) for a in axes), slice(None))]


def windows_of(x: Array, axes: Sequence[Axis], value: float = 0.0) -> Array:
    """(taps, examples, *windows, channels): what each tap of each window reads."""
    whole = padded(x, axes, value)
    return np.stack([whole[where] for _, where in taps(axes)])


def scattered(d: Array, axes: Sequence[Axis]) -> Array:
    """The adjoint of ``windows_of``: (examples, *lengths, channels)."""
    shape = (d.shape[1], *(axis.length for axis in axes), d.shape[-1])
    whole = np.zeros_like(padded(np.zeros(shape), axes))
    for number, (_, where) in enumerate(taps(axes)):
        whole[where] += d[number]
    return cut(whole, axes)


def _in_groups(w: Array, groups: int) -> Array:
    """(taps, channels, filters) of a kernel (*window, channels of a group, filters), with zeros
    where a filter doesn't read a channel."""
    *window, channels, filters = w.shape
    matrix = w.reshape(int(np.prod(window)), channels, filters)
    result = np.zeros((len(matrix), channels * groups, filters))
    for f in range(filters):
        first = f // (filters // groups) * channels
        result[:, first : first + channels, f] = matrix[..., f]
    return result


def conv(x: Array, w: Array, axes: Sequence[Axis], groups: int = 1) -> Array:
    return np.einsum("t...c,tcf->...f", windows_of(x, axes), _in_groups(w, groups), optimize=True)


def conv_input_gradient(dz: Array, w: Array, axes: Sequence[Axis], groups: int = 1) -> Array:
    return scattered(np.einsum("...f,tcf->t...c", dz, _in_groups(w, groups), optimize=True), axes)


def conv_weight_gradient(
    x: Array, dz: Array, shape: Sequence[int], axes: Sequence[Axis], groups: int = 1
) -> Array:
    *window, channels, filters = shape
    lines = dz.reshape(-1, filters)
    seen = windows_of(x, axes)
    whole = np.stack([tap.reshape(len(lines), -1).T @ lines for tap in seen])
    result = np.empty((len(whole), channels, filters))
    for f in range(filters):
        first = f // (filters // groups) * channels
        result[..., f] = whole[:, first : first + channels, f]
    return result.reshape(*window, channels, filters)


def depthwise(x: Array, w: Array, axes: Sequence[Axis]) -> Array:
    """w: (*window, channels, multiplier)."""
    *_, channels, multiplier = w.shape
    repeated = x.repeat(multiplier, axis=-1)
    lines = w.reshape(-1, channels * multiplier)
    return np.einsum("t...c,tc->...c", windows_of(repeated, axes), lines)


def depthwise_input_gradient(dz: Array, w: Array, axes: Sequence[Axis]) -> Array:
    *_, channels, multiplier = w.shape
    lines = w.reshape(-1, channels * multiplier)
    d = scattered(np.einsum("...c,tc->t...c", dz, lines), axes)
    return d.reshape(*d.shape[:-1], channels, multiplier).sum(axis=-1)


def depthwise_weight_gradient(
    x: Array, dz: Array, shape: Sequence[int], axes: Sequence[Axis]
) -> Array:
    seen = windows_of(x.repeat(shape[-1], axis=-1), axes)
    return (seen * dz).reshape(len(seen), -1, dz.shape[-1]).sum(axis=1).reshape(shape)


def max_pool(x: Array, axes: Sequence[Axis]) -> tuple[Array, Array]:
    """The largest of each window, and by which tap it is read: a NaN is the largest, of equals it
    is the first; what lies outside is nothing."""
    whole, inside = padded(x, axes), padded(np.ones_like(x), axes) > 0
    shape = (len(x), *(axis.windows for axis in axes), x.shape[-1])
    most, tap = np.full(shape, -np.inf), np.full(shape, -1)
    for number, (_, where) in enumerate(taps(axes)):
        value = whole[where]
        more = (value > most) | (np.isnan(value) & ~np.isnan(most)) | (tap < 0)
        more &= inside[where]
        most[more], tap[more] = value[more], number
    return most, tap


def max_pool_gradient(dy: Array, tap: Array, axes: Sequence[Axis]) -> Array:
    n_taps = int(np.prod([axis.window for axis in axes]))
    found = np.arange(n_taps).reshape(-1, *(1,) * tap.ndim) == tap
    return scattered(found * dy, axes)


def readable(axes: Sequence[Axis]) -> Array:
    """(1, *windows, 1): how many positions inside the picture each window reads."""
    ones = np.ones((1, *(axis.length for axis in axes), 1))
    return windows_of(ones, axes).sum(axis=0)


def average_pool(x: Array, axes: Sequence[Axis]) -> Array:
    return windows_of(x, axes).sum(axis=0) / readable(axes)


def average_pool_gradient(dy: Array, axes: Sequence[Axis]) -> Array:
    n_taps = int(np.prod([axis.window for axis in axes]))
    return scattered(np.repeat((dy / readable(axes))[None], n_taps, axis=0), axes)


def enlarging(length: int, factor: int, interpolation: str) -> Array:
    """(length * factor, length): along one axis; "bilinear" by ``np.interp``, which holds the
    edges."""
    if interpolation == "nearest":
        return np.eye(length).repeat(factor, axis=0)
    at = (np.arange(length * factor) + 0.5) / factor - 0.5
    return np.stack([np.interp(at, np.arange(length), unit) for unit in np.eye(length)], axis=1)


def along_axes(x: Array, matrices: Sequence[Array]) -> Array:
    """Each axis between the first and the last times its matrix."""
    for axis, matrix in enumerate(matrices, start=1):
        x = np.moveaxis(np.tensordot(matrix, x, axes=(1, axis)), 0, axis)
    return x
