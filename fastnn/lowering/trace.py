"""From a model's layers to what is to be computed: values, and the nodes that make them.

A value keeps the extent that its maker gave it; a layer that needs another one, since it looks at
positions and features, asks for it (``with_extent``). So Reshape leaves no trace.
"""

from __future__ import annotations

from functools import singledispatch
from math import prod
from typing import Any

from fastnn import layers
from fastnn.activations import Activation
from fastnn.graph import Shape, SymbolicTensor
from fastnn.kernels.augmentation import FLIPS, WINDOWS
from fastnn.layers.activation import ActivationLayer
from fastnn.layers.augmentation import Augmentation, Warp
from fastnn.layers.base import Layer
from fastnn.layers.convolution import Convolution, FullConvolution
from fastnn.layers.pooling import AveragePooling, MaxPooling
from fastnn.lowering.graph import Extent, Trace, Value
from fastnn.lowering.nodes import (
    ActivationNode,
    AddNode,
    AffineNode,
    BatchNormalizationNode,
    ConcatenateNode,
    ConvolutionNode,
    CropNode,
    DenseNode,
    DropConnectNode,
    DropoutNode,
    FlipNode,
    GaussianNoiseNode,
    InputNode,
    LayerNormalizationNode,
    MaxPoolingNode,
    Move,
    NumPyNode,
    PictureNode,
    RegroupNode,
    SoftmaxNode,
    TintNode,
    WarpNode,
    WindowSumNode,
)
from fastnn.lowering.nodes.pooling import average_factors
from fastnn.lowering.randomness import Mask
from fastnn.lowering.windows import window_table

Extents = tuple[int, ...]
"""A shape without the batch."""


def _extents(shape: Shape) -> Extents:
    return tuple(extent for extent in shape[1:] if extent is not None)


def as_matrix(shape: Extents) -> Extent:
    """All numbers of a row in one line."""
    return Extent(1, prod(shape))


def placed(shape: Extents) -> Extent:
    """The last axis are the features, all before it the positions."""
    return Extent(prod(shape[:-1]), shape[-1])


def with_extent(trace: Trace, layer: Layer, value: Value, extent: Extent) -> Value:
    """The value in lines of this extent, which has as many numbers, for ``layer`` to read."""
    if value.extent == extent:
        return value
    for reader in value.readers:
        if isinstance(reader, RegroupNode) and reader.output.extent == extent:
            return reader.output
    return trace.add(RegroupNode, layer, [value], extent)


def trace(inputs: list[SymbolicTensor], outputs: list[SymbolicTensor], nodes: list[Any]) -> Trace:
    """The trace of a model's graph."""
    result = Trace()
    values: dict[SymbolicTensor, Value] = {}
    for source, tensor in enumerate(inputs):
        extent = as_matrix(_extents(tensor.shape))
        values[tensor] = result.add(InputNode, tensor.node.layer, [], extent, source=source)
    for node in nodes:
        arguments = [values[tensor] for tensor in node.inputs]
        shapes = [_extents(tensor.shape) for tensor in node.inputs]
        shape = _extents(node.output.shape)
        values[node.output] = lower_layer(node.layer, result, arguments, shapes, shape)
    for tensor in outputs:
        layer, extent = tensor.node.layer, as_matrix(_extents(tensor.shape))
        output = with_extent(result, layer, values[tensor], extent)
        output.is_output = True
        result.outputs.append(output)
    return result


@singledispatch
def lower_layer(
    layer: Layer, trace: Trace, inputs: list[Value], shapes: list[Extents], shape: Extents
) -> Value:
    """Add the layer's nodes to the trace; one rule a layer class.

    Args:
        shapes: Of the inputs, in the graph: without the batch.
        shape: Of the output, likewise.
    """
    raise TypeError(f"layer {layer.name!r}: no lowering for {type(layer).__name__}")


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
    return _end(layer, trace, value)


@lower_layer.register
def _(
    layer: ActivationLayer, trace: Trace, inputs: list[Value], shapes: list[Extents], shape: Extents
) -> Value:
    return _activate(layer, trace, inputs[0], layer.activation)


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
    return _sum(layer, trace, inputs, shape)


@lower_layer.register
def _(
    layer: layers.Concatenate,
    trace: Trace,
    inputs: list[Value],
    shapes: list[Extents],
    shape: Extents,
) -> Value:
    return trace.add(ConcatenateNode, layer, inputs, as_matrix(shape))


@lower_layer.register
def _(
    layer: layers.Residual, trace: Trace, inputs: list[Value], shapes: list[Extents], shape: Extents
) -> Value:
    x = inputs[0]
    y = x
    inner_shape: Shape = (None, *shapes[0])
    for inner in layer.layers:
        before, inner_shape = _extents(inner_shape), inner.compute_output_shape(inner_shape)
        y = lower_layer(inner, trace, [y], [before], _extents(inner_shape))
    if layer.projection is not None:
        x = lower_layer(layer.projection, trace, [x], shapes, shape)
    return _sum(layer, trace, [x, y], shape)


@lower_layer.register
def _(
    layer: layers.BatchNormalization,
    trace: Trace,
    inputs: list[Value],
    shapes: list[Extents],
    shape: Extents,
) -> Value:
    return trace.add(
        BatchNormalizationNode, layer, inputs, inputs[0].extent,
        gamma=layer.gamma, beta=layer.beta, epsilon=layer.epsilon,
        activation=Activation("linear"), moving_mean=layer.moving_mean,
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
    return trace.add(
        LayerNormalizationNode, layer, inputs, inputs[0].extent,
        gamma=layer.gamma, beta=layer.beta, epsilon=layer.epsilon,
        activation=Activation("linear"),
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
    return trace.add(NumPyNode, layer, inputs, as_matrix(shape), numpy_layer=layer)


@lower_layer.register
def _(
    layer: FullConvolution,
    trace: Trace,
    inputs: list[Value],
    shapes: list[Extents],
    shape: Extents,
) -> Value:
    x = with_extent(trace, layer, inputs[0], placed(shapes[0]))
    value = trace.add(
        ConvolutionNode, layer, [x], placed(shape), kernel=layer.kernel, bias=layer.bias,
        activation=Activation("linear"), axes=layer.axes((None, *shapes[0])),
    )  # fmt: skip
    return _end(layer, trace, value)


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
        WindowSumNode, layer, [x], placed(shape), windows=windows, factors=average_factors(windows)
    )


@lower_layer.register
def _(
    layer: layers.RandomFlip,
    trace: Trace,
    inputs: list[Value],
    shapes: list[Extents],
    shape: Extents,
) -> Value:
    return _move(FlipNode, layer, trace, inputs, shapes, shape, FLIPS[layer.mode])


@lower_layer.register
def _(
    layer: layers.RandomCrop,
    trace: Trace,
    inputs: list[Value],
    shapes: list[Extents],
    shape: Extents,
) -> Value:
    return _move(CropNode, layer, trace, inputs, shapes, shape, WINDOWS["random"])


@lower_layer.register
def _(
    layer: layers.RandomTranslation,
    trace: Trace,
    inputs: list[Value],
    shapes: list[Extents],
    shape: Extents,
) -> Value:
    ranges = [layer.height_factor, layer.width_factor]
    return _warp(layer, trace, inputs, shapes, "translation", ranges)


@lower_layer.register
def _(
    layer: layers.RandomRotation,
    trace: Trace,
    inputs: list[Value],
    shapes: list[Extents],
    shape: Extents,
) -> Value:
    return _warp(layer, trace, inputs, shapes, "rotation", [layer.factor])


@lower_layer.register
def _(
    layer: layers.RandomZoom,
    trace: Trace,
    inputs: list[Value],
    shapes: list[Extents],
    shape: Extents,
) -> Value:
    if layer.width_factor is None:
        return _warp(layer, trace, inputs, shapes, "zoom_alike", [layer.height_factor])
    ranges = [layer.height_factor, layer.width_factor]
    return _warp(layer, trace, inputs, shapes, "zoom", ranges)


@lower_layer.register
def _(
    layer: layers.RandomContrast,
    trace: Trace,
    inputs: list[Value],
    shapes: list[Extents],
    shape: Extents,
) -> Value:
    lower, upper = layer.factor
    return _change(
        TintNode, layer, trace, inputs, shapes, tint="contrast", stream=trace.stream(layer.seed),
        range=(1 - lower, 1 + upper), value_range=layer.value_range,
    )  # fmt: skip


@lower_layer.register
def _(
    layer: layers.RandomBrightness,
    trace: Trace,
    inputs: list[Value],
    shapes: list[Extents],
    shape: Extents,
) -> Value:
    return _change(
        TintNode, layer, trace, inputs, shapes, tint="brightness", stream=trace.stream(layer.seed),
        range=layer.factor, value_range=layer.value_range,
    )  # fmt: skip


def _move(
    node_class: type[CropNode],
    layer: Augmentation,
    trace: Trace,
    inputs: list[Value],
    shapes: list[Extents],
    shape: Extents,
    move: int,
) -> Value:
    (rows, columns, _), (height, width, _) = shapes[0], shape
    moves = [Move(move, trace.stream(layer.seed), (rows, columns), (height, width))]
    return _change(node_class, layer, trace, inputs, shapes, shape, moves=moves)


def _warp(
    layer: Warp,
    trace: Trace,
    inputs: list[Value],
    shapes: list[Extents],
    warp: str,
    ranges: list[tuple[float, float]],
) -> Value:
    return _change(
        WarpNode, layer, trace, inputs, shapes, warp=warp, stream=trace.stream(layer.seed),
        ranges=ranges, fill_mode=layer.fill_mode, fill_value=layer.fill_value,
        bilinear=layer.interpolation == "bilinear",
    )  # fmt: skip


def _change(
    node_class: type[PictureNode],
    layer: Augmentation,
    trace: Trace,
    inputs: list[Value],
    shapes: list[Extents],
    shape: Extents | None = None,
    **settings: Any,
) -> Value:
    """Pictures of ``shape``, by default of that which they had."""
    x = with_extent(trace, layer, inputs[0], placed(shapes[0]))
    return trace.add(
        node_class, layer, [x], placed(shape or shapes[0]), picture=shapes[0], **settings
    )


def _sum(layer: Layer, trace: Trace, inputs: list[Value], shape: Extents) -> Value:
    inputs = _alike(layer, trace, inputs, shape)
    return trace.add(AddNode, layer, inputs, inputs[0].extent)


def _alike(layer: Layer, trace: Trace, inputs: list[Value], shape: Extents) -> list[Value]:
    """The values, which all have this shape, with one extent."""
    extents = {value.extent for value in inputs}
    extent = extents.pop() if len(extents) == 1 else placed(shape)
    return [with_extent(trace, layer, value, extent) for value in inputs]


def _end(layer: layers.Dense | Convolution, trace: Trace, value: Value) -> Value:
    """The layer's activation, and its penalty."""
    value = _activate(layer, trace, value, layer.activation)
    if layer.activity_regularizer is not None:
        value.penalty = (layer.activity_regularizer.l1, layer.activity_regularizer.l2)
    return value


def _activate(layer: Layer, trace: Trace, value: Value, activation: Activation) -> Value:
    if activation.kind == "linear":
        return value
    if activation.kind == "softmax":
        return trace.add(SoftmaxNode, layer, [value], value.extent)
    return trace.add(ActivationNode, layer, [value], value.extent, activation=activation)
