"""The same training in float64 NumPy, which every entrant must follow before it may race."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from fastnn.bench import twins
from fastnn.bench.peers import base


@dataclass
class Net:
    """A job's net with its starting weights, which trains as the entrants do.

    ``layers``: weights of each layer that has any; ``moving``: the statistics of each BatchNorm.
    ``dropout_seed``: of the masks; they are no library's, so losses with dropout are only alike.
    """

    job: base.Job
    dropout_seed: int = 0
    layers: list[twins.Arrays] = field(init=False)
    moving: list[twins.Arrays] = field(init=False)

    def __post_init__(self) -> None:
        weights = (w.astype(np.float64) for w in base.start_weights(self.job.layers))
        self._chain = twins.Chain(
            self.job.layers, weights, np.random.default_rng(self.dropout_seed)
        )
        self._twins = [twin for twin in self._chain.every() if twin.weights]
        self.layers = [twin.weights for twin in self._twins]
        self.moving = [twin.moving for twin in self._twins if isinstance(twin, twins.Norm)]
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
        logits = self._chain.forward(x.astype(np.float64), training=False)
        found: np.ndarray = np.exp(_log_softmax(logits))
        return found

    def _loss_and_gradients(self, x: np.ndarray, y: np.ndarray) -> tuple[float, list[twins.Arrays]]:
        logs = _log_softmax(self._chain.forward(x, training=True))
        each = np.arange(len(y))
        delta = np.exp(logs)
        delta[each, y] -= 1
        delta /= len(y)
        self._chain.backward(delta)
        return float(-logs[each, y].mean()), [twin.gradients for twin in self._twins]

    def _clipped(self, gradients: list[twins.Arrays]) -> list[twins.Arrays]:
        limit = self.job.global_clipnorm
        if limit is None:
            return gradients
        norm = np.sqrt(sum(float((g * g).sum()) for own in gradients for g in own.values()))
        scale = limit / max(norm, limit)
        return [{name: g * scale for name, g in own.items()} for own in gradients]


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    logits = logits - logits.max(1, keepdims=True)
    found: np.ndarray = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    return found
