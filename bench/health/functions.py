"""Activation functions and their slopes in float64."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fastnn.activations import Activation

Array = NDArray[np.float64]
Pull = Callable[[Array], Array]
"""From d loss / d output to d loss / d input."""

_SELU_SCALE, _SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
_erf = np.vectorize(math.erf, otypes=[np.float64])


def activate(activation: Activation, z: Array) -> tuple[Array, Pull]:
    """f(z), and the way back.

    Raises:
        ValueError: The function is not among those of the grid.
    """
    kind, slope = activation.kind, activation.params[0]
    if kind in _SMOOTH:
        y, d = _SMOOTH[kind](z)
    elif kind in _PIECEWISE:
        positive, scale, alpha = _PIECEWISE[kind], 1.0, slope
        if kind == "selu":
            scale, alpha = _SELU_SCALE, _SELU_ALPHA
        below, d_below = positive(z, alpha)
        y, d = scale * np.where(z > 0, z, below), scale * np.where(z > 0, 1.0, d_below)
    else:
        raise ValueError(f"activation {kind!r} is not one of {[*_SMOOTH, *_PIECEWISE]}")
    return y, lambda dy: dy * d


def _sigmoid(z: Array) -> Array:
    s: Array = np.exp(-np.logaddexp(0, -z))
    return s


def _exponential(z: Array, alpha: float) -> tuple[Array, Array]:
    e = np.exp(np.minimum(z, 0))
    return alpha * np.expm1(np.minimum(z, 0)), alpha * e


def _gelu(z: Array) -> tuple[Array, Array]:
    share = (1 + _erf(z / math.sqrt(2))) / 2
    return z * share, share + z * np.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def _silu(z: Array) -> tuple[Array, Array]:
    s = _sigmoid(z)
    return z * s, s * (1 + z * (1 - s))


def _tanh(z: Array) -> tuple[Array, Array]:
    y = np.tanh(z)
    return y, 1 - y * y


def _logistic(z: Array) -> tuple[Array, Array]:
    s = _sigmoid(z)
    return s, s * (1 - s)


_PIECEWISE: dict[str, Callable[[Array, float], tuple[Array, Array]]] = {
    "relu": lambda z, _: (np.zeros_like(z), np.zeros_like(z)),
    "leaky_relu": lambda z, slope: (slope * z, np.full_like(z, slope)),
    "elu": _exponential,
    "selu": _exponential,
}
"""What is z above 0: value and slope below."""

_SMOOTH: dict[str, Callable[[Array], tuple[Array, Array]]] = {
    "gelu": _gelu,
    "silu": _silu,
    "tanh": _tanh,
    "sigmoid": _logistic,
    "softplus": lambda z: (np.logaddexp(z, 0), _sigmoid(z)),
    "softsign": lambda z: (z / (1 + np.abs(z)), (1 + np.abs(z)) ** -2),
}
