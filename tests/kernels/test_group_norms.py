"""GroupNormalization, against float64 twins.

Bounds as in test_norms.py: float32 sums over at most 4 rows of a chain and as many chunks as there
are, what is between channels in float64. Each number is within 64 U of what its terms add up to.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastnn.kernels.codes import ACTIVATIONS
from fastnn.kernels.group_norms import GROUP_MEANS, GROUP_STATISTICS
from fastnn.kernels.layout import aligned_zeros
from fastnn.lowering.program import Buffer, Buffers, make_op
from kernels.harness import (
    Array,
    Batch,
    U,
    assert_same_bits,
    assert_within,
    by_any_team,
    float32,
    read_weight,
    weight,
)

K = 64
EPSILON = float(np.float32(1e-3))

SHAPES = [
    ((1, 1, 1), 1), ((5, 1, 12), 3), ((3, 7, 5), 5), ((17, 9, 35), 7), ((33, 4, 32), 2),
    ((6, 50, 18), 1), ((2, 300, 33), 11), ((4, 6, 16), 16), ((2, 12, 70), 2),
]  # fmt: skip
"""Rows, positions and features; groups."""


def split(x: Array, groups: int) -> Array:
    """(rows, positions, groups, features of a group)"""
    return x.reshape(*x.shape[:2], groups, -1)


def normalized(x: Array, groups: int) -> tuple[Array, Array]:
    """x_hat, and rstd for each of its numbers."""
    parts = split(x, groups)
    rstd = 1 / np.sqrt(parts.var(axis=(1, 3), keepdims=True) + EPSILON)
    x_hat = (parts - parts.mean(axis=(1, 3), keepdims=True)) * rstd
    return x_hat.reshape(x.shape), np.broadcast_to(rstd, parts.shape).reshape(x.shape)


def mean_over_group(g: Array, groups: int) -> Array:
    parts = split(g, groups)
    return np.broadcast_to(parts.mean(axis=(1, 3), keepdims=True), parts.shape).reshape(g.shape)


def gradients(x: Array, dz: Array, gamma: Array, groups: int) -> tuple[Array, Array, Array]:
    """d_gamma, d_beta, dx."""
    x_hat, rstd = normalized(x, groups)
    g = gamma * dz
    dx = rstd * (g - mean_over_group(g, groups) - x_hat * mean_over_group(g * x_hat, groups))
    return (dz * x_hat).sum(axis=(0, 1)), dz.sum(axis=(0, 1)), dx


def bounds(x: Array, dz: Array, gamma: Array, groups: int) -> tuple[Array, Array, Array]:
    x_hat, rstd = normalized(x, groups)
    size, g = np.abs(x_hat) + 1, np.abs(gamma * dz)
    dx = rstd * (g + mean_over_group(g, groups) + size * mean_over_group(g * size, groups))
    return (
        K * U * (np.abs(dz) * size).sum(axis=(0, 1)), K * U * np.abs(dz).sum(axis=(0, 1)),
        K * U * dx,
    )  # fmt: skip


def test_twin_gradients_are_finite_differences() -> None:
    random = np.random.default_rng(0)
    x, dz = random.standard_normal((2, 3, 4, 6))
    gamma = random.standard_normal(6)
    d_gamma, _, dx = gradients(x, dz, gamma, 2)
    for value, found in ((x, dx), (gamma, d_gamma)):
        for i in np.ndindex(value.shape):
            sides = []
            for h in (1e-6, -1e-6):
                moved = value.copy()
                moved[i] += h
                at, factor = (moved, gamma) if value is x else (x, moved)
                sides.append(np.sum(dz * factor * normalized(at, 2)[0]))
            assert (sides[0] - sides[1]) / 2e-6 == pytest.approx(found[i], abs=1e-6)


def problem(shape: tuple[int, ...], mean: float = 0.0) -> tuple[Array, Array, Array, Array]:
    """x, dz, gamma, beta; each channel has a mean of its own."""
    random = np.random.default_rng(shape)
    x = mean + random.standard_normal(shape) + 3 * random.standard_normal(shape[2])
    return (
        x.astype(np.float32).astype(np.float64), float32(random, *shape),
        float32(random, shape[2]), float32(random, shape[2]),
    )  # fmt: skip


def unwritten(batch: Batch, numbers: int) -> Buffer:
    storage = aligned_zeros((batch.capacity, numbers))
    storage[:] = np.nan
    return Buffers.of_array("of groups", storage)


def forward(x: Array, groups: int, threads: int, activation: str = "linear", **weights: Any) -> Any:
    """y, and z."""
    rows, positions, features = x.shape
    batch = Batch(rows)
    y, z = batch.unwritten(features, positions), batch.unwritten(features, positions)
    batch.run(
        make_op(
            "groupnorm_forward", x=batch.blocks(x), y=y, z=z, epsilon=EPSILON, groups=groups,
            statistics=unwritten(batch, groups * GROUP_STATISTICS), features=features,
            activation=ACTIVATIONS[activation], **{k: weight(v) for k, v in weights.items()},
        ),
        threads=threads,
    )  # fmt: skip
    return [batch.read(y, features).reshape(x.shape), batch.read(z, features).reshape(x.shape)]


def backward(
    x: Array, dz: Array, gamma: Array | None, groups: int, threads: int, start: Any = None
) -> list[Array]:
    """d_gamma, d_beta, dx; ``start``: what these are added to."""
    rows, positions, features = x.shape
    batch = Batch(rows)
    sums = [weight(np.full(features, np.nan)) for _ in range(2)]
    dx = batch.unwritten(features, positions)
    if start is not None:
        sums, dx = [weight(each) for each in start[:2]], batch.blocks(start[2])
    accumulate = start is not None
    common = {
        "x": batch.blocks(x), "statistics": unwritten(batch, groups * GROUP_STATISTICS),
        "features": features, "groups": groups,
    }  # fmt: skip
    dz_blocks = batch.blocks(dz)
    batch.run(
        make_op("groupnorm_forward", y=batch.unwritten(features, positions), epsilon=EPSILON,
                **common),
        make_op("groupnorm_backward", dz=dz_blocks, dx=dx, accumulate=accumulate,
                gamma=None if gamma is None else weight(gamma),
                means=unwritten(batch, groups * GROUP_MEANS), **common),
        make_op("groupnorm_backward_weights", dz=dz_blocks, d_gamma=sums[0], d_beta=sums[1],
                accumulate_gamma=accumulate, accumulate_beta=accumulate, **common),
        threads=threads,
    )  # fmt: skip
    return [
        *(read_weight(b, (features,)) for b in sums), batch.read(dx, features).reshape(x.shape)
    ]  # fmt: skip


@pytest.mark.parametrize("mean", [0.0, 1e4])
@pytest.mark.parametrize(("shape", "groups"), SHAPES, ids=str)
def test_forward(shape: tuple[int, ...], groups: int, mean: float) -> None:
    x, _, gamma, beta = problem(shape, mean)
    y, z = by_any_team(lambda n: forward(x, groups, n, gamma=gamma, beta=beta))
    assert_same_bits(y, z)
    x_hat, _ = normalized(x, groups)
    bound = K * U * (np.abs(gamma) * (np.abs(x_hat) + 1) + np.abs(beta))
    assert_within(y, gamma * x_hat + beta, bound)
    rectified, z = by_any_team(lambda n: forward(x, groups, n, "relu", gamma=gamma, beta=beta))
    assert_same_bits(rectified, np.maximum(z, np.float32(0)))
    bare, _ = forward(x, groups, 2)
    assert_within(bare, x_hat, K * U * (np.abs(x_hat) + 1))


@pytest.mark.parametrize("mean", [0.0, 1e4])
@pytest.mark.parametrize(("shape", "groups"), SHAPES, ids=str)
def test_backward(shape: tuple[int, ...], groups: int, mean: float) -> None:
    x, dz, gamma, _ = problem(shape, mean)
    gamma.flat[0] = 0.0  # as of a block that begins as the identity
    found = by_any_team(lambda n: backward(x, dz, gamma, groups, n))
    wanted, limits = gradients(x, dz, gamma, groups), bounds(x, dz, gamma, groups)
    for actual, expected, bound in zip(found, wanted, limits, strict=True):
        assert_within(actual, expected, bound)


def test_backward_in_parts() -> None:
    """It is added to what is there; without gamma the factors are 1."""
    x, dz, _, _ = problem((9, 5, 20))
    random = np.random.default_rng(1)
    start = [float32(random, 20), float32(random, 20), float32(random, 9, 5, 20)]
    ones = np.ones(20)
    found = by_any_team(lambda n: backward(x, dz, None, 4, n, start))
    wanted, limits = gradients(x, dz, ones, 4), bounds(x, dz, ones, 4)
    for actual, expected, before, bound in zip(found, wanted, start, limits, strict=True):
        assert_within(actual, before + expected, bound + U * np.abs(before + expected))


def test_what_is_not_finite_stays_in_its_group() -> None:
    x, _, _, _ = problem((4, 3, 20))
    x[1, 2, 7] = np.inf
    y, _ = forward(x, 4, 2)
    wrong = np.zeros(x.shape, bool)
    wrong[1, :, 5:10] = True
    assert_same_bits(np.isnan(y), wrong)
