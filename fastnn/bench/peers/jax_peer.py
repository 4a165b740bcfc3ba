"""JAX: the whole epoch is one compiled ``lax.scan`` over a permutation, with donated state.

BatchNorm takes the mean of squares less the square of the mean, as Flax does, and one
multiply-add an element, which is the fastest of the usual forms here. Dropout compares the bits of
JAX's default generator, threefry, with a threshold: on CPUs ``rbg`` and ``unsafe_rbg`` take longer,
and so does the detour of ``jax.random.bernoulli`` by way of float32.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fastnn.bench.peers import base

Layer = dict[str, jax.Array]
"""kernel and bias; with BatchNorm gamma and beta, or its moving mean and variance."""


class State(NamedTuple):
    weights: list[Layer]
    momenta: list[Layer]
    velocities: list[Layer]
    moving: list[Layer]
    step: jax.Array
    key: jax.Array


def _start(job: base.Job) -> State:
    arrays = list(map(jnp.asarray, base.start_weights(job.widths)))
    weights = [
        {"kernel": kernel, "bias": bias}
        for kernel, bias in zip(arrays[::2], arrays[1::2], strict=True)
    ]
    moving: list[Layer] = [{} for _ in job.widths[1:-1]]
    if job.batch_norm:
        for layer, statistics, width in zip(weights, moving, job.widths[1:-1], strict=False):
            layer |= {"gamma": jnp.ones(width), "beta": jnp.zeros(width)}
            statistics |= {"mean": jnp.zeros(width), "variance": jnp.ones(width)}
    # Two of them, because donated buffers must not be one and the same.
    momenta, velocities = (jax.tree.map(jnp.zeros_like, weights) for _ in range(2))
    return State(weights, momenta, velocities, moving, jnp.zeros((), jnp.int32), jax.random.key(0))


def _normalize(x: jax.Array, layer: Layer, mean: jax.Array, variance: jax.Array) -> jax.Array:
    scale = layer["gamma"] * jax.lax.rsqrt(variance + base.NORM_EPSILON)
    return x * scale + (layer["beta"] - mean * scale)


def _logits(
    job: base.Job, weights: list[Layer], moving: list[Layer], x: jax.Array, key: jax.Array | None
) -> tuple[jax.Array, list[Layer]]:
    """The net's output and its moving statistics after it; without a key, as in inference."""
    moved = []
    keys = None if key is None else jax.random.split(key, len(moving))
    for i, (layer, statistics) in enumerate(zip(weights[:-1], moving, strict=True)):
        x = x @ layer["kernel"] + layer["bias"]
        if job.batch_norm and keys is None:
            x = _normalize(x, layer, **statistics)
        elif job.batch_norm:
            mean = x.mean(0)
            now = {"mean": mean, "variance": (x * x).mean(0) - mean * mean}
            x = _normalize(x, layer, **now)
            statistics = jax.tree.map(
                lambda old, new: old + (1 - base.NORM_MOMENTUM) * (new - old), statistics, now
            )
        moved.append(statistics)
        x = jax.nn.relu(x)
        if job.dropout and keys is not None:
            threshold = jnp.asarray(round(job.dropout * 2**32), jnp.uint32)
            kept = jax.random.bits(keys[i], x.shape, jnp.uint32) >= threshold
            x = jnp.where(kept, x / (1 - job.dropout), 0)
    return x @ weights[-1]["kernel"] + weights[-1]["bias"], moved


def _loss(
    weights: list[Layer],
    job: base.Job,
    moving: list[Layer],
    x: jax.Array,
    y: jax.Array,
    key: jax.Array,
) -> tuple[jax.Array, list[Layer]]:
    logits, moving = _logits(job, weights, moving, x, key)
    logs = jax.nn.log_softmax(logits)
    return -jnp.mean(jnp.take_along_axis(logs, y[:, None], axis=1)), moving


def _clipped(gradients: list[Layer], norm: float) -> list[Layer]:
    """As ``optax.clip_by_global_norm``."""
    found = jnp.sqrt(sum(jnp.sum(g * g) for g in jax.tree.leaves(gradients)))
    scale = norm / jnp.maximum(found, norm)
    clipped: list[Layer] = jax.tree.map(lambda g: g * scale, gradients)
    return clipped


def _step(
    job: base.Job, x: jax.Array, y: jax.Array, state: State, rows: jax.Array
) -> tuple[State, jax.Array]:
    weights, momenta, velocities, moving, step, key = state
    (loss, moving), gradients = jax.value_and_grad(_loss, has_aux=True)(
        weights, job, moving, x[rows], y[rows], jax.random.fold_in(key, step)
    )
    if job.global_clipnorm is not None:
        gradients = _clipped(gradients, job.global_clipnorm)
    step = step + 1
    time = step.astype(jnp.float32)
    rate = base.LEARNING_RATE * jnp.sqrt(1 - base.BETA_2**time) / (1 - base.BETA_1**time)
    momenta = jax.tree.map(lambda m, g: m + (1 - base.BETA_1) * (g - m), momenta, gradients)
    velocities = jax.tree.map(
        lambda v, g: v + (1 - base.BETA_2) * (g * g - v), velocities, gradients
    )
    weights = jax.tree.map(
        lambda w, m, v: w - rate * m / (jnp.sqrt(v) + base.EPSILON), weights, momenta, velocities
    )
    return State(weights, momenta, velocities, moving, step, key), loss


def _epoch(
    job: base.Job, x: jax.Array, y: jax.Array, state: State, order: jax.Array
) -> tuple[State, jax.Array, jax.Array]:
    """The new state, the losses of the full batches, and that of the smaller rest if any."""
    full = len(order) // job.batch * job.batch
    step = functools.partial(_step, job, x, y)
    state, losses = jax.lax.scan(step, state, order[:full].reshape(-1, job.batch))
    rest = jnp.zeros(0)
    if full < len(order):
        state, loss = step(state, order[full:])
        rest = loss[None]
    return state, losses, rest


def _probabilities(
    job: base.Job, weights: list[Layer], moving: list[Layer], x: jax.Array
) -> jax.Array:
    return jax.nn.softmax(_logits(job, weights, moving, x, None)[0])


_compiled_epoch = jax.jit(_epoch, static_argnums=0, donate_argnums=3)
_compiled_probabilities = jax.jit(_probabilities, static_argnums=0)


class JaxPeer(base.Trainer):
    remedies = base.REMEDIES

    def __init__(self, job: base.Job, threads: int, x: np.ndarray, y: np.ndarray) -> None:
        super().__init__(job, threads, x, y)
        self._x, self._y = jnp.asarray(x), jnp.asarray(y)
        self._rng = np.random.default_rng(0)
        self._state: Any = _start(job)

    def _train(self, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self._state, losses, rest = _compiled_epoch(
            self.job, self._x, self._y, self._state, order.astype(np.int32)
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

    def predict(self, x: np.ndarray) -> np.ndarray:
        state = self._state
        return np.asarray(_compiled_probabilities(self.job, state.weights, state.moving, x))

    @classmethod
    def version(cls) -> str:
        return f"JAX {jax.__version__}"
