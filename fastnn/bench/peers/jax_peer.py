"""JAX: the whole epoch is one compiled ``lax.scan`` over a permutation, with donated state."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fastnn.bench.peers import base

State = tuple[list[jax.Array], list[jax.Array], list[jax.Array], jax.Array]


def _logits(weights: list[jax.Array], x: jax.Array) -> jax.Array:
    for kernel, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
        x = jax.nn.relu(x @ kernel + bias)
    return x @ weights[-2] + weights[-1]


def _loss(weights: list[jax.Array], x: jax.Array, y: jax.Array) -> jax.Array:
    logs = jax.nn.log_softmax(_logits(weights, x))
    return -jnp.mean(jnp.take_along_axis(logs, y[:, None], axis=1))


def _step(x: jax.Array, y: jax.Array, state: State, rows: jax.Array) -> tuple[State, jax.Array]:
    weights, momenta, velocities, step = state
    loss, gradients = jax.value_and_grad(_loss)(weights, x[rows], y[rows])
    step = step + 1
    time = step.astype(jnp.float32)
    rate = base.LEARNING_RATE * jnp.sqrt(1 - base.BETA_2**time) / (1 - base.BETA_1**time)
    momenta = [m + (1 - base.BETA_1) * (g - m) for m, g in zip(momenta, gradients, strict=True)]
    velocities = [
        v + (1 - base.BETA_2) * (g * g - v) for v, g in zip(velocities, gradients, strict=True)
    ]
    weights = [
        w - rate * m / (jnp.sqrt(v) + base.EPSILON)
        for w, m, v in zip(weights, momenta, velocities, strict=True)
    ]
    return (weights, momenta, velocities, step), loss


def _epoch(
    x: jax.Array, y: jax.Array, state: State, order: jax.Array, batch: int
) -> tuple[State, jax.Array, jax.Array]:
    """The new state, the losses of the full batches, and that of the smaller rest if any."""
    full = len(order) // batch * batch
    step = functools.partial(_step, x, y)
    state, losses = jax.lax.scan(step, state, order[:full].reshape(-1, batch))
    rest = jnp.zeros(0)
    if full < len(order):
        state, loss = step(state, order[full:])
        rest = loss[None]
    return state, losses, rest


def _probabilities(weights: list[jax.Array], x: jax.Array) -> jax.Array:
    return jax.nn.softmax(_logits(weights, x))


_compiled_epoch = jax.jit(_epoch, static_argnums=4, donate_argnums=2)
_compiled_probabilities = jax.jit(_probabilities)


class JaxPeer(base.Trainer):
    def __init__(self, job: base.Job, threads: int, x: np.ndarray, y: np.ndarray) -> None:
        super().__init__(job, threads, x, y)
        self._x, self._y = jnp.asarray(x), jnp.asarray(y)
        self._rng = np.random.default_rng(0)
        weights = [jnp.asarray(w) for w in base.start_weights(job.widths)]
        self._state: Any = (
            weights,
            [jnp.zeros_like(w) for w in weights],
            [jnp.zeros_like(w) for w in weights],
            jnp.zeros((), jnp.int32),
        )

    def _train(self, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self._state, losses, rest = _compiled_epoch(
            self._x, self._y, self._state, order.astype(np.int32), self.job.batch
        )
        jax.block_until_ready(self._state)
        return np.asarray(losses), np.asarray(rest)

    def epoch(self) -> float:
        losses, rest = self._train(self._rng.permutation(self.job.rows))
        tail = self.job.rows - len(losses) * self.job.batch
        return float((losses.sum() * self.job.batch + rest.sum() * tail) / self.job.rows)

    def losses(self, count: int) -> list[float]:
        found: list[float] = self._train(np.arange(count * self.job.batch))[0].tolist()
        return found

    def weights(self) -> list[np.ndarray]:
        return [np.asarray(w) for w in self._state[0]]

    def predict(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(_compiled_probabilities(self._state[0], x))

    @classmethod
    def version(cls) -> str:
        return f"JAX {jax.__version__}"
