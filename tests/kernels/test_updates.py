"""Optimizer steps against Keras's formulas in float64.

Every step starts from the float32 state that the kernel left, so that what is compared is the
arithmetic of one step: a handful of roundings of the numbers that it adds.
"""

from __future__ import annotations

import numpy as np
import pytest

from fastnn import optimizers
from fastnn.kernels.codes import KEEPS_SQUARES, OPTIMIZERS
from kernels.harness import (
    Array,
    Batch,
    U,
    assert_within,
    by_any_team,
    float32,
    read_weight,
    update_op,
    weight,
)

ROUNDINGS = 8
STEPS = 6

State = tuple[Array, ...]
"""w and its slots."""


def sgd(g, c, w):  # type: ignore[no-untyped-def]
    return (w - c[0] * g,)


def momentum(g, c, w, m):  # type: ignore[no-untyped-def]
    m = c[2] * m - c[0] * g
    return w + m, m


def nesterov(g, c, w, m):  # type: ignore[no-untyped-def]
    m = c[2] * m - c[0] * g
    return w + c[2] * m - c[0] * g, m


def adam(g, c, w, m, v):  # type: ignore[no-untyped-def]
    m, v = m + (g - m) * c[2], v + (g**2 - v) * c[3]
    return w - c[0] * m / (np.sqrt(v) + c[4]), m, v


def adam_amsgrad(g, c, w, m, v, v_hat):  # type: ignore[no-untyped-def]
    m, v = m + (g - m) * c[2], v + (g**2 - v) * c[3]
    v_hat = np.maximum(v, v_hat)
    return w - c[0] * m / (np.sqrt(v_hat) + c[4]), m, v, v_hat


def rmsprop(g, c, w, v):  # type: ignore[no-untyped-def]
    v = c[2] * v + (1 - c[2]) * g**2
    return w - c[0] * g / np.sqrt(v + c[3]), v


def rmsprop_momentum(g, c, w, v, m):  # type: ignore[no-untyped-def]
    v = c[2] * v + (1 - c[2]) * g**2
    m = c[4] * m + c[0] * g / np.sqrt(v + c[3])
    return w - m, v, m


def rmsprop_centered(g, c, w, v, m, a):  # type: ignore[no-untyped-def]
    v, a = c[2] * v + (1 - c[2]) * g**2, c[2] * a + (1 - c[2]) * g
    m = c[4] * m + c[0] * g / np.sqrt(v - a**2 + c[3])
    return w - m, v, m, a


def adagrad(g, c, w, a):  # type: ignore[no-untyped-def]
    a = a + g**2
    return w - c[0] * g / np.sqrt(a + c[2]), a


def nadam(g, c, w, m, v):  # type: ignore[no-untyped-def]
    m, v = m + (g - m) * c[2], v + (g**2 - v) * c[3]
    return w - (c[0] * m + c[5] * g) / (np.sqrt(v) + c[4]), m, v


def lion(g, c, w, m):  # type: ignore[no-untyped-def]
    w = w - c[0] * np.sign(c[2] * m + (1 - c[2]) * g)
    return w, c[3] * m + (1 - c[3]) * g


TWINS = {
    f.__name__: f
    for f in (
        sgd, momentum, nesterov, adam, adam_amsgrad, rmsprop, rmsprop_momentum, rmsprop_centered,
        adagrad, nadam, lion,
    )
}  # fmt: skip

MAKERS = {
    "sgd": lambda: optimizers.SGD(0.1, weight_decay=0.02),
    "momentum": lambda: optimizers.SGD(0.1, momentum=0.9),
    "nesterov": lambda: optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    "adam": lambda: optimizers.AdamW(0.05, weight_decay=0.1),
    "adam_amsgrad": lambda: optimizers.Adam(0.05, amsgrad=True),
    "rmsprop": lambda: optimizers.RMSprop(0.05),
    "rmsprop_momentum": lambda: optimizers.RMSprop(0.05, momentum=0.8, weight_decay=0.1),
    "rmsprop_centered": lambda: optimizers.RMSprop(0.05, momentum=0.8, centered=True),
    "adagrad": lambda: optimizers.Adagrad(0.05, weight_decay=0.1),
    "nadam": lambda: optimizers.Nadam(0.05, weight_decay=0.1),
    "lion": lambda: optimizers.Lion(0.05, 0.8, 0.9, weight_decay=0.1),
}


def test_every_optimizer_has_a_twin() -> None:
    assert TWINS.keys() == MAKERS.keys() == OPTIMIZERS.keys()


@pytest.mark.parametrize("kernel", TWINS)
def test_only_slots_of_squares_overflow(kernel: str) -> None:
    """The gradient is finite, its square is not: the guard must know whose slots it would spoil."""
    optimizer = MAKERS[kernel]()
    w, gradient = weight(np.ones(5)), weight(np.full(5, 1e25))
    slots = [weight(np.zeros(5)) for _ in optimizer.slots]
    (scalars,) = optimizer.scalars(np.zeros(1, np.int64), np.full(1, 0.1))
    op = update_op(gradient, w, slots, optimizer=OPTIMIZERS[kernel])
    Batch(1).run(op, threads=1, scalars=scalars)
    overflow = any(np.isinf(read_weight(slot, (5,))).any() for slot in slots)
    assert overflow == (kernel in KEEPS_SQUARES)


@pytest.mark.parametrize(
    "shape", [(1,), (7,), (16,), (100,), (5, 3), (33, 17), (100, 300)], ids=str
)
@pytest.mark.parametrize("kernel", TWINS)
def test_steps(kernel: str, shape: tuple[int, ...]) -> None:
    optimizer = MAKERS[kernel]()
    assert optimizer.kernel == kernel
    random = np.random.default_rng(len(shape))
    gradients = [float32(random, *shape) for _ in range(STEPS)]
    scalars = optimizer.scalars(np.arange(STEPS), np.full(STEPS, optimizer.learning_rate))
    start = float32(random, *shape)
    first = [
        np.full(shape, np.float32(optimizer.initial_values.get(slot, 0)), np.float64)
        for slot in optimizer.slots
    ]

    def train(threads: int) -> list[Array]:
        """The states after each step, one after another."""
        batch = Batch(1)
        buffers = [weight(start), *map(weight, first)]
        states = []
        for gradient, step_scalars in zip(gradients, scalars, strict=True):
            op = update_op(weight(gradient), buffers[0], buffers[1:], optimizer=OPTIMIZERS[kernel])
            batch.run(op, threads=threads, scalars=step_scalars)
            states += [read_weight(buffer, shape) for buffer in buffers]
        return states

    states = by_any_team(train)
    width = 1 + len(optimizer.slots)
    before: State = (start, *first)
    for step in range(STEPS):
        c = scalars[step].astype(np.float32).astype(np.float64)
        after = tuple(
            state.astype(np.float64) for state in states[step * width : (step + 1) * width]
        )
        w, *slots = before
        expected = TWINS[kernel](gradients[step], c, w * (1 - c[1]), *slots)
        bounds = bounds_of(kernel, gradients[step], before, expected, c)
        for actual, wanted, bound in zip(after, expected, bounds, strict=True):
            assert_within(actual, wanted, ROUNDINGS * U * bound)
        before = after


def bounds_of(kernel: str, g: Array, before: State, after: State, c: Array) -> list[Array]:
    """What is rounded on the way to each number: the old and new values and the gradient's part."""
    w_size = np.abs(before[0]) + np.abs(after[0])
    slots = [np.abs(a) + np.abs(b) for a, b in zip(before[1:], after[1:], strict=True)]
    if kernel in ("momentum", "nesterov"):
        part = slots[0] + np.abs(c[0] * g)
        return [w_size + 2 * part, part]
    if kernel == "adagrad":
        step = np.abs(c[0] * g) / np.sqrt(after[1] + c[2])
        return [w_size + 2 * step, slots[0]]
    if kernel == "lion":
        m = slots[0] + np.abs((1 - c[3]) * g)
        d = np.abs(c[2] * before[1]) + np.abs((1 - c[2]) * g)
        unsure = np.abs(c[2] * before[1] + (1 - c[2]) * g) <= ROUNDINGS * U * d
        return [w_size + c[0] + unsure * 2 * c[0] / (ROUNDINGS * U), m]
    if kernel.startswith(("adam", "nadam")):
        m, v = slots[0] + np.abs(c[2] * g), slots[1] + c[3] * g**2
        # m's error, and v's by way of its root, against the denominator that is left
        by_gradient = np.abs(c[5] * g) if kernel == "nadam" else 0
        step = (c[0] * m + by_gradient) / (np.sqrt(after[-1]) + c[4]) * (1 + v / after[2])
        return [w_size + step, m, v, v][: len(after)]
    if kernel.startswith("rmsprop"):
        v = slots[0] + (1 - c[2]) * g**2
        variance = after[1] + c[3]
        a = np.zeros_like(g)
        if kernel == "rmsprop_centered":
            a = slots[2] + np.abs((1 - c[2]) * g)
            variance = variance - after[3] ** 2
        step = np.abs(c[0] * g) / np.sqrt(variance) * (1 + (v + a**2) / variance)
        m = slots[1] + step if len(slots) > 1 else step
        return [w_size + m, v, m, a][: len(after)]
    return [w_size + np.abs(c[0] * g)]


def test_lion_takes_the_sign() -> None:
    w, m = weight(np.zeros(5)), weight(np.zeros(5))
    gradient = weight(np.array([0.0, 3.0, -1e-30, np.nan, -np.inf]))
    op = update_op(gradient, w, [m], optimizer=OPTIMIZERS["lion"])
    Batch(1).run(op, threads=1, scalars=[0.5, 0.0, 0.9, 0.99])
    np.testing.assert_array_equal(read_weight(w, (5,)), [0, -0.5, 0.5, np.nan, 0.5])


def test_padding_that_holds_a_first_value_moves_nothing() -> None:
    """Not even without an epsilon, where padding of zeros would become NaN."""
    w, accumulator, shape = weight(np.ones((3, 5))), weight(np.zeros((3, 5))), (3, 5)
    assert accumulator.array is not None
    accumulator.array.fill(0.1)
    op = update_op(weight(np.ones(shape)), w, [accumulator], optimizer=OPTIMIZERS["adagrad"])
    Batch(1).run(op, threads=1, scalars=[0.5, 0.0, 0.0])
    np.testing.assert_allclose(read_weight(w, shape), 1 - 0.5 / np.sqrt(1.1), rtol=1e-6)
