"""What every kind of node can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from fastnn.lowering.builder import Builder, Gradient
from fastnn.lowering.values import Node


@dataclass(eq=False)
class LoweredNode(Node, ABC):
    """A computation that becomes ops: a subclass says which."""

    @abstractmethod
    def forward(self, builder: Builder) -> None:
        """Add the ops that make ``builder.values[self.output]``."""

    @abstractmethod
    def backward(self, builder: Builder, dy: Gradient) -> None:
        """Add the ops that make the gradients of the inputs that need one, and of the weights.

        Args:
            dy: d(loss) / d(output), whole: all who contribute to it have been here.
        """


def lowered(node: Node) -> LoweredNode:
    """A node of a trace, which has no others."""
    assert isinstance(node, LoweredNode)
    return node
