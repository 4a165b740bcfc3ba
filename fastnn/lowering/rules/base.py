"""What a rule is that turns a layer into nodes, and what rules have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import numpy as np

from fastnn import layers
from fastnn.activations import Activation
from fastnn.layers.base import Layer
from fastnn.layers.convolution import Convolution
from fastnn.lowering.extents import Extents, alike, permuted, placed, with_extent
from fastnn.lowering.nodes import ActivationNode, SoftmaxNode
from fastnn.lowering.randomness import Mask, Stream
from fastnn.lowering.values import Extent, Node, Trace, Value


@dataclass(frozen=True)
class LayerUse:
    """A layer in its place among the others: what its rule goes by, and adds nodes to.

    Attributes:
        inputs: The values that the layer reads, as they lie.
        shapes: Shapes of the inputs in the graph, without the batch.
        shape: The output's shape, likewise.
    """

    trace: Trace
    layer: Layer
    inputs: list[Value]
    shapes: list[Extents]
    shape: Extents

    @property
    def extent(self) -> Extent:
        """The output's, with the last axis for the features."""
        return placed(self.shape)

    def add(
        self, kind: Callable[..., Node], inputs: list[Value], extent: Extent, **settings: Any
    ) -> Value:
        """The output of a new node."""
        return self.trace.add(kind, self.layer, inputs, extent, **settings)

    def stream(self, seed: int) -> Stream:
        """Random numbers of this use of a seed."""
        return self.trace.stream(seed)

    def mask(self, seed: int, rate: float) -> Mask:
        """What is dropped at this use of a seed."""
        return Mask(self.stream(seed), rate)

    def with_extent(self, value: Value, extent: Extent) -> Value:
        """The value in lines of this extent."""
        return with_extent(self.trace, self.layer, value, extent)

    def placed_input(self) -> Value:
        """The first input, with its last axis for the features."""
        return self.with_extent(self.inputs[0], placed(self.shapes[0]))

    def alike_inputs(self) -> list[Value]:
        """The inputs, which all have the shape of the output, with one extent."""
        return alike(self.trace, self.layer, self.inputs, self.shape)

    def permuted(self, value: Value, shape: Extents, order: Sequence[int]) -> tuple[Value, Extents]:
        """The value, which has this shape, with its axes in another order, and its shape then."""
        return permuted(self.trace, self.layer, value, shape, order)

    def along(self, axis: int, kind: Callable[..., Node], **settings: Any) -> Value:
        """The output of a node whose features are along this axis, in the order of the input."""
        order = [*range(axis), *range(axis + 1, len(self.shape)), axis]
        turned, made = self.permuted(self.inputs[0], self.shape, order)
        turned = self.with_extent(turned, placed(made))
        y = self.add(kind, [turned], turned.extent, **settings)
        return self.permuted(y, made, np.argsort(order).tolist())[0]

    def activate(self, value: Value, activation: Activation) -> Value:
        """activation(value)"""
        if activation.kind == "linear":
            return value
        if activation.kind == "softmax":
            return self.add(SoftmaxNode, [value], value.extent)
        return self.add(ActivationNode, [value], value.extent, activation=activation)

    def end(self, layer: layers.Dense | Convolution, value: Value) -> Value:
        """The value with the layer's activation, and its penalty."""
        value = self.activate(value, layer.activation)
        if layer.activity_regularizer is not None:
            value.penalty = (layer.activity_regularizer.l1, layer.activity_regularizer.l2)
        return value


@singledispatch
def lower_layer(layer: Layer, use: LayerUse) -> Value:
    """Add the layer's nodes to the trace, and return its output; one rule a layer class."""
    raise TypeError(f"layer {layer.name!r}: no lowering for {type(layer).__name__}")
