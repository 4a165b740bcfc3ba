"""The batch's rows of a data set."""

from __future__ import annotations

from dataclasses import dataclass

from fastnn.kernels.codes import CHUNK
from fastnn.lowering.builder import Builder, Gradient
from fastnn.lowering.graph import Node
from fastnn.lowering.program import Buffer, Buffers


@dataclass(eq=False)
class InputNode(Node):
    """Input number ``source``, times ``scale`` plus ``offset``."""

    source: int
    scale: float = 1.0
    offset: float = 0.0

    def forward(self, builder: Builder) -> None:
        features = self.output.features
        if self.source not in builder.sparse:
            builder.emit(
                "gather", y=builder.activation(self.output), features=features,
                source=self.source, scale=self.scale, offset=self.offset,
            )  # fmt: skip
            return
        columns: list[Buffer] = []
        if builder.training:
            room = min(CHUNK, builder.capacity) * builder.sparse[self.source]
            chunks = -(-builder.capacity // CHUNK)
            columns = [
                Buffers.raw(f"{self.name}/column_start", 4 * chunks * (features + 1)),
                Buffers.raw(f"{self.name}/row", 2 * chunks * room),
                Buffers.raw(f"{self.name}/value", 4 * chunks * room),
            ]
            builder.emit(
                "sparse_columns", column_start=columns[0], row=columns[1], value=columns[2],
                columns=features, source=self.source, capacity=room,
            )  # fmt: skip
        builder.nonzeros[self.output] = (self.source, columns)

    def backward(self, builder: Builder, dy: Gradient) -> None:
        """Nothing: a data set has no gradient."""
