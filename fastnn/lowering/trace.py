"""From a model's layers to what is to be computed: values, and the nodes that make them.

A layer that looks at positions and features asks for them (``extents.py``), so Reshape leaves no
trace. More rules for pictures and signals are in ``picture_rules.py``.
"""

from __future__ import annotations

from typing import Any

from fastnn import layers
from fastnn.activations import Activation
from fastnn.graph import Shape, SymbolicTensor
from fastnn.layers.activation import ActivationLayer
from fastnn.layers.base import Layer
from fastnn.layers.convolution import FullConvolution
from fastnn.layers.pooling import AveragePooling, MaxPooling
from fastnn.lowering.extents import Extents, as_matrix, placed, with_extent
from fastnn.lowering.graph import Trace, Value
from fastnn.lowering.nodes import (
    AddNode,
    AffineNode,
    BatchNormalizationNode,
    ConcatenateNode,
    ConvolutionNode,
    DenseNode,
    DropConnectNode,
    DropoutNode,
    GaussianNoiseNode,
    InputNode,
    LayerNormalizationNode,
    MaxPoolingNode,
    NumPyNode,
    WindowSumNode,
)
from fastnn.lowering.nodes.pooling import average_factors
from fastnn.lowering.picture_rules import depthwise
from fastnn.lowering.randomness import Mask
from fastnn.lowering.rule import activate, end, lower_layer, without_batch
from fastnn.lowering.windows import window_table


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
        layer, extent = tensor.node.layer, as_matrix(without_batch(tensor.shape))
        output = with_extent(result, layer, values[tensor], extent)
        output.is_output = True
        result.outputs.append(output)
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
    return activate(layer, trace, inputs[0], layer.activation)


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
        before, inner_shape = without_batch(inner_shape), inner.compute_output_shape(inner_shape)
        y = lower_layer(inner, trace, [y], [before], without_batch(inner_shape))
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
    axes = layer.axes((None, *shapes[0]))
    if layer.groups == x.features > 1:
        value = depthwise(trace, layer, x, axes, layer.kernel, layer.bias, placed(shape))
    else:
        value = trace.add(
            ConvolutionNode, layer, [x], placed(shape), kernel=layer.kernel, bias=layer.bias,
            activation=Activation("linear"), axes=axes, groups=layer.groups,
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


def _sum(layer: Layer, trace: Trace, inputs: list[Value], shape: Extents) -> Value:
    inputs = _alike(layer, trace, inputs, shape)
    return trace.add(AddNode, layer, inputs, inputs[0].extent)


def _alike(layer: Layer, trace: Trace, inputs: list[Value], shape: Extents) -> list[Value]:
    """The values, which all have this shape, with one extent."""
    extents = {value.extent for value in inputs}
    extent = extents.pop() if len(extents) == 1 else placed(shape)
    return [with_extent(trace, layer, value, extent) for value in inputs]
