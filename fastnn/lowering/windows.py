"""Which positions the windows of convolutions and pooling read: tables for the kernels.

Positions of a row are counted in C order over all axes. A table is made once for each program; the
kernels know nothing of strides, dilation or padding.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fastnn.layers.geometry import Axis

Table = NDArray[np.int32]

OUTSIDE = -1


def window_table(axes: Sequence[Axis]) -> Table:
    """(windows, taps): the position that each tap of each window reads, or OUTSIDE."""
    along = []
    for axis in axes:
        position = (
            np.arange(axis.windows)[:, None] * axis.stride
            + np.arange(axis.window) * axis.dilation
            - axis.before
        )
        position[(position < 0) | (position >= axis.length)] = OUTSIDE
        along.append(position)
    return _combined(along, [axis.length for axis in axes])


def nearest_table(lengths: Sequence[int], factors: Sequence[int]) -> Table:
    """(windows, 1): which position stands at each of a picture that is larger by ``factors``."""
    along = [
        np.arange(length * factor)[:, None] // factor
        for length, factor in zip(lengths, factors, strict=True)
    ]
    return _combined(along, lengths)


def bilinear_table(
    lengths: Sequence[int], factors: Sequence[int]
) -> tuple[Table, NDArray[np.float32]]:
    """The windows of a picture larger by ``factors``, and what each tap is multiplied by.

    Along an axis, window i lies at (i + 0.5) / factor - 0.5 and reads the positions before and
    after that, at the edges the nearest alone: as ``jax.image.resize`` and ``tf.image.resize``.
    """
    along, weights = [], np.ones((1, 1))
    for length, factor in zip(lengths, factors, strict=True):
        at = (np.arange(length * factor) + 0.5) / factor - 0.5
        at = np.clip(at, 0, length - 1)
        before = np.floor(at).astype(np.int64)
        after_weight = at - before
        after = np.where(after_weight > 0, before + 1, OUTSIDE)
        along.append(np.stack([before, after], axis=1))
        of_axis = np.stack([1 - after_weight, after_weight], axis=1)
        weights = np.kron(weights, of_axis)
    return _combined(along, lengths), weights.astype(np.float32)


def _combined(along: Sequence[NDArray[np.int64]], lengths: Sequence[int]) -> Table:
    """The table of windows that reach over all axes, from (windows, taps) along each."""
    table = np.zeros((1, 1), np.int64)
    for of_axis, length in zip(along, lengths, strict=True):
        combined = table[:, None, :, None] * length + of_axis[None, :, None, :]
        outside = (table[:, None, :, None] == OUTSIDE) | (of_axis[None, :, None, :] == OUTSIDE)
        combined[outside] = OUTSIDE
        table = combined.reshape(len(table) * len(of_axis), -1)
    return np.ascontiguousarray(table, np.int32)


def adjoint(table: Table, positions: int) -> Table:
    """(positions, taps): the window that reads each position by each tap, or OUTSIDE. There is at
    most one, since windows move."""
    taps = table.shape[1]
    result = np.full((positions, taps), OUTSIDE, np.int32)
    for tap in range(taps):
        inside = table[:, tap] != OUTSIDE
        result[table[inside, tap], tap] = np.flatnonzero(inside)
    return result


def readers(table: Table, positions: int) -> Table:
    """(positions, most, 2): the windows that read each position, in their order, and by which tap;
    OUTSIDE where there are fewer. ``most`` is 1 where windows don't overlap."""
    window, tap = np.nonzero(table != OUTSIDE)
    position = table[window, tap]
    order = np.argsort(position, kind="stable")
    counts = np.bincount(position, minlength=positions)
    number = np.arange(len(position)) - np.repeat(np.cumsum(counts) - counts, counts)
    result = np.full((positions, max(1, counts.max(initial=0)), 2), OUTSIDE, np.int32)
    result[position[order], number, 0] = window[order]
    result[position[order], number, 1] = tap[order]
    return result


def tap_pairs(table: Table, line: int) -> tuple[Table, Table]:
    """For each tap what it connects: (taps, 2, windows), where the position's and the window's
    lines begin, lines of ``line`` numbers; and (taps,), how many there are."""
    windows, taps = table.shape
    pairs = np.zeros((taps, 2, windows), np.int32)
    counts = np.zeros(taps, np.int32)
    for tap in range(taps):
        inside = np.flatnonzero(table[:, tap] != OUTSIDE)
        counts[tap] = len(inside)
        pairs[tap, 0, : len(inside)] = table[inside, tap] * line
        pairs[tap, 1, : len(inside)] = inside * line
    return pairs, counts


def row_starts(table: Table, taps_of_row: int, channels: int) -> Table:
    """(windows, rows of a window): where the row's pixels begin, if they all lie inside and one
    after another; else OUTSIDE."""
    rows = table.reshape(len(table), -1, taps_of_row)
    together = np.all(np.diff(rows, axis=-1) == 1, axis=-1) & np.all(rows != OUTSIDE, axis=-1)
    return np.where(together, rows[..., 0] * channels, OUTSIDE).astype(np.int32)
