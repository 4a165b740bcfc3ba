"""Rules of layers that make one value of several, and of Residual, which adds two."""

from __future__ import annotations

from dataclasses import replace

from fastnn import layers
from fastnn.export.rules.base import LayerUse, export_chain, export_layer
from fastnn.export.values import Value
from fastnn.layers.base import Layer

_OF_ALL: dict[type[Layer], str] = {
    layers.Average: "Mean",
    layers.Maximum: "Max",
    layers.Minimum: "Min",
}
_OF_TWO: dict[type[Layer], str] = {
    layers.Add: "Add",
    layers.Subtract: "Sub",
    layers.Multiply: "Mul",
}


@export_layer.register(layers.Average)
@export_layer.register(layers.Maximum)
@export_layer.register(layers.Minimum)
def _(layer: Layer, use: LayerUse) -> Value:
    inputs = use.alike()
    kind = next(kind for base, kind in _OF_ALL.items() if isinstance(layer, base))
    return inputs[0].named(use.add(kind, *(value.name for value in inputs)))


@export_layer.register(layers.Add)
@export_layer.register(layers.Subtract)
@export_layer.register(layers.Multiply)
def _(layer: Layer, use: LayerUse) -> Value:
    kind = next(kind for base, kind in _OF_TWO.items() if isinstance(layer, base))
    return _in_pairs(use, kind)


@export_layer.register
def _(layer: layers.Concatenate, use: LayerUse) -> Value:
    axis = layer.axis % (len(use.shape) + 1) - 1
    inputs = [use.plain(value) if value.is_flattened else value for value in use.inputs]
    order = next((value.order for value in inputs if not value.is_plain), inputs[0].order)
    parts = [use.graph.arranged(value, order, layer.name).name for value in inputs]
    return Value(use.add("Concat", *parts, axis=order.index(axis) + 1), use.shape, order, use.shape)


@export_layer.register
def _(layer: layers.Residual, use: LayerUse) -> Value:
    x = use.inputs[0]
    y = export_chain(layer.layers, use)
    if layer.projection is not None:
        x = export_chain([layer.projection], use)
    return _in_pairs(replace(use, inputs=[y, x]), "Add")


def _in_pairs(use: LayerUse, kind: str) -> Value:
    value, *others = use.alike()
    for other in others:
        value = value.named(use.add(kind, value.name, other.name))
    return value
