"""Rules of layers that give numbers another place, and change none.

A layer that looks at positions and features asks for them (``lowering/extents.py``), so Reshape
leaves no trace.
"""

from __future__ import annotations

from fastnn import layers
from fastnn.lowering.extents import as_matrix
from fastnn.lowering.rules.base import LayerUse, lower_layer
from fastnn.lowering.values import Value


@lower_layer.register
def _(layer: layers.Flatten, use: LayerUse) -> Value:
    return use.with_extent(use.inputs[0], as_matrix(use.shape))


@lower_layer.register
def _(layer: layers.Reshape, use: LayerUse) -> Value:
    return use.inputs[0]


@lower_layer.register
def _(layer: layers.Permute, use: LayerUse) -> Value:
    order = [axis - 1 for axis in layer.dims]
    return use.permuted(use.inputs[0], use.shapes[0], order)[0]
