"""Rules of layers for pictures: depthwise convolutions, and what moves or sums lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn.activations import Activation
from fastnn.layers.base import Layer
from fastnn.layers.depthwise import Depthwise
from fastnn.layers.geometry import Axis
from fastnn.layers.global_pooling import (
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
)
from fastnn.layers.padding import Border, Cropping, ZeroPadding
from fastnn.layers.separable import Separable
from fastnn.layers.upsampling import UpSampling
from fastnn.lowering.extents import Extents, placed, with_extent
from fastnn.lowering.graph import Extent, Trace, Value
from fastnn.lowering.nodes import (
    ConvolutionNode,
    DepthwiseNode,
    MaxPoolingNode,
    RepeatNode,
    WindowSumNode,
)
from fastnn.lowering.nodes.pooling import average_factors
from fastnn.lowering.rule import end, lower_layer
from fastnn.lowering.windows import Table, bilinear_table, nearest_table, window_table
from fastnn.variables import Variable


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


@lower_layer.register
def _(
    layer: Depthwise, trace: Trace, inputs: list[Value], shapes: list[Extents], shape: Extents
) -> Value:
    x = with_extent(trace, layer, inputs[0], placed(shapes[0]))
    axes = layer.axes((None, *shapes[0]))
    return end(
        layer, trace, depthwise(trace, layer, x, axes, layer.kernel, layer.bias, placed(shape))
    )


@lower_layer.register
def _(
    layer: Separable, trace: Trace, inputs: list[Value], shapes: list[Extents], shape: Extents
) -> Value:
    x = with_extent(trace, layer, inputs[0], placed(shapes[0]))
    between = Extent(placed(shape).positions, layer.depthwise_kernel.matrix_shape[1])
    axes = layer.axes((None, *shapes[0]))
    x = depthwise(trace, layer, x, axes, layer.depthwise_kernel, None, between)
    value = trace.add(
        ConvolutionNode, layer, [x], placed(shape), kernel=layer.pointwise_kernel, bias=layer.bias,
        activation=Activation("linear"), axes=[Axis(x.positions, 1, 1, 1, 0, 0, x.positions)],
    )  # fmt: skip
    return end(layer, trace, value)


def depthwise(
    trace: Trace,
    layer: Layer,
    x: Value,
    axes: Sequence[Axis],
    kernel: Variable,
    bias: Variable | None,
    extent: Extent,
) -> Value:
    """Each channel of x by itself, as often as it has filters."""
    times = extent.features // x.features
    if times > 1:
        x = trace.add(RepeatNode, layer, [x], Extent(x.positions, extent.features), times=times)
    return trace.add(
        DepthwiseNode, layer, [x], extent, kernel=kernel, bias=bias, axes=axes,
        activation=Activation("linear"),
    )  # fmt: skip


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
        tuple(
            Axis(length, 1, 1, 1, sign * before, sign * after, length + sign * (before + after))
            for length, (before, after) in zip(shape[:-1], layer.amounts, strict=True)
        )
    )


def _one_window(shape: Extents) -> Table:
    """A window of all positions."""
    return np.arange(placed(shape).positions, dtype=np.int32)[None]
