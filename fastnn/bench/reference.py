"""The same training in float64 NumPy, which every entrant must follow before it may race."""

from __future__ import annotations

import numpy as np

from fastnn.bench.peers import base


def losses(
    widths: tuple[int, ...], batch: int, x: np.ndarray, y: np.ndarray, count: int
) -> list[float]:
    """Loss of each of the first ``count`` batches in order, each before its update by Adam.

    Adam as in Kingma & Ba (2015), end of section 2: epsilon is added to the uncorrected root, as
    Keras does.
    """
    weights = [w.astype(np.float64) for w in base.start_weights(widths)]
    momenta = [np.zeros_like(w) for w in weights]
    velocities = [np.zeros_like(w) for w in weights]
    found = []
    for step in range(1, count + 1):
        rows = slice((step - 1) * batch, step * batch)
        loss, gradients = _loss_and_gradients(weights, x[rows].astype(np.float64), y[rows])
        found.append(loss)
        rate = base.LEARNING_RATE * np.sqrt(1 - base.BETA_2**step) / (1 - base.BETA_1**step)
        for w, m, v, g in zip(weights, momenta, velocities, gradients, strict=True):
            m += (1 - base.BETA_1) * (g - m)
            v += (1 - base.BETA_2) * (g * g - v)
            w -= rate * m / (np.sqrt(v) + base.EPSILON)
    return found


def probabilities(widths: tuple[int, ...], x: np.ndarray) -> np.ndarray:
    """Float64 probabilities (rows, classes) under the starting weights."""
    weights = [w.astype(np.float64) for w in base.start_weights(widths)]
    found: np.ndarray = np.exp(_log_probabilities(weights, x.astype(np.float64))[0])
    return found


def _log_probabilities(
    weights: list[np.ndarray], x: np.ndarray
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Log-softmax of the net's output, and the input of every layer."""
    inputs = [x]
    for kernel, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
        inputs.append(np.maximum(inputs[-1] @ kernel + bias, 0))
    logits = inputs[-1] @ weights[-2] + weights[-1]
    logits -= logits.max(1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(1, keepdims=True)), inputs


def _loss_and_gradients(
    weights: list[np.ndarray], x: np.ndarray, y: np.ndarray
) -> tuple[float, list[np.ndarray]]:
    logs, inputs = _log_probabilities(weights, x)
    each = np.arange(len(y))
    delta = np.exp(logs)
    delta[each, y] -= 1
    delta /= len(y)
    gradients: list[np.ndarray] = []
    for source, kernel in zip(inputs[::-1], weights[-2::-2], strict=True):
        gradients = [source.T @ delta, delta.sum(0), *gradients]
        delta = (delta @ kernel.T) * (source > 0)
    return float(-logs[each, y].mean()), gradients
