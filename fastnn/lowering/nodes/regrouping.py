"""The numbers of each row in other lines, or in another order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastnn.kernels.layout import BLOCK
from fastnn.lowering.builder import Builder, Gradient
from fastnn.lowering.nodes.base import LoweredNode
from fastnn.lowering.pixels import deliver_blocks
from fastnn.lowering.program import Buffer, Buffers
from fastnn.lowering.values import Value


class ArrangingNode(LoweredNode):
    """The input's numbers, elsewhere."""


@dataclass(eq=False)
class RegroupNode(ArrangingNode):
    """The input's numbers in the same order, in lines of another length."""

    @property
    def reads_pixels(self) -> bool:
        return True

    def forward(self, builder: Builder) -> None:
        x, y = self.inputs[0], self.output
        if x in builder.pixels:
            deliver_blocks(builder, y, builder.values[x], builder.pixels[x])
        else:
            _regroup(builder, x, builder.values[x], y, builder.activation(y))

    def backward(self, builder: Builder, dy: Gradient) -> None:
        x = self.inputs[0]
        dx, accumulate = builder.contribution(x)
        _regroup(builder, self.output, dy.buffer, x, dx, accumulate)


@dataclass(eq=False)
class PermuteNode(ArrangingNode):
    """The input's numbers in another order.

    sources: For each number of a row the place where the input has it, both counted in C order.
    """

    sources: NDArray[np.int64]

    def forward(self, builder: Builder) -> None:
        x, y = self.inputs[0], self.output
        _permute(builder, self.sources, x, builder.values[x], y, builder.activation(y))

    def backward(self, builder: Builder, dy: Gradient) -> None:
        x, back = self.inputs[0], np.argsort(self.sources)
        dx, accumulate = builder.contribution(x)
        _permute(builder, back, self.output, dy.buffer, x, dx, accumulate)


def _regroup(
    builder: Builder, x: Value, source: Buffer, y: Value, to: Buffer, accumulate: bool = False
) -> None:
    builder.emit(
        "regroup", x=source, y=to, features_of_x=x.features, features_of_y=y.features,
        numbers=x.positions * x.features, accumulate=accumulate,
    )  # fmt: skip


def _permute(
    builder: Builder, sources: NDArray[np.int64], x: Value, source: Buffer, y: Value, to: Buffer,
    accumulate: bool = False,
) -> None:  # fmt: skip
    line, feature = np.divmod(sources, x.features)
    block, lane = np.divmod(feature, BLOCK)
    places = (block * source.stride + line * BLOCK + lane).astype(np.int64)
    builder.emit(
        "permute", x=source, places=Buffers.of_array("places", places), y=to,
        features_of_y=y.features, lines=y.positions, accumulate=accumulate,
    )  # fmt: skip
