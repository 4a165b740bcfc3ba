"""JAX: the whole epoch is one compiled ``lax.scan`` over a permutation, with donated state. Of nets
for pictures it is one compiled step after another: on CPUs, XLA's convolutions take six times as
long within a loop.

BatchNorm takes the mean of squares less the square of the mean, as Flax does, and one
multiply-add an element, which is the fastest of the usual forms here. Dropout compares the bits of
JAX's default generator, threefry, with a threshold: on CPUs ``rbg`` and ``unsafe_rbg`` take longer,
and so does the detour of ``jax.random.bernoulli`` by way of float32.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fastnn.bench import nets
from fastnn.bench.peers import base

Layer = dict[str, jax.Array]
"""Kernel and bias, or gamma and beta, or a moving mean and variance."""


class State(NamedTuple):
    """``weights`` of each layer that has any, in order; ``moving`` of each BatchNorm."""

    weights: list[Layer]
    momenta: list[Layer]
    velocities: list[Layer]
    moving: list[Layer]
    step: jax.Array
    key: jax.Array


def _start(job: base.Job) -> State:
    arrays = map(jnp.asarray, base.start_weights(job.layers))
    weights: list[Layer] = []
    moving: list[Layer] = []
    for layer in nets.every(job.layers):
        if isinstance(layer, nets.Norm):
            zeros, ones = jnp.zeros(layer.channels), jnp.ones(layer.channels)
            weights.append({"gamma": ones, "beta": zeros})
            # Others, because donated buffers must not be one and the same.
            moving.append({"mean": jnp.copy(zeros), "variance": jnp.copy(ones)})
        elif isinstance(layer, nets.Dense) or (isinstance(layer, nets.Conv) and layer.bias):
            weights.append({"kernel": next(arrays), "bias": next(arrays)})
        elif isinstance(layer, nets.Conv):
            weights.append({"kernel": next(arrays)})
    momenta, velocities = (jax.tree.map(jnp.zeros_like, weights) for _ in range(2))
    return State(weights, momenta, velocities, moving, jnp.zeros((), jnp.int32), jax.random.key(0))


def _normalize(x: jax.Array, layer: Layer, mean: jax.Array, variance: jax.Array) -> jax.Array:
    scale = layer["gamma"] * jax.lax.rsqrt(variance + base.NORM_EPSILON)
    return x * scale + (layer["beta"] - mean * scale)


class _Pass:
    """One forward pass; without a key, as in inference. ``moved``: the statistics after it."""

    def __init__(self, weights: list[Layer], moving: list[Layer], key: jax.Array | None) -> None:
        self._weights, self._moving, self._key = iter(weights), iter(moving), key
        self.moved: list[Layer] = []

    def __call__(self, layers: Sequence[nets.Layer], x: jax.Array) -> jax.Array:
        for layer in layers:
            if isinstance(layer, nets.Weighted):
                x = _product(layer, next(self._weights), x)
            elif isinstance(layer, nets.Norm):
                x = self._norm(x)
            elif isinstance(layer, nets.Dropout):
                x = self._dropout(layer, x)
            elif isinstance(layer, nets.Residual):
                x = jax.nn.relu(self(layer.body, x) + self(layer.shortcut, x))
            elif isinstance(layer, nets.Flatten):
                x = x.reshape(len(x), -1)
            elif isinstance(layer, nets.GlobalAverage):
                x = x.mean((1, 2))
            else:
                x = _max_pool(x)
            if isinstance(layer, nets.Weighted | nets.Norm) and layer.relu:
                x = jax.nn.relu(x)
        return x

    def _norm(self, x: jax.Array) -> jax.Array:
        weights, statistics = next(self._weights), next(self._moving)
        now = statistics
        if self._key is not None:
            axes = tuple(range(x.ndim - 1))
            mean = x.mean(axes)
            now = {"mean": mean, "variance": (x * x).mean(axes) - mean * mean}
            statistics = jax.tree.map(
                lambda old, new: old + (1 - base.NORM_MOMENTUM) * (new - old), statistics, now
            )
        self.moved.append(statistics)
        return _normalize(x, weights, **now)

    def _dropout(self, layer: nets.Dropout, x: jax.Array) -> jax.Array:
        if self._key is None:
            return x
        self._key, key = jax.random.split(self._key)
        threshold = jnp.asarray(round(layer.rate * 2**32), jnp.uint32)
        kept = jax.random.bits(key, x.shape, jnp.uint32) >= threshold
        return jnp.where(kept, x / (1 - layer.rate), 0)


def _product(layer: nets.Weighted, weights: Layer, x: jax.Array) -> jax.Array:
    if isinstance(layer, nets.Dense):
        return x @ weights["kernel"] + weights["bias"]
    x = jax.lax.conv_general_dilated(
        x, weights["kernel"], (layer.stride, layer.stride), "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )  # fmt: skip
    return x + weights["bias"] if layer.bias else x


def _max_pool(x: jax.Array) -> jax.Array:
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def _loss(
    weights: list[Layer],
    job: base.Job,
    moving: list[Layer],
    x: jax.Array,
    y: jax.Array,
    key: jax.Array,
) -> tuple[jax.Array, list[Layer]]:
    forward = _Pass(weights, moving, key)
    logs = jax.nn.log_softmax(forward(job.layers, x))
    return -jnp.mean(jnp.take_along_axis(logs, y[:, None], axis=1)), forward.moved


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
    return jax.nn.softmax(_Pass(weights, moving, None)(job.layers, x))


def _epoch_by_steps(
    job: base.Job, x: jax.Array, y: jax.Array, state: State, order: np.ndarray
) -> tuple[State, jax.Array, jax.Array]:
    """As ``_epoch``."""
    losses = []
    for first in range(0, len(order), job.batch):
        state, loss = _compiled_step(job, x, y, state, order[first : first + job.batch])
        losses.append(loss)
    full = len(order) // job.batch
    return state, jnp.asarray(losses[:full]), jnp.asarray(losses[full:])


_compiled_step = jax.jit(_step, static_argnums=0, donate_argnums=3)
_compiled_epoch = jax.jit(_epoch, static_argnums=0, donate_argnums=3)
_compiled_probabilities = jax.jit(_probabilities, static_argnums=0)


class JaxPeer(base.Trainer):
    remedies = base.REMEDIES
    convolves = True

    def __init__(self, job: base.Job, threads: int, x: np.ndarray, y: np.ndarray) -> None:
        super().__init__(job, threads, x, y)
        self._x, self._y = jnp.asarray(x), jnp.asarray(y)
        self._rng = np.random.default_rng(0)
        self._state: Any = _start(job)

    def _train(self, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        epoch = _epoch_by_steps if self.job.pictures else _compiled_epoch
        self._state, losses, rest = epoch(
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
