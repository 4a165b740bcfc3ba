"""Nodes that treat each number, or each row, by itself."""

from __future__ import annotations

from dataclasses import dataclass

from fastnn.activations import Activation
from fastnn.kernels.codes import ACTIVATIONS
from fastnn.lowering.builder import Builder, Gradient
from fastnn.lowering.nodes.base import LoweredNode
from fastnn.lowering.program import Buffer
from fastnn.variables import Variable


@dataclass(eq=False)
class ActivationNode(LoweredNode):
    """f(x), element by element"""

    activation: Activation

    def forward(self, builder: Builder) -> None:
        builder.emit(
            "activation_forward", z=builder.values[self.inputs[0]],
            y=builder.activation(self.output), features=self.output.features,
            kind=ACTIVATIONS[self.activation.kind], **activation_params(self.activation),
        )  # fmt: skip

    def backward(self, builder: Builder, dy: Gradient) -> None:
        x = self.inputs[0]
        dx, accumulate = builder.contribution(x)
        builder.emit(
            "activation_backward", z=builder.values[x], y=builder.values[self.output],
            dy=dy.buffer, dz=dx, features=self.output.features,
            kind=ACTIVATIONS[self.activation.kind], accumulate=accumulate,
            **activation_params(self.activation),
        )  # fmt: skip


@dataclass(eq=False)
class SoftmaxNode(LoweredNode):
    """softmax(x) over the features"""

    def forward(self, builder: Builder) -> None:
        z = builder.values[self.inputs[0]]
        y = builder.activation(self.output)
        builder.emit("softmax_forward", z=z, y=y, features=self.output.features)

    def backward(self, builder: Builder, dy: Gradient) -> None:
        dx, accumulate = builder.contribution(self.inputs[0])
        builder.emit(
            "softmax_backward", y=builder.values[self.output], dy=dy.buffer, dz=dx,
            features=self.output.features, accumulate=accumulate,
        )  # fmt: skip


@dataclass(eq=False)
class AffineNode(LoweredNode):
    """scale * x + offset"""

    scale: float
    offset: float

    def forward(self, builder: Builder) -> None:
        x = builder.values[self.inputs[0]]
        y = builder.activation(self.output)
        builder.affine(x, y, self.output.features, self.scale, self.offset)

    def backward(self, builder: Builder, dy: Gradient) -> None:
        dx, accumulate = builder.contribution(self.inputs[0])
        builder.affine(dy.buffer, dx, self.output.features, scale=self.scale, accumulate=accumulate)


@dataclass(eq=False)
class StandardizeNode(LoweredNode):
    """(x - mean) / sqrt(variance), or back: x sqrt(variance) + mean

    one_for_all: All features have the first mean and variance.
    epsilon: The smallest root of a variance.
    """

    mean: Variable
    variance: Variable
    invert: bool
    one_for_all: bool
    epsilon: float

    def forward(self, builder: Builder) -> None:
        x, y = builder.values[self.inputs[0]], builder.activation(self.output)
        self._emit(builder, x, y, mean=builder.weight(self.mean))

    def backward(self, builder: Builder, dy: Gradient) -> None:
        dx, accumulate = builder.contribution(self.inputs[0])
        self._emit(builder, dy.buffer, dx, accumulate=accumulate)

    def _emit(
        self, builder: Builder, x: Buffer, y: Buffer, **operands: Buffer | float | None
    ) -> None:
        builder.emit(
            "standardize", x=x, y=y, variance=builder.weight(self.variance), invert=self.invert,
            one_for_all=self.one_for_all, epsilon=self.epsilon, features=self.output.features,
            **operands,
        )  # fmt: skip


def activation_params(activation: Activation) -> dict[str, float]:
    """An activation's numbers as an op's settings."""
    return {f"param_{i}": value for i, value in enumerate(activation.params)}
