"""Rules of the layers that do something in training only, and of RandomCrop."""

from __future__ import annotations

from dataclasses import replace

from fastnn import layers
from fastnn.export.rules.base import LayerUse, export_layer
from fastnn.export.rules.resizing import cut
from fastnn.export.values import Value
from fastnn.layers.noise import Noise


@export_layer.register
def _(layer: Noise, use: LayerUse) -> Value:
    """Noise, and pictures that are changed at random."""
    (x,) = use.inputs
    return x if use.read_once else replace(x, deviation=None)


@export_layer.register
def _(layer: layers.RandomCrop, use: LayerUse) -> Value:
    rows, columns = use.inputs[0].shape[:2]
    first = ((rows - layer.height) // 2, (columns - layer.width) // 2)
    return cut(use, first, (layer.height, layer.width))
