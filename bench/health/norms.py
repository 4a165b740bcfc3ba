"""Gradients of a net in float64 NumPy: slow, obvious, and none of the engine's arithmetic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.health.functions import Array, Pull, activate
from fastnn import layers
from fastnn.layers.base import Layer

Gradients = dict[str, list[Array]]
"""Name of a layer -> gradients of its weights, in the order of ``layer.trainable_weights``."""

_EPSILON = 1e-7
"""Keras's; probabilities are clipped to [epsilon, 1 - epsilon]."""


def gradient_norms(model: Any, kind: str, x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """The L2 norm of each layer's gradient, as ``fastnn.gradient_norms`` gives it in float32.

    Args:
        model: A case's net: Dense, Activation, BatchNormalization, LayerNormalization and Residual.
        kind: The case's loss.
        x, y: One batch, as the net is fed: (rows, features), and labels or one-hot targets.

    Returns:
        The name of each layer that trains -> its norm, in the model's order; inf or NaN where
        float64 does not suffice.
    """
    _, found = loss_and_gradients(model, kind, x, y)
    with np.errstate(all="ignore"):
        squares = {name: sum(float((g * g).sum()) for g in own) for name, own in found.items()}
    return {name: math.sqrt(square) for name, square in squares.items()}


def loss_and_gradients(
    model: Any, kind: str, x: np.ndarray, y: np.ndarray
) -> tuple[float, Gradients]:
    """The mean loss of the batch as in training, and its gradients, in the model's order."""
    found: Gradients = {}
    with np.errstate(all="ignore"):
        features, pull = _chain(model.layers[:-1], x.astype(np.float64), found)
        logits, pull_logits = _dense(model.layers[-1], features, found)
        loss, d_logits = _head(kind, logits, y)
        pull(pull_logits(d_logits))
    return loss, {
        name: found[name]
        for name in dict.fromkeys(w.path.rpartition("/")[0] for w in model.trainable_weights)
    }


def _chain(stack: Sequence[Layer], x: Array, found: Gradients) -> tuple[Array, Pull]:
    pulls: list[Pull] = []
    for layer in stack:
        if isinstance(layer, layers.Dense):
            x, pull = _dense(layer, x, found)
        elif isinstance(layer, layers.Activation):
            x, pull = activate(layer.activation, x)
        elif isinstance(layer, layers.BatchNormalization):
            x, pull = _normalize(layer, 0, x, found)
        elif isinstance(layer, layers.LayerNormalization):
            x, pull = _normalize(layer, 1, x, found)
        elif isinstance(layer, layers.Residual):
            x, pull = _residual(layer, x, found)
        else:
            raise TypeError(f"layer {layer.name!r}: {type(layer).__name__} is in no case's net")
        pulls.append(pull)

    def pull_all(dy: Array) -> Array:
        for pull in reversed(pulls):
            dy = pull(dy)
        return dy

    return x, pull_all


def _dense(layer: Any, x: Array, found: Gradients) -> tuple[Array, Pull]:
    """The product and bias alone: cases' activations are layers, and the head knows its softmax."""
    kernel, bias = (w.astype(np.float64) for w in layer.get_weights())

    def pull(dy: Array) -> Array:
        found[layer.name] = [x.T @ dy, dy.sum(0)]
        dx: Array = dy @ kernel.T
        return dx

    return x @ kernel + bias, pull


def _normalize(layer: Any, axis: int, x: Array, found: Gradients) -> tuple[Array, Pull]:
    """Over the batch, ``axis`` 0 (Ioffe & Szegedy 2015, section 3), or the features, 1."""
    gamma, beta = (w.astype(np.float64) for w in layer.get_weights()[:2])
    deviation = np.sqrt(x.var(axis, keepdims=True) + layer.epsilon)
    white = (x - x.mean(axis, keepdims=True)) / deviation

    def pull(dy: Array) -> Array:
        found[layer.name] = [(dy * white).sum(0), dy.sum(0)]
        d = dy * gamma
        mean, slope = d.mean(axis, keepdims=True), (d * white).mean(axis, keepdims=True)
        dx: Array = (d - mean - white * slope) / deviation
        return dx

    return white * gamma + beta, pull


def _residual(layer: Any, x: Array, found: Gradients) -> tuple[Array, Pull]:
    """Widths are equal in a case's net: there is no projection."""
    y, pull_branch = _chain(layer.layers, x, found)
    return x + y, lambda dy: dy + pull_branch(dy)


def _head(kind: str, z: Array, y: np.ndarray) -> tuple[float, Array]:
    """Mean loss, and its gradient by what the output layer's product gives."""
    rows = len(z)
    if kind == "mse":
        return float(np.mean((z - y) ** 2)), 2 * (z - y) / z.size
    each = np.arange(rows)
    if kind == "no_softmax":
        # The outputs over their sum, clipped
        total = z.sum(1)
        q = z[each, y] / total
        inside = (q >= _EPSILON) & (q <= 1 - _EPSILON)
        dz = np.where(inside, 1 / total, 0)[:, None] * np.ones(z.shape[1])
        dz[each, y] -= np.where(inside, 1 / z[each, y], 0)
        return float(-np.mean(np.log(np.clip(q, _EPSILON, 1 - _EPSILON)))), dz / rows
    if kind == "double_softmax":
        p = np.exp(_log_softmax(z))
        loss, dp = _head("softmax", p, y)
        return loss, p * (dp - (dp * p).sum(1, keepdims=True))
    logs = _log_softmax(z)
    dz = np.exp(logs)
    dz[each, y] -= 1
    return float(-logs[each, y].mean()), dz / rows


def _log_softmax(z: Array) -> Array:
    z = z - z.max(1, keepdims=True)
    logs: Array = z - np.log(np.exp(z).sum(1, keepdims=True))
    return logs
