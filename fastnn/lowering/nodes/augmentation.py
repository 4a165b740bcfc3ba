"""Pictures that are changed at random, each by itself; what is left of it in inference."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from fastnn.kernels.augmentation import FILLS, TINTS, WARPS, WINDOWS
from fastnn.lowering import pixels
from fastnn.lowering.builder import Builder, Gradient
from fastnn.lowering.nodes.base import LoweredNode
from fastnn.lowering.nodes.noise import NoiseNode
from fastnn.lowering.program import Buffer, Buffers
from fastnn.lowering.randomness import Stream


@dataclass(eq=False)
class PictureNode(LoweredNode):
    """Something done to whole pictures, then times ``scale`` plus ``offset``.

    picture: (height, width, channels) of the input.
    """

    picture: tuple[int, int, int]
    scale: float = field(default=1.0, init=False)
    offset: float = field(default=0.0, init=False)

    @property
    def reads_pixels(self) -> bool:
        return True

    def forward(self, builder: Builder) -> None:
        value = self.inputs[0]
        if builder.training and value in builder.needs_gradient:
            raise ValueError(
                f"layer {self.name!r} changes pictures at random, which has no gradient here, but "
                "there are weights that train before it; it must stand before all of them"
            )
        x, row_of_x = pixels.of_value(builder, value)
        y, row = pixels.room(builder, self.output)
        height, width, channels = self.picture
        self.emit(
            builder, x=x, y=y, height=height, width=width, channels=channels, row_of_x=row_of_x,
            row=row, scale=self.scale, offset=self.offset,
        )  # fmt: skip
        pixels.deliver(builder, self.output, y, row)

    @abstractmethod
    def emit(self, builder: Builder, **operands: Buffer | float | None) -> None:
        """Add the op, which has these operands and others."""

    def backward(self, builder: Builder, dy: Gradient) -> None:
        """Nothing: what it reads needs no gradient."""


@dataclass(frozen=True)
class Move:
    """A flip, or a window; all pixels stay whole.

    kind: One of ``fastnn.kernels.augmentation.FLIPS`` or ``WINDOWS``.
    before, after: (height, width).
    """

    kind: int
    stream: Stream
    before: tuple[int, int]
    after: tuple[int, int]


def table_of_moves(name: str, moves: Sequence[Move]) -> Buffer | None:
    """As the kernel reads them; nothing, if there are none."""
    if not moves:
        return None
    rows = [(m.kind, m.stream.seed, m.stream.number, *m.before, *m.after) for m in moves]
    return Buffers.of_array(f"{name}/moves", np.array(rows, np.int64))


@dataclass(eq=False)
class CropNode(PictureNode):
    """Windows and flips, one after another."""

    moves: list[Move]

    def in_the_middle(self) -> None:
        """Nothing of it is random any more."""
        self.moves = [replace(move, kind=WINDOWS["middle"]) for move in self.moves]

    def emit(self, builder: Builder, **operands: Buffer | float | None) -> None:
        builder.emit(
            "move_pixels", moves=table_of_moves(self.name, self.moves), count=len(self.moves),
            **operands,
        )  # fmt: skip


@dataclass(eq=False)
class FlipNode(CropNode, NoiseNode):
    """Flips alone, which aren't there in inference."""


@dataclass(eq=False)
class WarpNode(PictureNode, NoiseNode):
    """Pixels read at other places, or between.

    warp: One of ``fastnn.kernels.augmentation.WARPS``.
    ranges: The lowest and highest of each number that is drawn.
    """

    warp: str
    stream: Stream
    ranges: Sequence[tuple[float, float]]
    fill_mode: str
    fill_value: float
    bilinear: bool

    def emit(self, builder: Builder, **operands: Buffer | float | None) -> None:
        ends = {
            f"{end}_{number}": value
            for number, pair in enumerate(self.ranges)
            for end, value in zip(("low", "high"), pair, strict=True)
        }
        builder.emit(
            "warp", kind=WARPS[self.warp], fill=FILLS[self.fill_mode], bilinear=self.bilinear,
            fill_value=self.fill_value, **ends, **self.stream.settings(), **operands,
        )  # fmt: skip


@dataclass(eq=False)
class TintNode(PictureNode, NoiseNode):
    """Other values at the same places.

    tint: One of ``fastnn.kernels.augmentation.TINTS``.
    range: The lowest and highest number that is drawn.
    value_range: The lowest and highest pixel of the result.
    """

    tint: str
    stream: Stream
    range: tuple[float, float]
    value_range: tuple[float, float]

    def emit(self, builder: Builder, **operands: Buffer | float | None) -> None:
        (low, high), (lowest, highest) = self.range, self.value_range
        builder.emit(
            "tint", kind=TINTS[self.tint], low=low, high=high, lowest=lowest, highest=highest,
            **self.stream.settings(), **operands,
        )  # fmt: skip
