"""The rule of layers that are functions of the user's."""

from __future__ import annotations

from fastnn import layers
from fastnn.lowering.nodes import NumPyNode
from fastnn.lowering.rules.base import LayerUse, lower_layer
from fastnn.lowering.values import Value


@lower_layer.register
def _(layer: layers.NumPyLayer, use: LayerUse) -> Value:
    return use.add(NumPyNode, use.inputs, use.extent, numpy_layer=layer)
