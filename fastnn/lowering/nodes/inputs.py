"""The batch's rows of a data set."""

from __future__ import annotations

from dataclasses import dataclass, field

from fastnn.kernels.codes import CHUNK
from fastnn.lowering.builder import Builder, Gradient
from fastnn.lowering.nodes.augmentation import Move, table_of_moves
from fastnn.lowering.nodes.base import LoweredNode
from fastnn.lowering.pixels import deliver, is_read_as_pixels, room
from fastnn.lowering.program import Buffer, Buffers


@dataclass(eq=False)
class InputNode(LoweredNode):
    """Input number ``source``, times ``scale`` plus ``offset``.

    moves: How the pictures that it holds are moved.
    picture: (height, width, channels) before the moves.
    """

    source: int
    scale: float = 1.0
    offset: float = 0.0
    moves: list[Move] = field(default_factory=list)
    picture: tuple[int, int, int] = (0, 0, 0)

    def forward(self, builder: Builder) -> None:
        value = self.output
        if value.readers and not value.is_output and all(r.reads_source for r in value.readers):
            return
        if self.moves or (self.source not in builder.sparse and is_read_as_pixels(value)):
            self._gather_pixels(builder)
        elif self.source not in builder.sparse:
            builder.emit(
                "gather", y=builder.activation(value), features=value.features, source=self.source,
                scale=self.scale, offset=self.offset,
            )  # fmt: skip
        else:
            self._collect_nonzeros(builder)

    def _gather_pixels(self, builder: Builder) -> None:
        y, row = room(builder, self.output)
        numbers = self.output.positions * self.output.features
        height, width, channels = self.picture if self.moves else (1, 1, numbers)
        builder.emit(
            "gather_pixels", moves=table_of_moves(self.name, self.moves), y=y, source=self.source,
            height=height, width=width, channels=channels, count=len(self.moves), row=row,
            scale=self.scale, offset=self.offset,
        )  # fmt: skip
        deliver(builder, self.output, y, row)

    def _collect_nonzeros(self, builder: Builder) -> None:
        features = self.output.features
        columns: list[Buffer] = []
        if builder.training:
            room = min(CHUNK, builder.capacity) * builder.sparse[self.source]
            chunks = -(-builder.capacity // CHUNK)
            columns = [
                Buffers.raw(f"{self.name}/column_start", 4 * chunks * (features + 1), "i4"),
                Buffers.raw(f"{self.name}/row", 2 * chunks * room, "u2"),
                Buffers.raw(f"{self.name}/value", 4 * chunks * room),
            ]
            builder.emit(
                "sparse_columns", column_start=columns[0], row=columns[1], value=columns[2],
                columns=features, source=self.source, capacity=room,
            )  # fmt: skip
        builder.nonzeros[self.output] = (self.source, columns)

    def backward(self, builder: Builder, dy: Gradient) -> None:
        """Nothing: a data set has no gradient."""
