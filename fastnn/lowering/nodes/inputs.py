"""The batch's rows of a data set."""

from __future__ import annotations

from dataclasses import dataclass

from fastnn.kernels.codes import CHUNK
from fastnn.kernels.layout import BLOCK, n_blocks
from fastnn.lowering.builder import Builder, Gradient
from fastnn.lowering.graph import Node
from fastnn.lowering.nodes.convolution import ConvolutionNode
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
            row = 0
            if self._is_read_by_patches():
                features *= self.output.positions
                row = builder.pixels[self.output] = n_blocks(features) * BLOCK
                y = builder.values[self.output] = builder.buffers.pixels(
                    self.output.name, row, self.output.positions
                )
            else:
                y = builder.activation(self.output)
            builder.emit(
                "gather", y=y, features=features, source=self.source, scale=self.scale,
                offset=self.offset, row=row,
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

    def _is_read_by_patches(self) -> bool:
        readers = self.output.readers
        return (
            bool(readers)
            and not self.output.is_output
            and all(isinstance(r, ConvolutionNode) and r.reads_patches for r in readers)
        )

    def backward(self, builder: Builder, dy: Gradient) -> None:
        """Nothing: a data set has no gradient."""
