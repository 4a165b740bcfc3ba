"""From a model's layers to what is to be computed: values, and the few kinds of nodes that make
them.

Layers that only name shapes (Flatten, Reshape) leave no trace: a value is a matrix (rows,
features).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import singledispatch
from math import prod
from typing import Any

from fastnn import layers
from fastnn.activations import Activation
from fastnn.graph import SymbolicTensor
from fastnn.layers.activation import ActivationLayer
from fastnn.layers.base import Layer
from fastnn.variables import Variable


@dataclass(eq=False)
class Value:
    """(rows, features), made by ``maker``; ``readers`` are the nodes that read it."""

    name: str
    features: int
    maker: Node | None = None
    readers: list[Node] = field(default_factory=list)
    is_output: bool = False


@dataclass(eq=False)
class Node:
    """One computation. Subclasses say which."""

    name: str
    inputs: list[Value]
    output: Value

    def variables(self) -> list[Variable]:
        """The weights that it reads."""
        return []


@dataclass(eq=False)
class InputNode(Node):
    """Input number ``source``, times ``scale`` plus ``offset``."""

    source: int
    scale: float = 1.0
    offset: float = 0.0


@dataclass(eq=False)
class DenseNode(Node):
    """f(x W + b)"""

    kernel: Variable
    bias: Variable | None
    activation: Activation

    def variables(self) -> list[Variable]:
        return [self.kernel] if self.bias is None else [self.kernel, self.bias]


@dataclass(eq=False)
class ActivationNode(Node):
    """f(x), element by element"""

    activation: Activation


@dataclass(eq=False)
class SoftmaxNode(Node):
    """softmax(x) over the features"""


@dataclass(eq=False)
class AffineNode(Node):
    """scale * x + offset"""

    scale: float
    offset: float


@dataclass(eq=False)
class AddNode(Node):
    """The sum of the inputs."""


@dataclass(eq=False)
class ConcatenateNode(Node):
    """The inputs side by side."""


@dataclass
class Trace:
    """Nodes in an order in which each comes after those it reads, and the model's outputs."""

    nodes: list[Node] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)

    def add(
        self,
        kind: Callable[..., Node],
        layer: Layer,
        inputs: list[Value],
        features: int,
        **settings: Any,
    ) -> Value:
        output = Value(layer.name, features)
        node = kind(layer.name, inputs, output, **settings)
        output.maker = node
        for value in inputs:
            value.readers.append(node)
        self.nodes.append(node)
        return output

    def remove(self, node: Node) -> None:
        """Take out a node whose output nobody reads any more."""
        self.nodes.remove(node)
        for value in node.inputs:
            value.readers.remove(node)


def trace(inputs: list[SymbolicTensor], outputs: list[SymbolicTensor], nodes: list[Any]) -> Trace:
    """The trace of a model's graph."""
    result = Trace()
    values: dict[SymbolicTensor, Value] = {}
    for source, tensor in enumerate(inputs):
        features = prod(tensor.shape[1:])  # type: ignore[arg-type]
        values[tensor] = result.add(InputNode, tensor.node.layer, [], features, source=source)
    for node in nodes:
        arguments = [values[tensor] for tensor in node.inputs]
        values[node.output] = lower_layer(
            node.layer, result, arguments, prod(node.output.shape[1:])
        )
    for tensor in outputs:
        values[tensor].is_output = True
        result.outputs.append(values[tensor])
    return result


@singledispatch
def lower_layer(layer: Layer, trace: Trace, inputs: list[Value], features: int) -> Value:
    """Add the layer's nodes to the trace; one rule a layer class."""
    raise TypeError(f"layer {layer.name!r}: no lowering for {type(layer).__name__}")


@lower_layer.register(layers.Flatten)
@lower_layer.register(layers.Reshape)
def _(layer: Layer, trace: Trace, inputs: list[Value], features: int) -> Value:
    return inputs[0]


@lower_layer.register
def _(layer: layers.Dense, trace: Trace, inputs: list[Value], features: int) -> Value:
    value = trace.add(
        DenseNode, layer, inputs, features,
        kernel=layer.kernel, bias=layer.bias, activation=Activation("linear"),
    )  # fmt: skip
    return _activate(layer, trace, value, layer.activation)


@lower_layer.register
def _(layer: ActivationLayer, trace: Trace, inputs: list[Value], features: int) -> Value:
    return _activate(layer, trace, inputs[0], layer.activation)


@lower_layer.register
def _(layer: layers.Rescaling, trace: Trace, inputs: list[Value], features: int) -> Value:
    return trace.add(AffineNode, layer, inputs, features, scale=layer.scale, offset=layer.offset)


@lower_layer.register
def _(layer: layers.Add, trace: Trace, inputs: list[Value], features: int) -> Value:
    return trace.add(AddNode, layer, inputs, features)


@lower_layer.register
def _(layer: layers.Concatenate, trace: Trace, inputs: list[Value], features: int) -> Value:
    return trace.add(ConcatenateNode, layer, inputs, features)


def _activate(layer: Layer, trace: Trace, value: Value, activation: Activation) -> Value:
    if activation.kind == "linear":
        return value
    if activation.kind == "softmax":
        return trace.add(SoftmaxNode, layer, [value], value.features)
    return trace.add(ActivationNode, layer, [value], value.features, activation=activation)
