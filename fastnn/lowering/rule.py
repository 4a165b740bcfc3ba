"""What a rule is that turns a layer into nodes, and what rules have in common."""

from __future__ import annotations

from functools import singledispatch

from fastnn import layers
from fastnn.activations import Activation
from fastnn.graph import Shape
from fastnn.layers.base import Layer
from fastnn.layers.convolution import Convolution
from fastnn.lowering.extents import Extents
from fastnn.lowering.graph import Trace, Value
from fastnn.lowering.nodes import ActivationNode, SoftmaxNode


def without_batch(shape: Shape) -> Extents:
    """The shape without the batch."""
    return tuple(extent for extent in shape[1:] if extent is not None)


@singledispatch
def lower_layer(
    layer: Layer, trace: Trace, inputs: list[Value], shapes: list[Extents], shape: Extents
) -> Value:
    """Add the layer's nodes to the trace; one rule a layer class.

    Args:
        shapes: Of the inputs, in the graph: without the batch.
        shape: Of the output, likewise.
    """
    raise TypeError(f"layer {layer.name!r}: no lowering for {type(layer).__name__}")


def end(layer: layers.Dense | Convolution, trace: Trace, value: Value) -> Value:
    """The layer's activation, and its penalty."""
    value = activate(layer, trace, value, layer.activation)
    if layer.activity_regularizer is not None:
        value.penalty = (layer.activity_regularizer.l1, layer.activity_regularizer.l2)
    return value


def activate(layer: Layer, trace: Trace, value: Value, activation: Activation) -> Value:
    """activation(value)"""
    if activation.kind == "linear":
        return value
    if activation.kind == "softmax":
        return trace.add(SoftmaxNode, layer, [value], value.extent)
    return trace.add(ActivationNode, layer, [value], value.extent, activation=activation)
