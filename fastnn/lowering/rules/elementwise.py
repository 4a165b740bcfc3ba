"""Rules of layers that take number by number, and of softmax."""

from __future__ import annotations

from fastnn import layers
from fastnn.layers.activation import ActivationLayer
from fastnn.lowering.nodes import AffineNode, SoftmaxNode
from fastnn.lowering.rules.base import LayerUse, lower_layer
from fastnn.lowering.values import Value


@lower_layer.register
def _(layer: ActivationLayer, use: LayerUse) -> Value:
    if layer.activation.kind != "softmax":
        return use.activate(use.inputs[0], layer.activation)
    axis = layer.axis if isinstance(layer, layers.Softmax) else -1
    return use.along(axis % (len(use.shape) + 1) - 1, SoftmaxNode)


@lower_layer.register
def _(layer: layers.Rescaling, use: LayerUse) -> Value:
    extent = use.inputs[0].extent
    return use.add(AffineNode, use.inputs, extent, scale=layer.scale, offset=layer.offset)
