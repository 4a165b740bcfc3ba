"""Rules of pooling, over windows and over all positions."""

from __future__ import annotations

from fastnn.export.rules.base import LayerUse, export_layer
from fastnn.export.rules.convolution import window_attributes
from fastnn.export.values import Value
from fastnn.layers.global_pooling import (
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    GlobalPooling,
)
from fastnn.layers.pooling import AveragePooling, MaxPooling


@export_layer.register
def _(layer: MaxPooling, use: LayerUse) -> Value:
    x = use.channels_first(use.inputs[0])
    return use.made_first(use.add("MaxPool", x.name, **window_attributes(layer, use)))


@export_layer.register
def _(layer: AveragePooling, use: LayerUse) -> Value:
    x = use.channels_first(use.inputs[0])
    return use.made_first(use.add("AveragePool", x.name, **window_attributes(layer, use)))


@export_layer.register(GlobalAveragePooling1D)
@export_layer.register(GlobalAveragePooling2D)
def _(layer: GlobalPooling, use: LayerUse) -> Value:
    return _of_all_positions(layer, use, "GlobalAveragePool")


@export_layer.register(GlobalMaxPooling1D)
@export_layer.register(GlobalMaxPooling2D)
def _(layer: GlobalPooling, use: LayerUse) -> Value:
    return _of_all_positions(layer, use, "GlobalMaxPool")


def _of_all_positions(layer: GlobalPooling, use: LayerUse, kind: str) -> Value:
    pooled = use.add(kind, use.channels_first(use.inputs[0]).name)
    if layer.keepdims:
        return use.made_first(pooled)
    return use.made_plain(use.add("Flatten", pooled))
