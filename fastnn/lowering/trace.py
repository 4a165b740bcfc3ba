"""From a model's layers to what is to be computed: values, and the nodes that make them.

A layer that looks at positions and features asks for them (``extents.py``), so Reshape leaves no
trace. The rules for pictures and signals are in ``picture_rules.py`` and
``augmentation_rules.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

import fastnn.lowering.augmentation_rules  # which registers its rules, as the next one
import fastnn.lowering.picture_rules  # noqa: F401
from fastnn import layers
from fastnn.activations import Activation
from fastnn.graph import Shape, SymbolicTensor
from fastnn.layers.activation import ActivationLayer
from fastnn.layers.base import Layer
from fastnn.layers.convolution import FullConvolution
from fastnn.layers.noise import SpatialDropout
from fastnn.layers.normalization import Normalization
from fastnn.layers.pooling import AveragePooling, MaxPooling
from fastnn.lowering.algorithms import ALGORITHMS
from fastnn.lowering.extents import Extents, alike, as_matrix, permuted, placed, with_extent
from fastnn.lowering.graph import Extent, Node, Trace, Value
from fastnn.lowering.nodes import (
    AffineNode,
    BatchNormalizationNode,
    ConcatenateNode,
    ConvolutionNode,
    DenseNode,
    DropChannelsNode,
    DropConnectNode,
    DropoutNode,
    ExtremumNode,
    GaussianNoiseNode,
    GroupNormalizationNode,
    InputNode,
    LayerNormalizationNode,
    MaxPoolingNode,
    MultiplyNode,
    NumPyNode,
    SoftmaxNode,
    SumNode,
    WindowSumNode,
)
from fastnn.lowering.nodes.pooling import average_factors
from fastnn.lowering.picture_rules import depthwise
from fastnn.lowering.randomness import Mask
from fastnn.lowering.rule import activate, end, lower_layer, without_batch
from fastnn.lowering.windows import window_table

Kind = Callable[..., Node]


def trace(inputs: list[SymbolicTensor], outputs: list[SymbolicTensor], nodes: list[Any]) -> Trace:
    """The trace of a model's graph."""
    result = Trace()
    values: dict[SymbolicTensor, Value] = {}
    for source, tensor in enumerate(inputs):
        extent = as_matrix(without_batch(tensor.shape))
        values[tensor] = result.add(InputNode, tensor.node.layer, [], extent, source=source)
    for node in nodes:
        arguments = [values[tensor] for tensor in node.inputs]
        shapes = [without_batch(tensor.shape) for tensor in node.inputs]
        shape = without_batch(node.output.shape)
        values[node.output] = lower_layer(node.layer, result, arguments, shapes, shape)
    for tensor in outputs:
        values[tensor].is_output = True
        result.outputs.append(values[tensor])
    return result


@lower_layer.register
def _(
    layer: layers.Flatten, trace: Trace, inputs: list[Value], shapes: list[Extents], shape: Extents
) -> Value:
    return with_extent(trace, layer, inputs[0], as_matrix(shape))


@lower_layer.register
def _(
    layer: layers.Reshape, trace: Trace, inputs: list[Value], shapes: list[Extents], shape: Extents
) -> Value:
    return inputs[0]


@lower_layer.register
def _(
    layer: layers.Dense, trace: Trace, inputs: list[Value], shapes: list[Extents], shape: Extents
) -> Value:
    inputs = [with_extent(trace, layer, inputs[0], placed(shapes[0]))]
    settings = dict(kernel=layer.kernel, bias=layer.bias, activation=Activation("linear"))
    if layer.dropconnect_seed is not None and layer.dropconnect > 0:
        mask = Mask(trace.stream(layer.dropconnect_seed), layer.dropconnect)
        value = trace.add(
            DropConnectNode, layer, inputs, placed(shape), weight_mask=mask, **settings
        )
    else:
        value = trace.add(DenseNode, layer, inputs, placed(shape), **settings)
    return end(layer, trace, value)


@lower_layer.register
def _(
    layer: ActivationLayer, trace: Trace, inputs: list[Value], shapes: list[Extents], shape: Extents
) -> Value:
    if layer.activation.kind != "softmax":
        return activate(layer, trace, inputs[0], layer.activation)
    axis = layer.axis if isinstance(layer, layers.Softmax) else -1
    return _along(layer, trace, inputs[0], shape, axis % (len(shape) + 1) - 1, SoftmaxNode)


@lower_layer.register
def _(
    layer: layers.Rescaling,
    trace: Trace,
    inputs: list[Value],
    shapes: list[Extents],
    shape: Extents,
) -> Value:
    return trace.add(
        AffineNode, layer, inputs, inputs[0].extent, scale=layer.scale, offset=layer.offset
    )


@lower_layer.register
def _(
    layer: layers.Add, trace: Trace, inputs: list[Value], shapes: list[Extents], shape: Extents
) -> Value:
    return _sum(layer, trace, inputs, shape, [1.0] * len(inputs))


@lower_layer.register
def _(
    layer: layers.Subtract, trace: Trace, inputs: list[Value], shapes: list[Extents], shape: Extents
) -> Value:
    return _sum(layer, trace, inputs, shape, [1.0, -1.0])


@lower_layer.register
def _(
    layer: layers.Average, trace: Trace, inputs: list[Value], shapes: list[Extents], shape: Extents
) -> Value:
    return _sum(layer, trace, inputs, shape, [1.0 / len(inputs)] * len(inputs))


@lower_layer.register
def _(
    layer: layers.Multiply, trace: Trace, inputs: list[Value], shapes: list[Extents], shape: Extents
) -> Value:
    return _in_pairs(layer, trace, inputs, shape, MultiplyNode)


@lower_layer.register(layers.Maximum)
@lower_layer.register(layers.Minimum)
def _(
    layer: Layer, trace: Trace, inputs: list[Value], shapes: list[Extents], shape: Extents
) -> Value:
    smallest = isinstance(layer, layers.Minimum)
    return _in_pairs(layer, trace, inputs, shape, ExtremumNode, smallest=smallest)


@lower_layer.register
def _(
    layer: layers.Concatenate,
    trace: Trace,
    inputs: list[Value],
    shapes: list[Extents],
    shape: Extents,
) -> Value:
    axis = layer.axis % (len(shape) + 1) - 1
    parts = [
        with_extent(trace, layer, value, _from_axis(part, axis))
        for value, part in zip(inputs, shapes, strict=True)
    ]
    return trace.add(ConcatenateNode, layer, parts, _from_axis(shape, axis))


@lower_layer.register
def _(
    layer: layers.Residual, trace: Trace, inputs: list[Value], shapes: list[Extents], shape: Extents
) -> Value:
    x = inputs[0]
    y = x
    inner_shape: Shape = (None, *shapes[0])
    for inner in layer.layers:
        before, inner_shape = without_batch(inner_shape), inner.compute_output_shape(inner_shape)
        y = lower_layer(inner, trace, [y], [before], without_batch(inner_shape))
    if layer.projection is not None:
        x = lower_layer(layer.projection, trace, [x], shapes, shape)
    return _sum(layer, trace, [x, y], shape, [1.0, 1.0])


@lower_layer.register
def _(
    layer: layers.BatchNormalization,
    trace: Trace,
    inputs: list[Value],
    shapes: list[Extents],
    shape: Extents,
) -> Value:
    (axis,) = layer.feature_axes((None, *shape))
    return _along(
        layer, trace, inputs[0], shape, axis - 1, BatchNormalizationNode,
        **_affine_settings(layer), moving_mean=layer.moving_mean,
        moving_variance=layer.moving_variance, momentum=layer.momentum,
        frozen=not layer.trainable,
    )  # fmt: skip


@lower_layer.register
def _(
    layer: layers.LayerNormalization,
    trace: Trace,
    inputs: list[Value],
    shapes: list[Extents],
    shape: Extents,
) -> Value:
    first = layer.feature_axes((None, *shape))[0] - 1
    x = with_extent(trace, layer, inputs[0], _from_axis(shape, first))
    return trace.add(LayerNormalizationNode, layer, [x], x.extent, **_affine_settings(layer))


@lower_layer.register
def _(
    layer: layers.GroupNormalization,
    trace: Trace,
    inputs: list[Value],
    shapes: list[Extents],
    shape: Extents,
) -> Value:
    (axis,) = layer.feature_axes((None, *shape))
    return _along(
        layer, trace, inputs[0], shape, axis - 1, GroupNormalizationNode,
        **_affine_settings(layer), groups=layer.n_groups((None, *shape)),
    )  # fmt: skip


@lower_layer.register
def _(
    layer: layers.Dropout, trace: Trace, inputs: list[Value], shapes: list[Extents], shape: Extents
) -> Value:
    if not layer.rate:
        return inputs[0]
    mask = Mask(trace.stream(layer.seed), layer.rate)
    return trace.add(DropoutNode, layer, inputs, inputs[0].extent, mask=mask)


@lower_layer.register
def _(
    layer: SpatialDropout, trace: Trace, inputs: list[Value], shapes: list[Extents], shape: Extents
) -> Value:
    if not layer.rate:
        return inputs[0]
    mask = Mask(trace.stream(layer.seed), layer.rate)
    x = with_extent(trace, layer, inputs[0], placed(shape))
    return trace.add(DropChannelsNode, layer, [x], x.extent, mask=mask)


@lower_layer.register
def _(
    layer: layers.Permute, trace: Trace, inputs: list[Value], shapes: list[Extents], shape: Extents
) -> Value:
    order = [axis - 1 for axis in layer.dims]
    return permuted(trace, layer, inputs[0], shapes[0], order)[0]


@lower_layer.register
def _(
    layer: layers.GaussianNoise,
    trace: Trace,
    inputs: list[Value],
    shapes: list[Extents],
    shape: Extents,
) -> Value:
    if not layer.stddev:
        return inputs[0]
    return trace.add(
        GaussianNoiseNode, layer, inputs, inputs[0].extent,
        stream=trace.stream(layer.seed), stddev=layer.stddev,
    )  # fmt: skip


@lower_layer.register
def _(
    layer: layers.NumPyLayer,
    trace: Trace,
    inputs: list[Value],
    shapes: list[Extents],
    shape: Extents,
) -> Value:
    return trace.add(NumPyNode, layer, inputs, placed(shape), numpy_layer=layer)


@lower_layer.register
def _(
    layer: FullConvolution,
    trace: Trace,
    inputs: list[Value],
    shapes: list[Extents],
    shape: Extents,
) -> Value:
    x = with_extent(trace, layer, inputs[0], placed(shapes[0]))
    axes = layer.axes((None, *shapes[0]))
    if layer.groups == x.features > 1:
        value = depthwise(trace, layer, x, axes, layer.kernel, layer.bias, placed(shape))
    else:
        value = trace.add(
            ConvolutionNode, layer, [x], placed(shape), kernel=layer.kernel, bias=layer.bias,
            activation=Activation("linear"), axes=axes, groups=layer.groups,
            algorithm=ALGORITHMS.convolution,
        )  # fmt: skip
    return end(layer, trace, value)


@lower_layer.register
def _(
    layer: MaxPooling, trace: Trace, inputs: list[Value], shapes: list[Extents], shape: Extents
) -> Value:
    x = with_extent(trace, layer, inputs[0], placed(shapes[0]))
    windows = window_table(layer.axes((None, *shapes[0])))
    return trace.add(MaxPoolingNode, layer, [x], placed(shape), windows=windows)


@lower_layer.register
def _(
    layer: AveragePooling, trace: Trace, inputs: list[Value], shapes: list[Extents], shape: Extents
) -> Value:
    x = with_extent(trace, layer, inputs[0], placed(shapes[0]))
    windows = window_table(layer.axes((None, *shapes[0])))
    return trace.add(
        WindowSumNode,
        layer,
        [x],
        placed(shape),
        windows=windows,
        of_windows=average_factors(windows),
    )


def _sum(
    layer: Layer, trace: Trace, inputs: list[Value], shape: Extents, scales: list[float]
) -> Value:
    inputs = alike(trace, layer, inputs, shape)
    return trace.add(SumNode, layer, inputs, inputs[0].extent, scales=scales)


def _in_pairs(
    layer: Layer, trace: Trace, inputs: list[Value], shape: Extents, kind: Kind, **settings: Any
) -> Value:
    """The first two, what they make with the third, and so on, as Keras does it."""
    value, *others = alike(trace, layer, inputs, shape)
    for other in others:
        value = trace.add(kind, layer, [value, other], value.extent, **settings)
    return value


def _from_axis(shape: Extents, axis: int) -> Extent:
    """The axes before this one are the positions, it and all after it the features."""
    return Extent(prod(shape[:axis]), prod(shape[axis:]))


def _along(
    layer: Layer, trace: Trace, x: Value, shape: Extents, axis: int, kind: Kind, **settings: Any
) -> Value:
    """The output of a node whose features are along this axis, in the order of the input."""
    order = [*range(axis), *range(axis + 1, len(shape)), axis]
    turned, made = permuted(trace, layer, x, shape, order)
    turned = with_extent(trace, layer, turned, placed(made))
    y = trace.add(kind, layer, [turned], turned.extent, **settings)
    return permuted(trace, layer, y, made, np.argsort(order).tolist())[0]


def _affine_settings(layer: Normalization) -> dict[str, Any]:
    return {
        "gamma": layer.gamma, "beta": layer.beta, "epsilon": layer.epsilon,
        "activation": Activation("linear"),
    }  # fmt: skip
