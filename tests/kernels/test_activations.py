"""Activations against float64, and their derivatives against its finite differences.

Bounds are counted in U, the unit roundoff: 1 for each arithmetic operation on the way to the
result, 3 for an exponential, 2 for erfc's fit; times the largest number that was rounded.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from fastnn.kernels.codes import ACTIVATIONS, READS_INPUT
from kernels.harness import (
    FEATURES,
    FINITE_DIFFERENCE_ERROR,
    ROWS,
    Array,
    Batch,
    U,
    assert_same_bits,
    assert_within,
    by_any_team,
    finite_difference,
    float32,
    make_op,
)

Function = Callable[[Array], Array]

ALPHA, SCALE = 1.6732632423543772, 1.0507009873554805
SLOPE = float(np.float32(0.3))
erf = np.vectorize(math.erf, otypes=[np.float64])
erfc = np.vectorize(math.erfc, otypes=[np.float64])


def constant(value: float) -> Function:
    return lambda x: np.full_like(x, value)


@dataclass(frozen=True)
class Twin:
    """``bound`` and ``slope_bound`` are in U, for the value and for the derivative at x."""

    value: Function
    bound: Function
    slope_bound: Function
    params: tuple[float, ...] = ()
    kinks: tuple[float, ...] = ()


def sigmoid(x: Array) -> Array:
    return np.exp(-np.logaddexp(0, -x))


def elu(x: Array, alpha: float) -> Array:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def gelu(x: Array) -> Array:
    return x * 0.5 * erfc(-x / math.sqrt(2))


def gelu_tanh(x: Array) -> Array:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def of_value(f: Function, ulps: float) -> Function:
    """A relative error."""
    return lambda x: ulps * np.abs(f(x))


TWINS = {
    "linear": Twin(lambda x: x, constant(0), constant(0)),
    "relu": Twin(lambda x: np.maximum(x, 0), constant(0), constant(0), kinks=(0.0,)),
    "leaky_relu": Twin(
        lambda x: np.where(x > 0, x, SLOPE * x), lambda x: np.abs(x), constant(0), (SLOPE,), (0.0,)
    ),
    # exp(x) is rounded before 1 is taken away
    "elu": Twin(lambda x: elu(x, 1.5), constant(1.5 * 5), constant(1.5 * 3), (1.5,), (0.0,)),
    "selu": Twin(
        lambda x: SCALE * elu(x, ALPHA),
        lambda x: np.maximum(2 * np.abs(x), SCALE * ALPHA * 7),
        constant(SCALE * ALPHA * 4),
        kinks=(0.0,),
    ),
    # the argument of exp is x^2 / 2
    "gelu": Twin(gelu, lambda x: (8 + 2 * x**2) * np.abs(gelu(x)), constant(16)),
    "gelu_tanh": Twin(
        gelu_tanh, lambda x: 8 * np.abs(x), lambda x: 8 * (1 + np.minimum(np.abs(x), 6) ** 3 / 6)
    ),
    "silu": Twin(
        lambda x: x * sigmoid(x),
        of_value(lambda x: x * sigmoid(x), 8),
        lambda x: 8 * (1 + np.abs(x) * sigmoid(x)),
    ),
    "tanh": Twin(np.tanh, of_value(np.tanh, 6), constant(4)),
    "sigmoid": Twin(sigmoid, of_value(sigmoid, 7), constant(3)),
    "hard_sigmoid": Twin(
        lambda x: np.clip(x / 6 + 0.5, 0, 1), constant(2), constant(1), kinks=(-3.0, 3.0)
    ),
    "softplus": Twin(
        lambda x: np.logaddexp(x, 0), of_value(lambda x: np.logaddexp(x, 0), 8), constant(7)
    ),
    "softsign": Twin(
        lambda x: x / (1 + np.abs(x)),
        of_value(lambda x: x / (1 + np.abs(x)), 2),
        constant(6),
        kinks=(0.0,),  # of the slope
    ),
    "relu_general": Twin(
        lambda x: np.where(x < 0.5, SLOPE * (x - 0.5), np.minimum(x, 6.0)),
        lambda x: 2 * SLOPE * np.abs(x - 0.5),
        constant(0),
        (SLOPE, 6.0, 0.5),
        (0.5, 6.0),
    ),
    "scaled_relu": Twin(
        lambda x: np.maximum(1.25 * x, 0), lambda x: 2 * np.abs(x), constant(0), (1.25,), (0.0,)
    ),
}

EXTREMES = np.float64(
    np.float32([0, 1e-30, 1e-8, 1e-4, 0.624999, 0.625, 0.7, 3, 8.9, 17, 20, 50, 87.3, 88.8, 1e4])
)


def test_every_activation_has_a_twin() -> None:
    assert TWINS.keys() == ACTIVATIONS.keys()


def points(twin: Twin, rows: int, features: int) -> Array:
    """Numbers of both signs from 1e-30 to 1e4, none within 1e-3 of a kink but for 0 itself."""
    x = float32(np.random.default_rng((rows, features)), rows, features, scale=3.0)
    special = np.concatenate([EXTREMES, -EXTREMES])[: x.size]
    x.flat[: special.size] = special
    for kink in twin.kinks:
        x[np.abs(x - kink) < 1e-3] += 0.0078125
    return x.astype(np.float32).astype(np.float64)


def forward(name: str, batch: Batch, x: Array, threads: int) -> Array:
    y = batch.unwritten(x.shape[1])
    params = {f"param_{i}": value for i, value in enumerate(TWINS[name].params)}
    op = make_op("activation_forward", z=batch.blocks(x), y=y, features=x.shape[1],
                 kind=ACTIVATIONS[name], **params)  # fmt: skip
    batch.run(op, threads=threads)
    return batch.read(y, x.shape[1], padding=None)


def backward(name: str, batch: Batch, x: Array, y: Array, dy: Array, threads: int,
             start: Array | None = None) -> Array:  # fmt: skip
    """dz, or ``start`` + dz. The activation gets what its kind reads: z or y."""
    features = x.shape[1]
    dz = batch.unwritten(features) if start is None else batch.blocks(start)
    params = {f"param_{i}": value for i, value in enumerate(TWINS[name].params)}
    op = make_op(
        "activation_backward", z=batch.blocks(x) if name in READS_INPUT else None,
        y=batch.blocks(y), dy=batch.blocks(dy), dz=dz, features=features, kind=ACTIVATIONS[name],
        accumulate=start is not None, **params,
    )  # fmt: skip
    batch.run(op, threads=threads)
    return batch.read(dz, features)


SIZES = [(1, 1), (2, 7), (5, 15), (16, 16), (17, 33), (31, 17), (33, 100), (257, 16), (600, 1)]


@pytest.mark.parametrize("name", TWINS)
def test_value(name: str) -> None:
    twin = TWINS[name]
    for rows, features in SIZES:
        batch = Batch(rows)
        x = points(twin, rows, features)
        (y,) = by_any_team(lambda n, b=batch, x=x: [forward(name, b, x, n)])
        # exp is 0 where it would be a denormal
        assert_within(y, twin.value(x), U * twin.bound(x) + 2.0**-125 * np.abs(x))


@pytest.mark.parametrize("name", TWINS)
def test_derivative(name: str) -> None:
    twin = TWINS[name]
    for rows, features in SIZES:
        batch = Batch(rows)
        x = points(twin, rows, features)
        dy = float32(np.random.default_rng(features), rows, features)
        y = twin.value(x)

        def compute(n: int, b=batch, x=x, y=y, dy=dy, start=None) -> list[Array]:  # type: ignore[no-untyped-def]
            return [backward(name, b, x, y, dy, n, start)]

        (dz,) = by_any_team(compute)
        slope = finite_difference(twin.value, x, 1e-5)
        bound = U * (twin.slope_bound(x) + np.abs(slope)) + FINITE_DIFFERENCE_ERROR * np.maximum(
            1, np.abs(x)
        )
        assert_within(dz, dy * slope, np.abs(dy) * bound)
        start = float32(np.random.default_rng(rows), rows, features)
        (added,) = by_any_team(lambda n, start=start: compute(n, start=start))
        assert_same_bits(added, start.astype(np.float32) + dz)


@pytest.mark.parametrize("name", TWINS)
def test_nan_stays_nan(name: str) -> None:
    batch = Batch(3)
    x = np.array([[1.0, np.nan], [-np.nan, 2.0], [0.5, -1.0]])
    y = forward(name, batch, x, 1)
    np.testing.assert_array_equal(np.isnan(y), np.isnan(x))
    dz = backward(name, batch, np.ones_like(x), np.full_like(x, 0.5), x, 1)
    np.testing.assert_array_equal(np.isnan(dz), np.isnan(x))


def softmax(z: Array) -> Array:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize("rows", ROWS[:-1])
def test_softmax(rows: int, features: int) -> None:
    batch = Batch(rows)
    random = np.random.default_rng((rows, features))
    z = float32(random, rows, features, scale=4.0)
    if features > 2:
        z[0, :2] = 3e4, -3e4  # exp of the difference is zero

    def forward_op(n: int) -> list[Array]:
        y = batch.unwritten(features)
        batch.run(make_op("softmax_forward", z=batch.blocks(z), y=y, features=features), threads=n)
        return [batch.read(y, features)]

    (y,) = by_any_team(forward_op)
    expected = softmax(z)
    # the argument of exp is rounded; sums run in 16 lanes
    roundings = np.abs(z - z.max(axis=1, keepdims=True)) + features / 16 + 22
    assert_within(y, expected, U * roundings * expected)

    dy = float32(random, rows, features)
    start = float32(random, rows, features)

    def backward_op(n: int, accumulate: bool = False) -> list[Array]:
        dz = batch.blocks(start) if accumulate else batch.unwritten(features)
        op = make_op("softmax_backward", y=batch.blocks(expected), dy=batch.blocks(dy), dz=dz,
                     features=features, accumulate=accumulate)  # fmt: skip
        batch.run(op, threads=n)
        return [batch.read(dz, features)]

    (dz,) = by_any_team(backward_op)
    (added,) = by_any_team(lambda n: backward_op(n, True))
    magnitude = np.abs(dy) + np.abs(expected * dy).sum(axis=1, keepdims=True)
    bound = (features + 6) * U * expected * magnitude
    assert_within(dz, expected * (dy - (expected * dy).sum(axis=1, keepdims=True)), bound)
    assert_within(added, start + dz, U * (np.abs(start) + np.abs(dz)) + bound)


def test_softmax_gradient_is_the_finite_difference() -> None:
    batch, features = Batch(5), 17
    random = np.random.default_rng(0)
    z, dy = float32(random, 5, features), float32(random, 5, features)
    dz = batch.unwritten(features)
    op = make_op("softmax_backward", y=batch.blocks(softmax(z)), dy=batch.blocks(dy), dz=dz,
                 features=features)  # fmt: skip
    batch.run(op, threads=1)
    expected = np.empty_like(z)
    for column in range(features):
        step = 1e-5 * (np.arange(features) == column)
        expected[:, column] = (dy * (softmax(z + step) - softmax(z - step))).sum(axis=1) / 2e-5
    magnitude = np.abs(dy) + np.abs(softmax(z) * dy).sum(axis=1, keepdims=True)
    bound = (features + 6) * U * softmax(z) * magnitude + FINITE_DIFFERENCE_ERROR
    assert_within(batch.read(dz, features), expected, bound)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_softmax_of_nan_is_nan(bad: float) -> None:
    """But for the padding, which counts as part of gradients and weights."""
    batch = Batch(2)
    z = np.array([[1.0, bad, 2.0], [1.0, 2.0, 3.0]])
    y = batch.unwritten(3)
    batch.run(make_op("softmax_forward", z=batch.blocks(z), y=y, features=3), threads=1)
    result = batch.read(y, 3)
    assert np.isnan(result[0]).all()
    assert np.isfinite(result[1]).all()
