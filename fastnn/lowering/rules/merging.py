"""Rules of layers that make one value of several, and of Residual, which adds two."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from fastnn import layers
from fastnn.graph import Shape, without_batch
from fastnn.layers.base import Layer
from fastnn.lowering.extents import from_axis
from fastnn.lowering.nodes import ConcatenateNode, ExtremumNode, MultiplyNode, SumNode
from fastnn.lowering.rules.base import LayerUse, lower_layer
from fastnn.lowering.values import Node, Value


@lower_layer.register
def _(layer: layers.Add, use: LayerUse) -> Value:
    return _sum(use, [1.0] * len(use.inputs))


@lower_layer.register
def _(layer: layers.Subtract, use: LayerUse) -> Value:
    return _sum(use, [1.0, -1.0])


@lower_layer.register
def _(layer: layers.Average, use: LayerUse) -> Value:
    return _sum(use, [1.0 / len(use.inputs)] * len(use.inputs))


@lower_layer.register
def _(layer: layers.Multiply, use: LayerUse) -> Value:
    return _in_pairs(use, MultiplyNode)


@lower_layer.register(layers.Maximum)
@lower_layer.register(layers.Minimum)
def _(layer: Layer, use: LayerUse) -> Value:
    return _in_pairs(use, ExtremumNode, smallest=isinstance(layer, layers.Minimum))


@lower_layer.register
def _(layer: layers.Concatenate, use: LayerUse) -> Value:
    axis = layer.axis % (len(use.shape) + 1) - 1
    parts = [
        use.with_extent(value, from_axis(part, axis))
        for value, part in zip(use.inputs, use.shapes, strict=True)
    ]
    return use.add(ConcatenateNode, parts, from_axis(use.shape, axis))


@lower_layer.register
def _(layer: layers.Residual, use: LayerUse) -> Value:
    x = use.inputs[0]
    y = x
    shape: Shape = (None, *use.shapes[0])
    for inner in layer.layers:
        before, shape = without_batch(shape), inner.compute_output_shape(shape)
        y = lower_layer(inner, LayerUse(use.trace, inner, [y], [before], without_batch(shape)))
    if layer.projection is not None:
        x = lower_layer(layer.projection, replace(use, layer=layer.projection))
    return _sum(replace(use, inputs=[x, y]), [1.0, 1.0])


def _sum(use: LayerUse, scales: list[float]) -> Value:
    inputs = use.alike_inputs()
    return use.add(SumNode, inputs, inputs[0].extent, scales=scales)


def _in_pairs(use: LayerUse, kind: Callable[..., Node], **settings: Any) -> Value:
    """The first two, what they make with the third, and so on, as Keras does it."""
    value, *others = use.alike_inputs()
    for other in others:
        value = use.add(kind, [value, other], value.extent, **settings)
    return value
