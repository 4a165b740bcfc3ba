"""Nodes that end in an activation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from fastnn.activations import Activation
from fastnn.kernels.codes import ACTIVATIONS, READS_INPUT
from fastnn.lowering.builder import Builder, Gradient
from fastnn.lowering.nodes.base import LoweredNode
from fastnn.lowering.nodes.elementwise import activation_params
from fastnn.lowering.program import Buffer
from fastnn.lowering.randomness import Mask
from fastnn.lowering.values import Node


@dataclass(eq=False)
class ActivatedNode(LoweredNode):
    """f(z), where a subclass makes z.

    A reader that makes the whole gradient of the output may take it through f at once:
    ``Gradient.through``.
    """

    can_drop: ClassVar[bool] = True
    """Whether a Dropout after a rectifier may be part of it."""

    activation: Activation
    z: Buffer | None = field(default=None, init=False)
    """Where z lies, if the activation's derivative reads it."""
    mask: Mask | None = field(default=None, init=False)
    """What a Dropout drops that follows a scaled rectifier."""

    def drops(self) -> dict[str, int]:
        """Integers of the op that computes f."""
        return self.mask.settings(self.output.positions) if self.mask is not None else {}

    def room_for_z(self, builder: Builder) -> Buffer | None:
        """Set ``z``, if it is to be kept."""
        if builder.training and self.activation.kind in READS_INPUT:
            self.z = builder.buffers.of_value(f"{self.output.name}/z", self.output)
        return self.z

    def gradient_of_z(self, builder: Builder, dy: Gradient) -> Buffer:
        """Add the op that makes d(loss) / d(z), unless dy is that already."""
        if self.activation.kind == "linear" or dy.through:
            return dy.buffer
        output = self.output
        dz = builder.buffers.of_value(f"d_{output.name}/z", output)
        builder.emit(
            "activation_backward", z=self.z, y=builder.values[output], dy=dy.buffer, dz=dz,
            features=output.features, kind=ACTIVATIONS[self.activation.kind],
            **activation_params(self.activation),
        )  # fmt: skip
        return dz


def take_through(
    builder: Builder, node: Node, accumulate: bool
) -> tuple[Activation, Buffer | None]:
    """The activation that made the input of ``node``, and where its z lies, if the node makes the
    whole gradient of the input: it passes the activation at once. Else "linear"."""
    x = node.inputs[0]
    maker = x.maker
    whole = x.readers == [node] and not (x.is_output or accumulate)
    if not (isinstance(maker, ActivatedNode) and whole):
        return Activation("linear"), None
    builder.gradients[x].through = True
    return maker.activation, maker.z
