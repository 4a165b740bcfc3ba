"""float64 NumPy twins of what the engine computes: slow, obvious, and only ever compared with."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805

_erf = np.vectorize(math.erf, otypes=[np.float64])


def _sigmoid(z: Array) -> Array:
    return 1 / (1 + np.exp(-z))


def _softmax(z: Array) -> Array:
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def _elu(z: Array) -> Array:
    return np.where(z > 0, z, np.expm1(np.minimum(z, 0)))


def _normal_cdf(z: Array) -> Array:
    return 0.5 * (1 + _erf(z / math.sqrt(2)))


def _normal_pdf(z: Array) -> Array:
    return np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)


@dataclass(frozen=True)
class Activation:
    """``value``: z -> a; ``slope``: z -> da/dz; ``kinks``: the z at which the slope jumps."""

    value: Callable[[Array], Array]
    slope: Callable[[Array], Array]
    kinks: tuple[float, ...] = ()


ACTIVATIONS = {
    "linear": Activation(lambda z: z, np.ones_like),
    "relu": Activation(lambda z: np.maximum(z, 0), lambda z: (z > 0) * 1.0, (0.0,)),
    "leaky_relu": Activation(
        lambda z: np.where(z > 0, z, 0.2 * z), lambda z: np.where(z > 0, 1, 0.2), (0.0,)
    ),
    "elu": Activation(_elu, lambda z: np.where(z > 0, 1, np.exp(np.minimum(z, 0)))),
    "selu": Activation(
        lambda z: SELU_SCALE * np.where(z > 0, z, SELU_ALPHA * np.expm1(np.minimum(z, 0))),
        lambda z: SELU_SCALE * np.where(z > 0, 1, SELU_ALPHA * np.exp(np.minimum(z, 0))),
        (0.0,),
    ),
    "gelu": Activation(lambda z: z * _normal_cdf(z), lambda z: _normal_cdf(z) + z * _normal_pdf(z)),
    "silu": Activation(
        lambda z: z * _sigmoid(z), lambda z: _sigmoid(z) * (1 + z * (1 - _sigmoid(z)))
    ),
    "tanh": Activation(np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "sigmoid": Activation(_sigmoid, lambda z: _sigmoid(z) * (1 - _sigmoid(z))),
    "hard_sigmoid": Activation(
        lambda z: np.clip(z / 6 + 0.5, 0, 1), lambda z: (np.abs(z) < 3) / 6, (-3.0, 3.0)
    ),
    "softplus": Activation(lambda z: np.logaddexp(z, 0), _sigmoid),
    "softsign": Activation(lambda z: z / (1 + np.abs(z)), lambda z: (1 + np.abs(z)) ** -2),
}
"""Elementwise activations; softmax, which mixes a row, is handled by ``Mlp`` itself."""

ACTIVATION_NAMES = [*ACTIVATIONS, "softmax"]

LOSSES = {
    "mean_squared_error": "linear",
    "sparse_categorical_crossentropy": "softmax",
    "binary_crossentropy": "sigmoid",
}
"""Loss name: the output activation that the twin pairs it with."""


@dataclass
class Mlp:
    """Dense layers with one hidden activation and the output that ``loss`` is paired with.

    ``weights`` is [kernel (in, out), bias (out,), ...], as ``Model.get_weights`` orders it.
    """

    weights: list[Array]
    hidden: str
    loss: str

    def pre_activations(self, x: Array) -> list[Array]:
        """z of every layer, (batch, units) each."""
        a, zs = x, []
        for layer in range(0, len(self.weights), 2):
            zs.append(a @ self.weights[layer] + self.weights[layer + 1])
            a = _activate(self.hidden, zs[-1])
        return zs

    def predict(self, x: Array) -> Array:
        """Outputs (batch, units)."""
        return _activate(LOSSES[self.loss], self.pre_activations(x)[-1])

    def loss_value(self, x: Array, y: Array) -> float:
        """Mean loss of the batch; y is (batch, units), or (batch,) class indices."""
        output = self.predict(x)
        if self.loss == "mean_squared_error":
            return float(np.mean((output - y) ** 2))
        if self.loss == "binary_crossentropy":
            return float(-np.mean(y * np.log(output) + (1 - y) * np.log1p(-output)))
        return float(-np.mean(np.log(output[np.arange(len(y)), y])))

    def gradients(self, x: Array, y: Array) -> list[Array]:
        """d loss / d weight, in the order of ``weights``."""
        zs = self.pre_activations(x)
        inputs = [x, *(_activate(self.hidden, z) for z in zs[:-1])]
        output = _activate(LOSSES[self.loss], zs[-1])
        dz = self._output_error(output, y)
        gradients: list[Array] = []
        for layer in reversed(range(len(zs))):
            gradients[:0] = [inputs[layer].T @ dz, dz.sum(axis=0)]
            if layer:
                da = dz @ self.weights[2 * layer].T
                dz = _backward(self.hidden, zs[layer - 1], inputs[layer], da)
        return gradients

    def margin(self, x: Array) -> float:
        """Distance of the nearest hidden pre-activation to a kink of the hidden activation.

        Where it is within rounding of zero, float32 and float64 may take different slopes.
        """
        kinks = ACTIVATIONS[self.hidden].kinks if self.hidden in ACTIVATIONS else ()
        hidden = self.pre_activations(x)[:-1]
        return min((np.abs(z - kink).min() for z in hidden for kink in kinks), default=np.inf)

    def _output_error(self, output: Array, y: Array) -> Array:
        """d loss / dz of the last layer."""
        if self.loss == "mean_squared_error":
            return 2 * (output - y) / output.size
        if self.loss == "binary_crossentropy":
            return (output - y) / output.size
        return (output - np.eye(output.shape[1])[y]) / len(y)


def _activate(name: str, z: Array) -> Array:
    return _softmax(z) if name == "softmax" else ACTIVATIONS[name].value(z)


def _backward(name: str, z: Array, a: Array, da: Array) -> Array:
    if name == "softmax":
        return a * (da - np.sum(da * a, axis=-1, keepdims=True))
    return da * ACTIVATIONS[name].slope(z)
