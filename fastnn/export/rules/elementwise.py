"""Rules of layers that take number by number."""

from __future__ import annotations

from fastnn import layers
from fastnn.export.rules.base import LayerUse, export_layer
from fastnn.export.values import Value


@export_layer.register
def _(layer: layers.Rescaling, use: LayerUse) -> Value:
    (x,) = use.inputs
    y = x.name
    if layer.scale != 1:
        y = use.add("Mul", y, use.number(layer.scale))
    if layer.offset != 0:
        y = use.add("Add", y, use.number(layer.offset))
    return x.named(y)
