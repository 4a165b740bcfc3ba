"""Rules of layers that add noise in training."""

from __future__ import annotations

from fastnn import layers
from fastnn.layers.noise import SpatialDropout
from fastnn.lowering.nodes import DropChannelsNode, DropoutNode, GaussianNoiseNode
from fastnn.lowering.rules.base import LayerUse, lower_layer
from fastnn.lowering.values import Value


@lower_layer.register
def _(layer: layers.Dropout, use: LayerUse) -> Value:
    (x,) = use.inputs
    if not layer.rate:
        return x
    return use.add(DropoutNode, [x], x.extent, mask=use.mask(layer.seed, layer.rate))


@lower_layer.register
def _(layer: SpatialDropout, use: LayerUse) -> Value:
    if not layer.rate:
        return use.inputs[0]
    x = use.placed_input()
    return use.add(DropChannelsNode, [x], x.extent, mask=use.mask(layer.seed, layer.rate))


@lower_layer.register
def _(layer: layers.GaussianNoise, use: LayerUse) -> Value:
    (x,) = use.inputs
    if not layer.stddev:
        return x
    stream = use.stream(layer.seed)
    return use.add(GaussianNoiseNode, [x], x.extent, stream=stream, stddev=layer.stddev)
