"""Rules of pooling, over windows and over all positions."""

from __future__ import annotations

import numpy as np

from fastnn.layers.base import Layer
from fastnn.layers.global_pooling import (
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
)
from fastnn.layers.pooling import AveragePooling, MaxPooling
from fastnn.lowering.extents import placed
from fastnn.lowering.nodes import MaxPoolingNode, WindowSumNode
from fastnn.lowering.nodes.pooling import average_factors
from fastnn.lowering.rules.base import LayerUse, lower_layer
from fastnn.lowering.values import Value
from fastnn.lowering.windows import Table, window_table


@lower_layer.register
def _(layer: MaxPooling, use: LayerUse) -> Value:
    return _largest(use, window_table(layer.axes((None, *use.shapes[0]))))


@lower_layer.register
def _(layer: AveragePooling, use: LayerUse) -> Value:
    return _average(use, window_table(layer.axes((None, *use.shapes[0]))))


@lower_layer.register(GlobalAveragePooling1D)
@lower_layer.register(GlobalAveragePooling2D)
def _(layer: Layer, use: LayerUse) -> Value:
    return _average(use, _one_window(use))


@lower_layer.register(GlobalMaxPooling1D)
@lower_layer.register(GlobalMaxPooling2D)
def _(layer: Layer, use: LayerUse) -> Value:
    return _largest(use, _one_window(use))


def _largest(use: LayerUse, windows: Table) -> Value:
    return use.add(MaxPoolingNode, [use.placed_input()], use.extent, windows=windows)


def _average(use: LayerUse, windows: Table) -> Value:
    x, factors = use.placed_input(), average_factors(windows)
    return use.add(WindowSumNode, [x], use.extent, windows=windows, of_windows=factors)


def _one_window(use: LayerUse) -> Table:
    """A window of all positions."""
    return np.arange(placed(use.shapes[0]).positions, dtype=np.int32)[None]
