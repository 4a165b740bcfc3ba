"""f(x W + b)"""

from __future__ import annotations

from dataclasses import dataclass

from fastnn.kernels.codes import ACTIVATIONS, CHUNK
from fastnn.kernels.dense import PANEL, PANEL_SPARSE
from fastnn.kernels.layout import BLOCK
from fastnn.lowering.builder import Builder, Gradient
from fastnn.lowering.emitter import Emitter
from fastnn.lowering.gradients import product_norms
from fastnn.lowering.gradients.product import WeightProduct
from fastnn.lowering.nodes.activated import ActivatedNode, take_through
from fastnn.lowering.nodes.elementwise import activation_params
from fastnn.lowering.program import Buffer, Operands
from fastnn.lowering.values import Node
from fastnn.variables import Variable


@dataclass(eq=False)
class DenseProduct(WeightProduct):
    """x' dz"""

    dropped: Buffer | None = None
    """The kernel with what was dropped in the forward pass, if that is so."""
    scale: float = 1.0
    """The factor of what was not dropped."""

    @property
    def is_of_factors(self) -> bool:
        return self.dropped is None and self.dz.positions == 1

    @property
    def segments(self) -> int:
        return self.x.positions // self.dz.positions

    def tiles(self, emitter: Emitter, role: str) -> int:
        blocks: int = self.kernel.storage.shape[0]
        panel: int = PANEL_SPARSE if self.x in emitter.nonzeros else PANEL
        return blocks * (-(-self.kernel.shape[0] // panel) if role == "kernel" else 1)

    def hand_over(self, emitter: Emitter, operands: Operands) -> None:
        operands = {
            **operands,
            "inputs": self.kernel.shape[0],
            "units": self.kernel.shape[1],
            "kernel_block": self.kernel.storage.shape[1] * BLOCK,
            "dz": self.dz,
            "dropped": self.dropped,
            "kept_scale": self.scale,
        }
        if self.x in emitter.nonzeros:
            source, (column_start, row, value) = emitter.nonzeros[self.x]
            emitter.emit(
                "dense_backward_weights_sparse", column_start=column_start, row=row, value=value,
                capacity=min(CHUNK, emitter.capacity) * emitter.sparse[source], **operands,
            )  # fmt: skip
        else:
            emitter.emit(
                "dense_backward_weights", x=emitter.values[self.x], segments=self.segments,
                **operands,
            )  # fmt: skip


@dataclass(eq=False)
class DenseNode(ActivatedNode):
    """f(x W + b)

    A row of x may be several lines, its segments: the positions of a picture that Flatten took.
    """

    kernel: Variable
    bias: Variable | None

    def variables(self) -> list[Variable]:
        return [self.kernel] if self.bias is None else [self.kernel, self.bias]

    @property
    def segments(self) -> int:
        """Lines of x that are one row."""
        return self.inputs[0].positions // self.output.positions

    def forward(self, builder: Builder) -> None:
        y = builder.activation(self.output)
        operands = dict(
            kernel=self.factor(builder), bias=builder.weight(self.bias), y=y,
            z=self.room_for_z(builder), **self.product_settings(builder),
            activation=ACTIVATIONS[self.activation.kind], **activation_params(self.activation),
            **self.drops(),
        )  # fmt: skip
        x = self.inputs[0]
        if x in builder.nonzeros:
            builder.emit("dense_forward_sparse", source=builder.nonzeros[x][0], **operands)
        else:
            builder.emit("dense_forward", x=builder.values[x], segments=self.segments, **operands)

    def backward(self, builder: Builder, dy: Gradient) -> None:
        x = self.inputs[0]
        dz = self.gradient_of_z(builder, dy)
        if x in builder.needs_gradient:
            self._backward_input(builder, dz)
        if self.kernel.trainable:
            builder.weight_gradients.add(self.weight_product(dz))

    def _backward_input(self, builder: Builder, dz: Buffer) -> None:
        x, features = self.inputs[0], self.output.features
        dz_t = builder.transposed.get(dz)
        if dz_t is None:
            dz_t = builder.buffers.transposed(f"d_{self.output.name}/transposed", self.output)
            builder.emit("transpose", x=dz, y=dz_t, features=features)
            builder.transposed[dz] = dz_t
        dx, accumulate = builder.contribution(x)
        through, x_z = take_through(builder, self, accumulate)
        magnitudes, proof = None, builder.weight_gradients.proof
        if proof is not None and not accumulate:
            panels = -(-self.kernel.shape[0] // PANEL)
            magnitudes = proof.room(dx, x.positions, panels, self.segments)
        builder.emit(
            "dense_backward_input", dz_t=dz_t, kernel=self.factor(builder), dx=dx, x_z=x_z,
            x=builder.values[x] if through.kind != "linear" else None,
            dx_t=room_for_turned(builder, self, dx)
            if builder.gradients[x].through and self.segments == 1
            else None,
            **self.product_settings(builder), segments=self.segments,
            activation=ACTIVATIONS[through.kind], accumulate=accumulate, magnitudes=magnitudes,
            units_of_rows=proof.stride(dx) if proof and magnitudes else 0,
            **activation_params(through),
        )  # fmt: skip

    def factor(self, builder: Builder) -> Buffer | None:
        """What x is multiplied by."""
        return builder.weight(self.kernel)

    def weight_product(self, dz: Buffer) -> DenseProduct:
        """The gradient of the weights."""
        return DenseProduct(self.kernel, self.bias, self.inputs[0], dz)

    def product_settings(self, builder: Builder) -> dict[str, int]:
        """Integers of the ops of products."""
        units, lines = self.output.features, builder.capacity * self.output.positions
        return {
            "inputs": self.kernel.shape[0],
            "units": units,
            "kernel_block": self.kernel.storage.shape[1] * BLOCK,
            # One block of columns is too little to share: the team shares the rows, and goes on to
            # the loss without waiting.
            "by_rows": int(units <= BLOCK and lines >= 2 * BLOCK),
        }


def room_for_turned(builder: Builder, node: Node, dz: Buffer) -> Buffer | None:
    """Where a node whose input a Dense layer makes writes that layer's ``dz`` once more, in blocks
    of rows: for its input's gradient, or for a norm. None if nobody will read it."""
    x = node.inputs[0]
    maker = x.maker
    if not (isinstance(maker, DenseNode) and builder.trace.only_for(x, node)):
        return None
    below = maker.inputs[0]
    pays = x.positions == 1 and product_norms.pay(builder, maker.kernel)
    if not (below in builder.needs_gradient or pays):
        return None
    builder.transposed[dz] = builder.buffers.transposed(f"d_{x.name}/transposed", x)
    return builder.transposed[dz]
