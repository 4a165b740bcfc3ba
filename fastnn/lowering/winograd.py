"""Which convolutions Winograd's F(2x2, 3x3) computes, and the tables that its kernels read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from fastnn.kernels.layout import n_blocks
from fastnn.kernels.winograd import MOST_CHANNELS, TASK_CHANNELS, TASK_FILTERS
from fastnn.layers.geometry import Axis
from fastnn.lowering.windows import OUTSIDE, Table, window_table

_WINDOW, _TILE = 3, 2
POINTS = (_TILE + _WINDOW - 1) ** 2
"""Numbers of a tile's input, and of a transformed kernel for each weight matrix of a tap."""

# What a line of 16 numbers costs with its transforms, in multiply-adds of a line: of the input of
# a tile, of its output, and of the kernel. Measured with AVX-512: see bench/convolutions.py.
_INPUT, _OUTPUT, _KERNEL = 120, 80, 80

# The same for the gradient of the kernel: of a tile's input, of its gradient, of the sums for the
# kernel; and what a tile costs anyway.
_STRIP_INPUT, _STRIP_GRADIENT, _SUMS, _STRIP_TILE = 80, 60, 40, 40

# Pictures that a transformed kernel is made for, at the least: bits of a result must not depend on
# their number. Of one alone, the smallest that are chosen (4 x 4) take as long as directly.
_PICTURES = 4

PARTS = ("lower", "whole", "right", "corner")
"""Tiles of which the lower outputs are outside of the picture, none, the right ones, or both."""


@dataclass(frozen=True)
class Tiles:
    """Tables of the kernels. Tiles lie in the order of ``PARTS``: of a tile that is half outside of
    the picture, some points are not needed; those for which one is needed so lie together.

    Attributes:
        inputs: (tiles, 16): the positions that a tile reads.
        outputs: (tiles, 4): the windows that it makes.
        parts: How many tiles there are of each part.
    """

    inputs: Table
    outputs: Table
    parts: dict[str, int]


def tiles(axes: Sequence[Axis]) -> Tiles:
    """For a convolution over these axes."""
    reads, makes = [], []
    for axis in axes:
        count = -(-axis.windows // _TILE)
        window = _TILE + _WINDOW - 1
        reads.append(Axis(axis.length, window, _TILE, 1, axis.before, axis.after, count))
        makes.append(Axis(axis.windows, _TILE, _TILE, 1, 0, 0, count))
    inputs, outputs = window_table(tuple(reads)), window_table(tuple(makes))
    right, lower = (outputs[:, output] == OUTSIDE for output in (1, 2))
    part = np.where(lower, np.where(right, 3, 0), np.where(right, 2, 1))
    order = np.argsort(part, kind="stable")
    counts = np.bincount(part, minlength=len(PARTS)).tolist()
    return Tiles(inputs[order], outputs[order], dict(zip(PARTS, counts, strict=True)))


def of_gradient(axes: Sequence[Axis]) -> list[Axis]:
    """The axes of the convolution that makes the gradient of the input; of one that moves by more
    than 1 it is none, and its stride says so."""
    return [
        Axis(
            axis.windows, axis.window, axis.stride, axis.dilation, axis.window - 1 - axis.before,
            axis.window - 1 - axis.after, axis.length,
        )
        for axis in axes
    ]  # fmt: skip


def pays(axes: Sequence[Axis], channels: int, filters: int) -> bool:
    """Whether it computes the convolution, faster than the direct product does.

    Args:
        channels, filters: Of a group.
    """
    if not _fits(axes) or channels > MOST_CHANNELS:
        return False
    windows = prod(axis.windows for axis in axes)
    products = channels * n_blocks(filters)
    transforms = _INPUT * n_blocks(channels) + _OUTPUT * n_blocks(filters)
    direct = windows * _WINDOW**2 * products
    kernel = _KERNEL * products / _PICTURES
    return _points(axes) * products + _count(axes) * transforms + kernel < direct


def pays_for_weights(axes: Sequence[Axis], channels: int, filters: int) -> bool:
    """Whether it computes the gradient of the convolution's weights, faster than the direct
    products do, which leave out what is outside the picture.

    Args:
        channels, filters: Of a group.
    """
    if not _fits(axes):
        return False
    inside = int(np.count_nonzero(window_table(tuple(axes)) != OUTSIDE))
    channel_blocks, filter_blocks = n_blocks(channels), n_blocks(filters)
    products = channels * filter_blocks
    along_channels, along_filters = tasks_of_weights(channels, filters)
    transforms = (
        _STRIP_INPUT * channel_blocks * along_filters
        + _STRIP_GRADIENT * filter_blocks * along_channels
        + _STRIP_TILE * along_channels * along_filters
    )
    sums = _SUMS * products / _PICTURES
    return _points(axes) * products + _count(axes) * transforms + sums < inside * products


def tasks_of_weights(channels: int, filters: int) -> tuple[int, int]:
    """In how many parts the team shares channels and filters of a gradient of weights."""
    return -(-n_blocks(channels) // TASK_CHANNELS), -(-n_blocks(filters) // TASK_FILTERS)


def _fits(axes: Sequence[Axis]) -> bool:
    return len(axes) == 2 and all(
        (axis.window, axis.stride, axis.dilation) == (_WINDOW, 1, 1) for axis in axes
    )


def _count(axes: Sequence[Axis]) -> int:
    """Tiles of a picture."""
    return prod(-(-axis.windows // _TILE) for axis in axes)


def _points(axes: Sequence[Axis]) -> int:
    """Points that its tiles need: of an odd number of windows, the last tile needs one less."""
    return prod(2 * axis.windows + axis.windows % 2 for axis in axes)
