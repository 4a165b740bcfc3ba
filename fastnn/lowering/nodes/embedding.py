"""Rows of a table, picked by integers."""

from __future__ import annotations

from dataclasses import dataclass, field

from fastnn.kernels.embedding import PANEL
from fastnn.kernels.layout import BLOCK
from fastnn.lowering.builder import Builder, Gradient
from fastnn.lowering.emitter import Emitter
from fastnn.lowering.gradients.product import WeightProduct
from fastnn.lowering.nodes.base import LoweredNode
from fastnn.lowering.nodes.inputs import InputNode
from fastnn.lowering.program import Buffer, Buffers, Operands
from fastnn.lowering.values import Value
from fastnn.variables import Variable


@dataclass(eq=False)
class EmbeddingGradient(WeightProduct):
    """Sums of dz over the lines of each index.

    sorted_lines: The batch's lines by index.
    touched: Rows of the table that the batch has not need no step.
    """

    sorted_lines: dict[str, Buffer]
    touched: bool

    @property
    def factor(self) -> Value | None:
        return None

    def tiles(self, emitter: Emitter, role: str) -> int:
        blocks: int = self.kernel.storage.shape[0]
        panels: int = -(-self.kernel.shape[0] // PANEL)
        return blocks * panels

    def hand_over(self, emitter: Emitter, operands: Operands) -> None:
        whole = operands.get("kernel_gradient") or operands.get("kernel_summaries")
        emitter.emit(
            "embedding_backward", dz=self.dz, **self.sorted_lines, inputs=self.kernel.shape[0],
            units=self.kernel.shape[1], kernel_block=self.kernel.storage.shape[1] * BLOCK,
            touched=self.touched and whole is None, **operands,
        )  # fmt: skip


@dataclass(eq=False)
class EmbeddingNode(LoweredNode):
    """embeddings[x]

    source: The input of the data set that x is.
    """

    embeddings: Variable
    source: int
    _sorted: dict[str, Buffer] = field(default_factory=dict, init=False)

    def variables(self) -> list[Variable]:
        return [self.embeddings]

    @property
    def reads_source(self) -> bool:
        return True

    def forward(self, builder: Builder) -> None:
        if builder.training and self.embeddings.trainable:
            self._sort(builder)
        builder.emit(
            "embedding_forward", kernel=builder.weight(self.embeddings), source=self.source,
            y=builder.activation(self.output), features=self.output.features,
            kernel_block=self.embeddings.storage.shape[1] * BLOCK,
        )  # fmt: skip

    def _sort(self, builder: Builder) -> None:
        positions = self.output.positions
        lines = builder.capacity * positions
        rooms = {
            name: Buffers.raw(f"{self.name}/{name}", 4 * (lines + 2), "i4")
            for name in ("lines", "indices", "starts", "more_lines", "more_indices")
        }
        builder.emit(
            "sort_indices", source=self.source, positions=positions,
            inputs=self.embeddings.shape[0], **rooms,
        )  # fmt: skip
        self._sorted = {name: rooms[name] for name in ("lines", "indices", "starts")}

    def backward(self, builder: Builder, dy: Gradient) -> None:
        if self.embeddings.trainable:
            assert builder.updates is not None
            gradient = EmbeddingGradient(
                self.embeddings, None, self.inputs[0], dy.buffer, self._sorted,
                builder.updates.rests(self.embeddings),
            )  # fmt: skip
            builder.weight_gradients.add(gradient)


def source_of(value: Value) -> int | None:
    """The input of the data set that a value is, if nothing was done to it."""
    maker = value.maker
    if isinstance(maker, InputNode) and maker.scale == 1 and maker.offset == 0 and not maker.moves:
        return maker.source
    return None
