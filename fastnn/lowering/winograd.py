"""Which convolutions Winograd's F(2x2, 3x3) computes, and the tables that its kernels read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from fastnn.kernels.layout import n_blocks
from fastnn.kernels.winograd import MOST_CHANNELS
from fastnn.layers.geometry import Axis
from fastnn.lowering.windows import Table, window_table

_WINDOW, _TILE = 3, 2
POINTS = (_TILE + _WINDOW - 1) ** 2
"""Numbers of a tile's input, and of a transformed kernel for each weight matrix of a tap."""

# What a line of 16 numbers costs with its transforms, in multiply-adds of a line: of the input of
# a tile, of its output, and of the kernel. Measured with AVX-512: see bench/convolutions.py.
_INPUT, _OUTPUT, _KERNEL = 120, 80, 80

# Pictures that a transformed kernel is made for, at the least: bits of a result must not depend on
# their number. Of one alone, the smallest that are chosen (4 x 4) take as long as directly.
_PICTURES = 4


@dataclass(frozen=True)
class Tiles:
    """Tables of the kernels.

    Attributes:
        inputs: (tiles, 16): the positions that a tile reads.
        outputs: (tiles, 4): the windows that it makes.
        across: Tiles beside each other.
        width: Windows beside each other.
    """

    inputs: Table
    outputs: Table
    across: int
    width: int

    def settings(self) -> dict[str, int]:
        """Integers of the ops."""
        return {"tiles_of_row": len(self.inputs), "across": self.across, "width": self.width}


def tiles(axes: Sequence[Axis]) -> Tiles:
    """For a convolution over these axes."""
    reads, makes = [], []
    for axis in axes:
        count = -(-axis.windows // _TILE)
        window = _TILE + _WINDOW - 1
        reads.append(Axis(axis.length, window, _TILE, 1, axis.before, axis.after, count))
        makes.append(Axis(axis.windows, _TILE, _TILE, 1, 0, 0, count))
    return Tiles(
        window_table(tuple(reads)), window_table(tuple(makes)), makes[-1].windows, axes[-1].windows
    )


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
    fits = len(axes) == 2 and all(
        (axis.window, axis.stride, axis.dilation) == (_WINDOW, 1, 1) for axis in axes
    )
    if not fits or channels > MOST_CHANNELS:
        return False
    windows = prod(axis.windows for axis in axes)
    count = prod(-(-axis.windows // _TILE) for axis in axes)
    products = channels * n_blocks(filters)
    transforms = _INPUT * n_blocks(channels) + _OUTPUT * n_blocks(filters)
    direct = windows * _WINDOW**2 * products
    kernel = _KERNEL * products / _PICTURES
    return count * (POINTS * products + transforms) + kernel < direct
