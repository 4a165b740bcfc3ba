"""What lowering works on: values, and the nodes that make them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fastnn.layers.base import Layer
from fastnn.lowering.randomness import Stream
from fastnn.variables import Variable


class Extent(NamedTuple):
    """How many lines of how many numbers a row of the batch has."""

    positions: int
    features: int


@dataclass(eq=False)
class Value:
    """(rows, positions, features), made by ``maker``; ``readers`` are the nodes that read it.

    positions: H * W of a picture, whose features are its channels; 1 of all that is a matrix.
    penalty: l1 and l2 of what is added to the loss for its size.
    """

    name: str
    features: int
    positions: int = 1
    maker: Node | None = None
    readers: list[Node] = field(default_factory=list)
    is_output: bool = False
    penalty: tuple[float, float] | None = None

    @property
    def extent(self) -> Extent:
        return Extent(self.positions, self.features)


@dataclass(eq=False)
class Node:
    """One computation. ``nodes/base.py`` says how such become ops."""

    name: str
    inputs: list[Value]
    output: Value

    def variables(self) -> list[Variable]:
        """The weights that it reads."""
        return []

    @property
    def reads_pixels(self) -> bool:
        """Whether its inputs may lie as an array's numbers do: ``fastnn/lowering/pixels.py``."""
        return False

    @property
    def reads_source(self) -> bool:
        """Whether it reads its input where the data set has it, and no other value."""
        return False


@dataclass
class Trace:
    """Nodes in an order in which each comes after those it reads, and the model's outputs."""

    nodes: list[Node] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)
    streams: int = 0
    """How many streams of random numbers are in use."""

    def add(
        self,
        kind: Callable[..., Node],
        named: Layer | Node,
        inputs: list[Value],
        extent: Extent,
        **settings: Any,
    ) -> Value:
        """A node for the layer, or one that goes with another node; returns its output."""
        output = Value(named.name, extent.features, extent.positions)
        node = kind(named.name, inputs, output, **settings)
        output.maker = node
        for value in inputs:
            value.readers.append(node)
        self.nodes.append(node)
        return output

    def only_for(self, value: Value, node: Node) -> bool:
        """Whether nothing but ``node`` looks at the value."""
        return value.readers == [node] and not value.is_output and value.penalty is None

    def stream(self, seed: int) -> Stream:
        """Random numbers for one more use."""
        self.streams += 1
        return Stream(seed, self.streams - 1)

    def bypass(self, node: Node) -> None:
        """Take out a node of one input: who reads its output reads its input."""
        x, y = node.inputs[0], node.output
        self.remove(node)
        for reader in dict.fromkeys(y.readers):
            reader.inputs = [x if value is y else value for value in reader.inputs]
        x.readers += y.readers
        x.is_output |= y.is_output
        self.outputs = [x if value is y else value for value in self.outputs]

    def replace(self, old: Node, new: Node) -> None:
        """``new``, which has the inputs of ``old``, stands in its place."""
        self.nodes[self.nodes.index(old)] = new
        for value in new.inputs:
            value.readers = [new if reader is old else reader for reader in value.readers]
        new.output.maker = new

    def remove(self, node: Node) -> None:
        """Take out a node whose output nobody reads any more."""
        self.nodes.remove(node)
        for value in node.inputs:
            value.readers.remove(node)
