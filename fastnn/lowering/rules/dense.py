"""The rule of Dense."""

from __future__ import annotations

from fastnn import layers
from fastnn.activations import Activation
from fastnn.lowering.nodes import DenseNode, DropConnectNode
from fastnn.lowering.rules.base import LayerUse, lower_layer
from fastnn.lowering.values import Value


@lower_layer.register
def _(layer: layers.Dense, use: LayerUse) -> Value:
    inputs = [use.placed_input()]
    settings = dict(kernel=layer.kernel, bias=layer.bias, activation=Activation("linear"))
    if layer.dropconnect_seed is not None and layer.dropconnect > 0:
        mask = use.mask(layer.dropconnect_seed, layer.dropconnect)
        value = use.add(DropConnectNode, inputs, use.extent, weight_mask=mask, **settings)
    else:
        value = use.add(DenseNode, inputs, use.extent, **settings)
    return use.end(layer, value)
