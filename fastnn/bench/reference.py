"""The same training in float64 NumPy, which every entrant must follow before it may race."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from fastnn.bench.peers import base

Arrays = dict[str, np.ndarray]
"""Of a layer: kernel and bias; with BatchNorm gamma and beta, or its moving mean and variance."""


@dataclass
class Net:
    """A job's net with its starting weights, which trains as the entrants do.

    ``dropout_seed``: of the masks; they are no library's, so losses with dropout are only alike.
    """

    job: base.Job
    dropout_seed: int = 0
    layers: list[Arrays] = field(init=False)
    moving: list[Arrays] = field(init=False)

    def __post_init__(self) -> None:
        arrays = [w.astype(np.float64) for w in base.start_weights(self.job.widths)]
        self.layers = [
            {"kernel": kernel, "bias": bias}
            for kernel, bias in zip(arrays[::2], arrays[1::2], strict=True)
        ]
        self.moving = []
        if self.job.batch_norm:
            for layer, width in zip(self.layers, self.job.widths[1:-1], strict=False):
                layer |= {"gamma": np.ones(width), "beta": np.zeros(width)}
                self.moving.append({"mean": np.zeros(width), "variance": np.ones(width)})
        self._random = np.random.default_rng(self.dropout_seed)
        self._momenta = [{name: 0 * w for name, w in layer.items()} for layer in self.layers]
        self._velocities = [{name: 0 * w for name, w in layer.items()} for layer in self.layers]

    def losses(self, x: np.ndarray, y: np.ndarray, count: int) -> list[float]:
        """Loss of each of the first ``count`` batches in order, each before its update by Adam.

        Adam as in Kingma & Ba (2015), end of section 2: epsilon is added to the uncorrected root,
        as Keras does.
        """
        found = []
        for step in range(1, count + 1):
            rows = slice((step - 1) * self.job.batch, step * self.job.batch)
            loss, gradients = self._loss_and_gradients(x[rows].astype(np.float64), y[rows])
            found.append(loss)
            rate = base.LEARNING_RATE * np.sqrt(1 - base.BETA_2**step) / (1 - base.BETA_1**step)
            for layer, m, v, gradient in zip(
                self.layers, self._momenta, self._velocities, self._clipped(gradients), strict=True
            ):
                for name, g in gradient.items():
                    m[name] += (1 - base.BETA_1) * (g - m[name])
                    v[name] += (1 - base.BETA_2) * (g * g - v[name])
                    layer[name] -= rate * m[name] / (np.sqrt(v[name]) + base.EPSILON)
        return found

    def probabilities(self, x: np.ndarray) -> np.ndarray:
        """Float64 probabilities (rows, classes), as in inference."""
        x = x.astype(np.float64)
        for i, layer in enumerate(self.layers[:-1]):
            x = x @ layer["kernel"] + layer["bias"]
            if self.job.batch_norm:
                x, _ = _normalized(x, layer, **self.moving[i])
            x = np.maximum(x, 0)
        found: np.ndarray = np.exp(self._log_probabilities(x))
        return found

    def _log_probabilities(self, x: np.ndarray) -> np.ndarray:
        """What the head makes of its inputs."""
        logits = x @ self.layers[-1]["kernel"] + self.layers[-1]["bias"]
        logits -= logits.max(1, keepdims=True)
        found: np.ndarray = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        return found

    def _loss_and_gradients(self, x: np.ndarray, y: np.ndarray) -> tuple[float, list[Arrays]]:
        job, inputs, standard, slopes = self.job, [x], [], []
        for i, layer in enumerate(self.layers[:-1]):
            z = inputs[-1] @ layer["kernel"] + layer["bias"]
            if job.batch_norm:
                mean, variance = z.mean(0), z.var(0)
                for name, now in (("mean", mean), ("variance", variance)):
                    self.moving[i][name] += (1 - base.NORM_MOMENTUM) * (now - self.moving[i][name])
                z, whitened = _normalized(z, layer, mean, variance)
                standard.append((whitened, np.sqrt(variance + base.NORM_EPSILON)))
            slope = (z > 0).astype(np.float64)
            if job.dropout:
                slope *= (self._random.random(z.shape) >= job.dropout) / (1 - job.dropout)
            slopes.append(slope)
            inputs.append(z * slope)
        logs = self._log_probabilities(inputs[-1])
        each = np.arange(len(y))
        delta = np.exp(logs)
        delta[each, y] -= 1
        delta /= len(y)
        gradients: list[Arrays] = []
        for i in reversed(range(len(self.layers))):
            gradient: Arrays = {}
            if i < len(slopes):
                delta = delta * slopes[i]
                if job.batch_norm:
                    # Ioffe & Szegedy (2015), section 3
                    whitened, deviation = standard[i]
                    gradient |= {"gamma": (delta * whitened).sum(0), "beta": delta.sum(0)}
                    delta = delta - delta.mean(0) - whitened * (delta * whitened).mean(0)
                    delta *= self.layers[i]["gamma"] / deviation
            gradient |= {"kernel": inputs[i].T @ delta, "bias": delta.sum(0)}
            gradients.insert(0, gradient)
            delta = delta @ self.layers[i]["kernel"].T
        return float(-logs[each, y].mean()), gradients

    def _clipped(self, gradients: list[Arrays]) -> list[Arrays]:
        limit = self.job.global_clipnorm
        if limit is None:
            return gradients
        norm = np.sqrt(sum(float((g * g).sum()) for own in gradients for g in own.values()))
        scale = limit / max(norm, limit)
        return [{name: g * scale for name, g in own.items()} for own in gradients]


def _normalized(
    z: np.ndarray, layer: Arrays, mean: np.ndarray, variance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """BatchNorm's output, and what it was before gamma and beta."""
    whitened = (z - mean) / np.sqrt(variance + base.NORM_EPSILON)
    return whitened * layer["gamma"] + layer["beta"], whitened
