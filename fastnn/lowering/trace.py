"""From a model's layers to what is to be computed: values, and the nodes that make them.

Layers that only name shapes (Flatten, Reshape) leave no trace: a value is a matrix (rows,
features).
"""

from __future__ import annotations

from functools import singledispatch
from math import prod
from typing import Any

from fastnn import layers
from fastnn.activations import Activation
from fastnn.graph import Shape, SymbolicTensor
from fastnn.layers.activation import ActivationLayer
from fastnn.layers.base import Layer
from fastnn.lowering.graph import Trace, Value
from fastnn.lowering.nodes import (
    ActivationNode,
    AddNode,
    AffineNode,
    BatchNormalizationNode,
    ConcatenateNode,
    DenseNode,
    DropConnectNode,
    DropoutNode,
    GaussianNoiseNode,
    InputNode,
    LayerNormalizationNode,
    NumPyNode,
    SoftmaxNode,
)
from fastnn.lowering.randomness import Mask


def trace(inputs: list[SymbolicTensor], outputs: list[SymbolicTensor], nodes: list[Any]) -> Trace:
    """The trace of a model's graph."""
    result = Trace()
    values: dict[SymbolicTensor, Value] = {}
    for source, tensor in enumerate(inputs):
        features = prod(tensor.shape[1:])  # type: ignore[arg-type]
        values[tensor] = result.add(InputNode, tensor.node.layer, [], features, source=source)
    for node in nodes:
        arguments = [values[tensor] for tensor in node.inputs]
        values[node.output] = lower_layer(
            node.layer, result, arguments, prod(node.output.shape[1:])
        )
    for tensor in outputs:
        values[tensor].is_output = True
        result.outputs.append(values[tensor])
    return result


@singledispatch
def lower_layer(layer: Layer, trace: Trace, inputs: list[Value], features: int) -> Value:
    """Add the layer's nodes to the trace; one rule a layer class."""
    raise TypeError(f"layer {layer.name!r}: no lowering for {type(layer).__name__}")


@lower_layer.register(layers.Flatten)
@lower_layer.register(layers.Reshape)
def _(layer: Layer, trace: Trace, inputs: list[Value], features: int) -> Value:
    return inputs[0]


@lower_layer.register
def _(layer: layers.Dense, trace: Trace, inputs: list[Value], features: int) -> Value:
    settings = dict(kernel=layer.kernel, bias=layer.bias, activation=Activation("linear"))
    if layer.dropconnect_seed is not None and layer.dropconnect > 0:
        mask = Mask(trace.stream(layer.dropconnect_seed), layer.dropconnect)
        value = trace.add(DropConnectNode, layer, inputs, features, weight_mask=mask, **settings)
    else:
        value = trace.add(DenseNode, layer, inputs, features, **settings)
    value = _activate(layer, trace, value, layer.activation)
    if layer.activity_regularizer is not None:
        value.penalty = (layer.activity_regularizer.l1, layer.activity_regularizer.l2)
    return value


@lower_layer.register
def _(layer: ActivationLayer, trace: Trace, inputs: list[Value], features: int) -> Value:
    return _activate(layer, trace, inputs[0], layer.activation)


@lower_layer.register
def _(layer: layers.Rescaling, trace: Trace, inputs: list[Value], features: int) -> Value:
    return trace.add(AffineNode, layer, inputs, features, scale=layer.scale, offset=layer.offset)


@lower_layer.register
def _(layer: layers.Add, trace: Trace, inputs: list[Value], features: int) -> Value:
    return trace.add(AddNode, layer, inputs, features)


@lower_layer.register
def _(layer: layers.Concatenate, trace: Trace, inputs: list[Value], features: int) -> Value:
    return trace.add(ConcatenateNode, layer, inputs, features)


@lower_layer.register
def _(layer: layers.Residual, trace: Trace, inputs: list[Value], features: int) -> Value:
    x = inputs[0]
    y = x
    shape: Shape = (None, x.features)
    for inner in layer.layers:
        shape = inner.compute_output_shape(shape)
        y = lower_layer(inner, trace, [y], prod(shape[1:]))  # type: ignore[arg-type]
    if layer.projection is not None:
        x = lower_layer(layer.projection, trace, [x], features)
    return trace.add(AddNode, layer, [x, y], features)


@lower_layer.register
def _(layer: layers.BatchNormalization, trace: Trace, inputs: list[Value], features: int) -> Value:
    return trace.add(
        BatchNormalizationNode, layer, inputs, features,
        gamma=layer.gamma, beta=layer.beta, epsilon=layer.epsilon,
        activation=Activation("linear"), moving_mean=layer.moving_mean,
        moving_variance=layer.moving_variance, momentum=layer.momentum,
        frozen=not layer.trainable,
    )  # fmt: skip


@lower_layer.register
def _(layer: layers.LayerNormalization, trace: Trace, inputs: list[Value], features: int) -> Value:
    return trace.add(
        LayerNormalizationNode, layer, inputs, features,
        gamma=layer.gamma, beta=layer.beta, epsilon=layer.epsilon,
        activation=Activation("linear"),
    )  # fmt: skip


@lower_layer.register
def _(layer: layers.Dropout, trace: Trace, inputs: list[Value], features: int) -> Value:
    if not layer.rate:
        return inputs[0]
    mask = Mask(trace.stream(layer.seed), layer.rate)
    return trace.add(DropoutNode, layer, inputs, features, mask=mask)


@lower_layer.register
def _(layer: layers.GaussianNoise, trace: Trace, inputs: list[Value], features: int) -> Value:
    if not layer.stddev:
        return inputs[0]
    return trace.add(
        GaussianNoiseNode, layer, inputs, features,
        stream=trace.stream(layer.seed), stddev=layer.stddev,
    )  # fmt: skip


@lower_layer.register
def _(layer: layers.NumPyLayer, trace: Trace, inputs: list[Value], features: int) -> Value:
    return trace.add(NumPyNode, layer, inputs, features, numpy_layer=layer)


def _activate(layer: Layer, trace: Trace, value: Value, activation: Activation) -> Value:
    if activation.kind == "linear":
        return value
    if activation.kind == "softmax":
        return trace.add(SoftmaxNode, layer, [value], value.features)
    return trace.add(ActivationNode, layer, [value], value.features, activation=activation)
