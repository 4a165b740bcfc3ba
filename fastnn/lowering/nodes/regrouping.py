"""The numbers of each row in other lines."""

from __future__ import annotations

from dataclasses import dataclass

from fastnn.lowering.builder import Builder, Gradient
from fastnn.lowering.graph import Node, Value
from fastnn.lowering.pixels import deliver_blocks
from fastnn.lowering.program import Buffer


@dataclass(eq=False)
class RegroupNode(Node):
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
        dx, accumulate = builder.contribution(self.inputs[0])
        _regroup(builder, self.output, dy.buffer, self.inputs[0], dx, accumulate)


def _regroup(
    builder: Builder, x: Value, source: Buffer, y: Value, to: Buffer, accumulate: bool = False
) -> None:
    builder.emit(
        "regroup", x=source, y=to, features_of_x=x.features, features_of_y=y.features,
        numbers=x.positions * x.features, accumulate=accumulate,
    )  # fmt: skip
