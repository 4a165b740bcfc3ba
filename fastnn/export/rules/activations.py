"""Activation functions, and the layers that are one. A function here is a function of KINDS."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from fastnn import activations, layers
from fastnn.export.rules.base import LayerUse, export_layer
from fastnn.export.values import Value
from fastnn.layers.activation import ActivationLayer

Params = tuple[float, float, float]


@export_layer.register
def _(layer: ActivationLayer, use: LayerUse) -> Value:
    (value,) = use.inputs
    if layer.activation.kind != "softmax":
        return activated(use, value, layer.activation)
    axis = layer.axis if isinstance(layer, layers.Softmax) else -1
    return softmax(use, value, axis % (len(use.shape) + 1) - 1)


def activated(use: LayerUse, value: Value, activation: activations.Activation) -> Value:
    """activation(value); of the mean of a normal distribution, its expectation."""
    kind = activation.kind
    if kind == "linear":
        return value if use.read_once else replace(value, deviation=None)
    if kind == "softmax":
        return softmax(use, value, len(value.shape) - 1)
    if value.deviation is not None:
        return value.named(_expectation(use, value.name, value.deviation, activation))
    return value.named(function(use, value.name, activation))


def softmax(use: LayerUse, value: Value, axis: int) -> Value:
    """Softmax along an axis of the value's shape."""
    place = 1 if value.is_flattened else value.axis(axis)
    return value.named(use.add("Softmax", value.name, axis=place))


def function(use: LayerUse, x: str, activation: activations.Activation) -> str:
    """activation(x), number by number."""
    return FUNCTIONS[activation.kind](use, x, activation.params)


def _relu(use: LayerUse, x: str, params: Params) -> str:
    return use.add("Relu", x)


def _leaky_relu(use: LayerUse, x: str, params: Params) -> str:
    return use.add("LeakyRelu", x, alpha=params[0])


def _elu(use: LayerUse, x: str, params: Params) -> str:
    return use.add("Elu", x, alpha=params[0])


def _selu(use: LayerUse, x: str, params: Params) -> str:
    return use.add("Selu", x)


def _gelu(use: LayerUse, x: str, params: Params) -> str:
    erf = use.add("Erf", use.add("Div", x, use.number(math.sqrt(2))))
    return _half_of_gated(use, x, erf)


def _gelu_tanh(use: LayerUse, x: str, params: Params) -> str:
    cube = use.add("Mul", x, use.add("Mul", x, x))
    inner = use.add("Add", x, use.add("Mul", cube, use.number(0.044715)))
    return _half_of_gated(
        use, x, use.add("Tanh", use.add("Mul", inner, use.number(math.sqrt(2 / math.pi))))
    )


def _half_of_gated(use: LayerUse, x: str, gate: str) -> str:
    """x * (1 + gate) / 2, in the order in which onnxruntime knows it for a Gelu."""
    product = use.add("Mul", x, use.add("Add", gate, use.number(1)))
    return use.add("Mul", product, use.number(0.5))


def _silu(use: LayerUse, x: str, params: Params) -> str:
    return use.add("Mul", x, use.add("Sigmoid", x))


def _tanh(use: LayerUse, x: str, params: Params) -> str:
    return use.add("Tanh", x)


def _sigmoid(use: LayerUse, x: str, params: Params) -> str:
    return use.add("Sigmoid", x)


def _hard_sigmoid(use: LayerUse, x: str, params: Params) -> str:
    return use.add("HardSigmoid", x, alpha=1 / 6, beta=0.5)


def _softplus(use: LayerUse, x: str, params: Params) -> str:
    return use.add("Softplus", x)


def _softsign(use: LayerUse, x: str, params: Params) -> str:
    return use.add("Softsign", x)


def _relu_general(use: LayerUse, x: str, params: Params) -> str:
    slope, bound, threshold = params
    if slope == threshold == 0:
        return use.add("Clip", x, use.number(0), use.number(bound))
    below = use.add("Mul", use.add("Sub", x, use.number(threshold)), use.number(slope))
    above = x if math.isinf(bound) else use.add("Min", x, use.number(bound))
    return use.add("Where", use.add("Less", x, use.number(threshold)), below, above)


def _scaled_relu(use: LayerUse, x: str, params: Params) -> str:
    return use.add("Mul", use.add("Relu", x), use.number(params[0]))


FUNCTIONS: dict[str, Callable[[LayerUse, str, Params], str]] = {
    "relu": _relu,
    "leaky_relu": _leaky_relu,
    "elu": _elu,
    "selu": _selu,
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "silu": _silu,
    "tanh": _tanh,
    "sigmoid": _sigmoid,
    "hard_sigmoid": _hard_sigmoid,
    "softplus": _softplus,
    "softsign": _softsign,
    "relu_general": _relu_general,
    "scaled_relu": _scaled_relu,
}
"""By kind: all but linear, which is nothing, and softmax, which looks along an axis."""

_POINTS = 16


def _expectation(
    use: LayerUse, mean: str, deviation: str, activation: activations.Activation
) -> str:
    """Of activation(z), z normal: as ``fastnn.layers.Dense`` says of DropConnect."""
    if activation.kind in ("relu", "leaky_relu"):
        return _leaky_relu_expectation(use, mean, deviation, activation.params[0])
    nodes, weights = np.polynomial.hermite_e.hermegauss(_POINTS)
    last = use.extents(-1)
    means, deviations = (use.add("Unsqueeze", each, last) for each in (mean, deviation))
    z = use.add("Add", means, use.add("Mul", deviations, use.tensor("nodes", nodes)))
    weighted = use.add(
        "MatMul",
        function(use, z, activation),
        use.tensor("weights", weights[:, None] / weights.sum()),
    )
    return use.add("Squeeze", weighted, last)


def _leaky_relu_expectation(use: LayerUse, mean: str, deviation: str, slope: float) -> str:
    """slope m + (1 - slope) (m P(x > 0) + s density(m / s)), m the mean, s the deviation."""
    t = use.add("Div", mean, use.add("Max", deviation, use.number(1e-30)))
    erf = use.add("Erf", use.add("Mul", t, use.number(math.sqrt(0.5))))
    chance = use.add("Mul", use.add("Add", erf, use.number(1)), use.number(0.5))
    exponent = use.add("Mul", use.add("Mul", t, t), use.number(-0.5))
    density = use.add("Mul", use.add("Exp", exponent), use.number(1 / math.sqrt(2 * math.pi)))
    parts = [use.add("Mul", mean, chance), use.add("Mul", deviation, density)]
    relu = use.add("Relu", use.add("Add", *parts))
    if slope == 0:
        return relu
    scaled = use.add("Mul", relu, use.number(1 - slope))
    return use.add("Add", use.add("Mul", mean, use.number(slope)), scaled)
