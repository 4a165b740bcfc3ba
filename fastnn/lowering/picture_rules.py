"""The rules of the layers for pictures and signals that move, enlarge or sum up lines."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn.layers.base import Layer
from fastnn.layers.geometry import Axis
from fastnn.layers.global_pooling import (
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
)
from fastnn.layers.padding import Border, Cropping, ZeroPadding
from fastnn.layers.upsampling import UpSampling
from fastnn.lowering.extents import Extents, placed, with_extent
from fastnn.lowering.graph import Trace, Value
from fastnn.lowering.nodes import MaxPoolingNode, WindowSumNode
from fastnn.lowering.nodes.pooling import average_factors
from fastnn.lowering.rule import lower_layer
from fastnn.lowering.windows import Table, bilinear_table, nearest_table, window_table


@lower_layer.register
def _(
    layer: ZeroPadding, trace: Trace, inputs: list[Value], shapes: list[Extents], shape: Extents
) -> Value:
    return _sums(layer, trace, inputs, shapes, shape, _border_table(layer, shapes[0], 1))


@lower_layer.register
def _(
    layer: Cropping, trace: Trace, inputs: list[Value], shapes: list[Extents], shape: Extents
) -> Value:
    return _sums(layer, trace, inputs, shapes, shape, _border_table(layer, shapes[0], -1))


@lower_layer.register
def _(
    layer: UpSampling, trace: Trace, inputs: list[Value], shapes: list[Extents], shape: Extents
) -> Value:
    if layer.interpolation == "nearest":
        table = nearest_table(shapes[0][:-1], layer.size)
        return _sums(layer, trace, inputs, shapes, shape, table)
    table, weights = bilinear_table(shapes[0][:-1], layer.size)
    return _sums(layer, trace, inputs, shapes, shape, table, of_taps=weights)


@lower_layer.register(GlobalAveragePooling1D)
@lower_layer.register(GlobalAveragePooling2D)
def _(
    layer: Layer, trace: Trace, inputs: list[Value], shapes: list[Extents], shape: Extents
) -> Value:
    table = _one_window(shapes[0])
    return _sums(layer, trace, inputs, shapes, shape, table, of_windows=average_factors(table))


@lower_layer.register(GlobalMaxPooling1D)
@lower_layer.register(GlobalMaxPooling2D)
def _(
    layer: Layer, trace: Trace, inputs: list[Value], shapes: list[Extents], shape: Extents
) -> Value:
    x = with_extent(trace, layer, inputs[0], placed(shapes[0]))
    return trace.add(MaxPoolingNode, layer, [x], placed(shape), windows=_one_window(shapes[0]))


def _sums(
    layer: Layer,
    trace: Trace,
    inputs: list[Value],
    shapes: list[Extents],
    shape: Extents,
    windows: Table,
    **factors: Any,
) -> Value:
    x = with_extent(trace, layer, inputs[0], placed(shapes[0]))
    return trace.add(WindowSumNode, layer, [x], placed(shape), windows=windows, **factors)


def _border_table(layer: Border, shape: Extents, sign: int) -> Table:
    """Windows of one tap: those of padding reach out, those of cropping stay inside."""
    return window_table(
        [
            Axis(length, 1, 1, 1, sign * before, sign * after, length + sign * (before + after))
            for length, (before, after) in zip(shape[:-1], layer.amounts, strict=True)
        ]
    )


def _one_window(shape: Extents) -> Table:
    """A window of all positions."""
    return np.arange(placed(shape).positions, dtype=np.int32)[None]
