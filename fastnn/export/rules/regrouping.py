"""Rules of layers that give numbers another place, and change none."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from fastnn import layers
from fastnn.export.rules.base import LayerUse, element_read, export_layer
from fastnn.export.values import Value, plain


@export_layer.register(layers.Flatten)
@export_layer.register(layers.Reshape)
def _(layer: layers.Flatten | layers.Reshape, use: LayerUse) -> Value:
    (x,) = use.inputs
    # As lowering has it: Reshape is nothing, Flatten of several positions reads what it flattens.
    kept = isinstance(layer, layers.Reshape) or prod(x.shape[:-1]) == 1
    deviation = x.deviation if use.read_once and kept else None
    if x.shape == use.shape:
        return replace(x, deviation=deviation)
    if len(use.shape) == 1 and not x.is_plain and deviation is None:
        # What comes may take its numbers in the order in which they lie.
        return replace(x, name=use.reshaped(x.name, use.shape), shape=use.shape, deviation=None)
    if deviation is not None:
        deviation = use.reshaped(use.plain(x.named(deviation)).name, use.shape)
    return plain(use.reshaped(use.plain(x).name, use.shape), use.shape, deviation, x.element)


@element_read.register(layers.Flatten)
@element_read.register(layers.Reshape)
def _(layer: layers.Flatten | layers.Reshape) -> None:
    return None


@export_layer.register
def _(layer: layers.Permute, use: LayerUse) -> Value:
    """Nothing moves: the axes get other numbers."""
    (x,) = use.inputs
    if x.is_flattened:
        x = use.plain(x)
    turned = [axis - 1 for axis in layer.dims]
    order = tuple(turned.index(axis) for axis in x.order)
    return Value(x.name, use.shape, order, use.shape)
