"""Batch and layer normalization: statistics, outputs, gradients, moving averages.

Bounds: sums are chains of at most 32 (over rows: 128 / 4; over features: as many as there are
blocks, 49) additions, joined in a few more, and a variance is half as wrong in its root. Each
number is then within 64 U of what its terms add up to, U being float32's unit roundoff.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from twins import ACTIVATIONS as TWINS

from fastnn.kernels.codes import ACTIVATIONS, READS_INPUT, ROW_STATISTICS, STATISTICS
from fastnn.kernels.layout import BLOCK, aligned_zeros, n_blocks
from fastnn.lowering.program import Buffer, Buffers
from kernels.harness import (
    FEATURES,
    ROWS,
    Array,
    Batch,
    U,
    assert_same_bits,
    assert_within,
    by_any_team,
    float32,
    make_op,
    read_weight,
    weight,
)

K = 64
EPSILON = float(np.float32(1e-3))
SIZES = [(rows, 17) for rows in ROWS] + [(19, features) for features in FEATURES] + [(600, 100)]
OVER_BATCH, OVER_FEATURES = 0, 1


# The twins. ``axis`` is what is summed over: 0 the batch, 1 the features.


class Normalized(NamedTuple):
    mean: Array
    variance: Array
    rstd: Array
    x_hat: Array
    z: Array


def normalize(
    x: Array, gamma: Array, beta: Array, axis: int, epsilon: float = EPSILON
) -> Normalized:
    mean = x.mean(axis=axis, keepdims=True)
    variance = x.var(axis=axis, keepdims=True)
    rstd = 1 / np.sqrt(variance + epsilon)
    x_hat = (x - mean) * rstd
    return Normalized(mean, variance, rstd, x_hat, gamma * x_hat + beta)


def gradients(x: Array, dz: Array, gamma: Array, axis: int) -> tuple[Array, Array, Array]:
    """d_gamma, d_beta, dx."""
    _, _, rstd, x_hat, _ = normalize(x, gamma, np.zeros_like(gamma), axis)
    g = gamma * dz
    dx = rstd * (
        g - g.mean(axis=axis, keepdims=True) - x_hat * (g * x_hat).mean(axis=axis, keepdims=True)
    )
    return (dz * x_hat).sum(axis=0), dz.sum(axis=0), dx


@pytest.mark.parametrize("axis", [OVER_BATCH, OVER_FEATURES])
@pytest.mark.parametrize("shape", [(1, 4), (5, 1), (7, 6)], ids=str)
def test_twin_gradients_are_finite_differences(shape: tuple[int, int], axis: int) -> None:
    random = np.random.default_rng(shape)
    x, dz = random.standard_normal(shape), random.standard_normal(shape)
    gamma, beta = random.standard_normal((2, shape[1]))
    arguments = {"x": x, "gamma": gamma, "beta": beta}
    found = dict(zip(("gamma", "beta", "x"), gradients(x, dz, gamma, axis), strict=True))
    for name, value in arguments.items():
        for i in np.ndindex(value.shape):
            sides = []
            for h in (1e-6, -1e-6):
                moved = value.copy()
                moved[i] += h
                sides.append(np.sum(dz * normalize(**{**arguments, name: moved}, axis=axis).z))
            # 1e-12 of the second order, times 30 = epsilon^-1/2 a derivative; 1e-16 / h of rounding
            assert (sides[0] - sides[1]) / 2e-6 == pytest.approx(found[name][i], abs=1e-6)


# Operands


def problem(rows: int, features: int, mean: float = 0.0, deviation: float = 1.0) -> Any:
    """x, gamma, beta that float32 holds exactly, as float64."""
    random = np.random.default_rng((rows, features))
    x = (mean + deviation * random.standard_normal((rows, features))).astype(np.float32)
    return x.astype(np.float64), float32(random, features), float32(random, features)


def batch_statistics(features: int) -> Buffer:
    storage = aligned_zeros((n_blocks(features), STATISTICS, BLOCK))
    storage[:] = np.nan
    return Buffers.of_array("statistics", storage)


def row_statistics(batch: Batch) -> Buffer:
    storage = aligned_zeros((n_blocks(batch.capacity), ROW_STATISTICS, BLOCK))
    storage[:] = np.nan
    return Buffers.of_array("statistics", storage)


def settings(activation: str, features: int, **more: float) -> dict[str, Any]:
    params = {"param_0": 0.2} if activation == "leaky_relu" else {}
    return {"features": features, "activation": ACTIVATIONS[activation], **params, **more}


def forward(
    name: str, batch: Batch, x: Array, threads: int, activation: str = "linear",
    keep_z: bool = False, **operands: Any,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """y, z (y without one) and the statistics."""
    features = x.shape[1]
    y = batch.unwritten(features)
    z = batch.unwritten(features) if keep_z else None
    statistics = None
    if name == "batchnorm_forward":
        statistics = operands["statistics"] = batch_statistics(features)
    if name == "layernorm_forward":
        statistics = operands["statistics"] = row_statistics(batch)
    weights = {
        role: value if value is None or isinstance(value, Buffer) else weight(value)
        for role, value in operands.items()
    }
    op = make_op(name, x=batch.blocks(x), y=y, z=z, epsilon=EPSILON, **weights,
                 **settings(activation, features))  # fmt: skip
    batch.run(op, threads=threads)
    padding = None if activation in ("sigmoid", "softplus") else 0.0
    read = batch.read(y, features, padding)
    kept = read if statistics is None else statistics.array
    assert kept is not None
    if name == "layernorm_forward":
        used = kept.transpose(0, 2, 1).reshape(-1, ROW_STATISTICS)
        kept = np.array(used[: x.shape[0]])
    return read, read if z is None else batch.read(z, features), kept


NAMES = {"batchnorm_forward": OVER_BATCH, "layernorm_forward": OVER_FEATURES}


def bound_of(twin: Normalized, gamma: Array, beta: Array) -> Array:
    """Of y: x_hat is off by its own roundings and by the mean's, a fraction of a deviation."""
    return K * U * (np.abs(gamma) * (np.abs(twin.x_hat) + 1) + np.abs(beta))


# Forward


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("rows", "features"), SIZES)
def test_forward(rows: int, features: int, name: str) -> None:
    x, gamma, beta = problem(rows, features)
    batch = Batch(rows)
    y, _, _ = by_any_team(lambda n: forward(name, batch, x, n, gamma=gamma, beta=beta))
    twin = normalize(x, gamma, beta, NAMES[name])
    assert_within(y, twin.z, bound_of(twin, gamma, beta))


@pytest.mark.parametrize("name", NAMES)
def test_forward_without_gamma_or_beta(name: str) -> None:
    x, gamma, beta = problem(33, 20)
    batch = Batch(33)
    one, zero = np.ones(20), np.zeros(20)
    for g, b in ((gamma, None), (None, beta), (None, None)):
        y, _, _ = by_any_team(lambda n, g=g, b=b: forward(name, batch, x, n, gamma=g, beta=b))
        twin = normalize(x, one if g is None else g, zero if b is None else b, NAMES[name])
        assert_within(y, twin.z, bound_of(twin, one if g is None else g, zero if b is None else b))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "activation", ["relu", "leaky_relu", "tanh", "sigmoid", "gelu", "softplus"]
)
def test_forward_with_an_activation(activation: str, name: str) -> None:
    """f(z), bit for bit what the activation's own op makes of z; z is kept where asked."""
    x, gamma, beta = problem(150, 21)
    batch = Batch(150)
    weights = {"gamma": gamma, "beta": beta}
    z, _, _ = forward(name, batch, x, 1, **weights)
    for keep_z in (False, True):
        y, kept, _ = by_any_team(
            lambda n, k=keep_z: forward(name, batch, x, n, activation, k, **weights)
        )
        wanted = batch.unwritten(21)
        op = make_op("activation_forward", z=batch.blocks(z), y=wanted, features=21,
                     kind=ACTIVATIONS[activation], param_0=0.2)  # fmt: skip
        batch.run(op, threads=1)
        assert_same_bits(y, batch.read(wanted, 21, padding=None))
        if keep_z:
            assert_same_bits(kept, z)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("mean", "deviation"), [(1e4, 1.0), (-1e4, 1.0), (3e5, 1.0), (1e-3, 1e-6), (0.0, 1e8)]
)
def test_the_mean_costs_no_precision(mean: float, deviation: float, name: str) -> None:
    """The same bound as about zero: x holds what it holds, and nothing is lost after that."""
    for shape in ((128, 33), (600, 17), (33, 400)):
        x, gamma, beta = problem(*shape, mean, deviation)
        batch = Batch(shape[0])
        y, _, _ = by_any_team(lambda n: forward(name, batch, x, n, gamma=gamma, beta=beta))  # noqa: B023
        twin = normalize(x, gamma, beta, NAMES[name])
        assert_within(y, twin.z, bound_of(twin, gamma, beta))


@pytest.mark.parametrize("name", NAMES)
def test_a_pivot_far_from_the_mean(name: str) -> None:
    """The first 16 numbers are unlike the others: n / 16 of the precision may go, no more."""
    n = 640
    x = np.ones((n, n)) * np.arange(7)[np.arange(n) % 7, None]
    x[:16] += 1e3
    x = x.astype(np.float32).astype(np.float64)
    x = x if name == "batchnorm_forward" else x.T.copy()
    batch = Batch(n)
    y, _, _ = by_any_team(lambda k: forward(name, batch, x, k))
    twin = normalize(x, np.ones(n), np.zeros(n), NAMES[name])
    assert_within(y, twin.z, K * U * (n / 16) * (np.abs(twin.x_hat) + 1))


@pytest.mark.parametrize("value", [0.0, 0.1, 1e4, -3e30])
@pytest.mark.parametrize("name", NAMES)
def test_equal_numbers_have_no_variance(name: str, value: float) -> None:
    x = np.full((50, 50), np.float32(value), np.float64)
    beta = np.linspace(-1, 1, 50)
    y, _, _ = forward(name, Batch(50), x, 1, beta=beta)
    assert_same_bits(y, np.tile(beta.astype(np.float32), (50, 1)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_shows(name: str, bad: float) -> None:
    x, gamma, beta = problem(40, 20)
    x[17, 3] = bad
    y, _, _ = forward(name, Batch(40), x, 2, gamma=gamma, beta=beta)
    spoilt = y[:, 3] if name == "batchnorm_forward" else y[17]
    assert np.isnan(spoilt).all()
    assert np.isnan(y).sum() == spoilt.size


# The moving statistics


@pytest.mark.parametrize("features", [1, 16, 37])
@pytest.mark.parametrize("mean", [0.0, 1e4])
def test_moving_statistics(mean: float, features: int) -> None:
    x, _, _ = problem(130, features, mean)
    random = np.random.default_rng(features)
    before = mean + float32(random, features), np.abs(float32(random, features))
    before = tuple(np.float64(np.float32(value)) for value in before)
    momentum = float(np.float32(0.9))
    rest = float(np.float32(1 - 0.9))
    batch = Batch(130)
    _, _, statistics = forward("batchnorm_forward", batch, x, 1)

    def compute(n: int) -> list[Array]:
        moving = [weight(value) for value in before]
        op = make_op(
            "batchnorm_update_moving", statistics=Buffers.of_array("s", statistics),
            moving_mean=moving[0], moving_variance=moving[1], features=features,
            momentum=momentum, one_minus_momentum=rest,
        )  # fmt: skip
        batch.run(op, threads=n)
        return [read_weight(buffer, (features,)) for buffer in moving]

    for after, old, new in zip(by_any_team(compute), before, (x.mean(0), x.var(0)), strict=True):
        terms = momentum * np.abs(old) + rest * np.abs(new)
        assert_within(after, momentum * old + rest * new, 4 * U * terms + rest * K * U)


@pytest.mark.parametrize("activation", ["linear", "relu", "gelu"])
@pytest.mark.parametrize(("rows", "features"), [(1, 1), (1, 100), (33, 17), (300, 40)])
def test_inference(rows: int, features: int, activation: str) -> None:
    x, gamma, beta = problem(rows, features)
    random = np.random.default_rng(features)
    mean, variance = float32(random, features), np.abs(float32(random, features))
    batch = Batch(rows)

    def compute(n: int) -> Any:
        weights = {"gamma": gamma, "beta": beta, "moving_mean": mean, "moving_variance": variance}
        return forward("batchnorm_inference", batch, x, n, activation, **weights)[:1]

    (y,) = by_any_team(compute)
    scaled = (x - mean) * gamma / np.sqrt(variance + EPSILON)
    # four roundings of z; a slope of at most 1.13 and the roundings of gelu, 8 for exp and erf
    assert_within(y, TWINS[activation].value(scaled + beta),
                  16 * U * (np.abs(scaled) + np.abs(beta)))  # fmt: skip


# Backward


def backward(
    batch: Batch, x: Array, dy: Array, gamma: Array | None, statistics: Array, threads: int,
    activation: str = "linear", values: Array | None = None, start: Array | None = None,
    weights: bool = True, start_weights: tuple[Array, Array] | None = None, inputs: bool = True,
) -> list[Array]:  # fmt: skip
    """What batchnorm_backward makes: d_gamma and d_beta, dx and dx transposed.

    values: z or y, whichever the derivative reads. start: what dx is added to.
    """
    features = x.shape[1]
    dx = None
    if inputs:
        dx = batch.unwritten(features) if start is None else batch.blocks(start)
    dx_t = batch.transposed(features) if inputs and start is None else None
    sums = [weight(value) for value in start_weights or (np.zeros(features),) * 2]
    if start_weights is None:
        for buffer in sums:
            buffer.array[:] = np.nan  # type: ignore[index]
    role = "z" if activation in READS_INPUT else "y"
    given = {} if values is None else {role: batch.blocks(values)}
    if role == "z":
        given["y"] = batch.blocks(np.zeros_like(x))
    op = make_op(
        "batchnorm_backward", dy=batch.blocks(dy), x=batch.blocks(x), **given,
        gamma=None if gamma is None else weight(gamma),
        statistics=Buffers.of_array("statistics", statistics), dx=dx, dx_t=dx_t,
        d_gamma=sums[0] if weights else None, d_beta=sums[1] if weights else None,
        accumulate=start is not None, accumulate_gamma=start_weights is not None,
        accumulate_beta=start_weights is not None, **settings(activation, features),
    )  # fmt: skip
    batch.run(op, threads=threads)
    found = [read_weight(buffer, (features,)) for buffer in sums] if weights else []
    if dx is not None:
        found.append(batch.read(dx, features))
    if dx_t is not None:
        blocks = -(-batch.rows // BLOCK)
        turned = dx_t.array[:blocks].transpose(0, 3, 1, 2).reshape(BLOCK * blocks, -1)  # type: ignore[index]
        assert_same_bits(turned[: batch.rows, :features].copy(), found[-1])
        assert not turned[batch.rows :].any()
        assert not turned[:, features:].any()
    return found


def bounds_of(x: Array, dz: Array, gamma: Array, axis: int) -> tuple[Array, Array, Array]:
    """Of d_gamma, d_beta, dx: the terms of each sum, x_hat off as in ``bound_of``."""
    _, _, rstd, x_hat, _ = normalize(x, gamma, np.zeros_like(gamma), axis)
    size = np.abs(x_hat) + 1
    g = np.abs(gamma * dz)
    dx = rstd * (
        g + g.mean(axis=axis, keepdims=True) + size * (g * size).mean(axis=axis, keepdims=True)
    )
    return (
        K * U * (np.abs(dz) * size).sum(axis=0), K * U * np.abs(dz).sum(axis=0), K * U * dx,
    )  # fmt: skip


@pytest.mark.parametrize(("rows", "features"), SIZES)
def test_batchnorm_backward(rows: int, features: int) -> None:
    x, gamma, _ = problem(rows, features)
    dy = float32(np.random.default_rng(5), rows, features)
    batch = Batch(rows)
    _, _, statistics = forward("batchnorm_forward", batch, x, 1)
    found = by_any_team(lambda n: backward(batch, x, dy, gamma, statistics, n))
    wanted, bounds = gradients(x, dy, gamma, OVER_BATCH), bounds_of(x, dy, gamma, OVER_BATCH)
    for actual, expected, bound in zip(found, wanted, bounds, strict=True):
        assert_within(actual, expected, bound)
    if rows == 1:
        assert not found[2].any()


@pytest.mark.parametrize("mean", [1e4, -3e5])
def test_batchnorm_backward_far_from_zero(mean: float) -> None:
    x, gamma, _ = problem(300, 20, mean)
    dy = float32(np.random.default_rng(5), 300, 20)
    batch = Batch(300)
    _, _, statistics = forward("batchnorm_forward", batch, x, 1)
    found = backward(batch, x, dy, gamma, statistics, 2)
    wanted, bounds = gradients(x, dy, gamma, OVER_BATCH), bounds_of(x, dy, gamma, OVER_BATCH)
    for actual, expected, bound in zip(found, wanted, bounds, strict=True):
        assert_within(actual, expected, bound)


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "sigmoid", "gelu", "softplus"])
@pytest.mark.parametrize("accumulate", [False, True])
def test_batchnorm_backward_through_an_activation(activation: str, accumulate: bool) -> None:
    """As by the activation's own op before, bit for bit; added to what is there."""
    random = np.random.default_rng(3)
    x, gamma, _ = problem(150, 21)
    dy, values, start = (float32(random, 150, 21) for _ in range(3))
    if activation == "sigmoid":
        values = np.float64(np.float32(1 / (1 + np.exp(-values))))
    batch = Batch(150)
    _, _, statistics = forward("batchnorm_forward", batch, x, 1)
    dz = batch.unwritten(21)
    role = "z" if activation in READS_INPUT else "y"
    given = {"y": batch.blocks(np.zeros_like(x)), role: batch.blocks(values)}
    batch.run(
        make_op("activation_backward", dy=batch.blocks(dy), **given, dz=dz, features=21,
                kind=ACTIVATIONS[activation], param_0=0.2),
        threads=1,
    )  # fmt: skip
    apart = backward(batch, x, batch.read(dz, 21), gamma, statistics, 1)
    added = {"start": start} if accumulate else {}
    together = by_any_team(
        lambda n: backward(batch, x, dy, gamma, statistics, n, activation, values, **added)
    )
    if accumulate:
        # the sum is one multiply-add or two operations: within a rounding of the larger
        assert_within(together[2], start + apart[2].astype(np.float64),
                      4 * U * (np.abs(start) + np.abs(apart[2])))  # fmt: skip
        apart, together = apart[:2], together[:2]
    for ours, theirs in zip(together, apart, strict=True):
        assert_same_bits(ours, theirs)


def test_batchnorm_backward_in_parts() -> None:
    """Without gamma; weights alone; inputs alone; added to the gradients of another use."""
    random = np.random.default_rng(3)
    x, gamma, _ = problem(40, 21)
    dy = float32(random, 40, 21)
    batch = Batch(40)
    _, _, statistics = forward("batchnorm_forward", batch, x, 1)
    whole = backward(batch, x, dy, gamma, statistics, 1)
    for threads in (1, 2):
        parts = [
            *backward(batch, x, dy, gamma, statistics, threads, inputs=False),
            *backward(batch, x, dy, gamma, statistics, threads, weights=False),
        ]
        for ours, theirs in zip(parts, whole, strict=True):
            assert_same_bits(ours, theirs)
    start = float32(random, 21), float32(random, 21)
    added = backward(batch, x, dy, gamma, statistics, 2, start_weights=start)
    for ours, theirs, before in zip(added[:2], whole[:2], start, strict=True):
        assert_same_bits(ours, before.astype(np.float32) + theirs)
    plain = backward(batch, x, dy, None, statistics, 2)
    one = np.ones(21)
    assert_within(plain[2], gradients(x, dy, one, OVER_BATCH)[2],
                  bounds_of(x, dy, one, OVER_BATCH)[2])  # fmt: skip


@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize("scale", [False, True])
def test_batchnorm_inference_backward(scale: bool, accumulate: bool) -> None:
    random = np.random.default_rng(3)
    dz, start = float32(random, 40, 21), float32(random, 40, 21)
    gamma, variance = float32(random, 21), np.abs(float32(random, 21))
    batch = Batch(40)

    def compute(n: int) -> list[Array]:
        dx = batch.blocks(start) if accumulate else batch.unwritten(21)
        op = make_op(
            "batchnorm_inference_backward", dz=batch.blocks(dz), dx=dx, accumulate=accumulate,
            gamma=weight(gamma) if scale else None, moving_variance=weight(variance), features=21,
            epsilon=EPSILON,
        )  # fmt: skip
        batch.run(op, threads=n)
        return [batch.read(dx, 21)]

    (dx,) = by_any_team(compute)
    wanted = dz * (gamma if scale else 1) / np.sqrt(variance + EPSILON)
    before = start * accumulate
    assert_within(dx, before + wanted, 6 * U * (np.abs(before) + np.abs(wanted)))


def row_backward(
    batch: Batch, x: Array, dz: Array, gamma: Array | None, threads: int, start: Array | None = None
) -> list[Array]:
    """What the two ops of LayerNormalization make: d_gamma, d_beta, dx."""
    features = x.shape[1]
    statistics = row_statistics(batch)
    y = batch.unwritten(features)
    dx = batch.unwritten(features) if start is None else batch.blocks(start)
    sums = [weight(np.full(features, np.nan)) for _ in range(2)]
    common = {"x": batch.blocks(x), "statistics": statistics, "features": features}
    g = None if gamma is None else weight(gamma)
    dz_buffer = batch.blocks(dz)
    batch.run(
        make_op("layernorm_forward", y=y, epsilon=EPSILON, **common),
        make_op("layernorm_backward", dz=dz_buffer, gamma=g, dx=dx, accumulate=start is not None,
                **common),
        make_op("layernorm_backward_weights", dz=dz_buffer, d_gamma=sums[0], d_beta=sums[1],
                **common),
        threads=threads,
    )  # fmt: skip
    return [*(read_weight(b, (features,)) for b in sums), batch.read(dx, features)]


@pytest.mark.parametrize("mean", [0.0, 1e4])
@pytest.mark.parametrize(("rows", "features"), SIZES)
def test_layernorm_backward(rows: int, features: int, mean: float) -> None:
    x, gamma, _ = problem(rows, features, mean)
    dz = float32(np.random.default_rng(5), rows, features)
    batch = Batch(rows)
    found = by_any_team(lambda n: row_backward(batch, x, dz, gamma, n))
    wanted = gradients(x, dz, gamma, OVER_FEATURES)
    # sums over rows are one chain of 128
    bounds = [2 * bound for bound in bounds_of(x, dz, gamma, OVER_FEATURES)]
    for actual, expected, bound in zip(found, wanted, bounds, strict=True):
        assert_within(actual, expected, bound)


def test_layernorm_backward_in_parts() -> None:
    random = np.random.default_rng(3)
    x, _, _ = problem(40, 21)
    dz, start = float32(random, 40, 21), float32(random, 40, 21)
    batch = Batch(40)
    plain = by_any_team(lambda n: row_backward(batch, x, dz, None, n))
    one = np.ones(21)
    assert_within(plain[2], gradients(x, dz, one, OVER_FEATURES)[2],
                  bounds_of(x, dz, one, OVER_FEATURES)[2])  # fmt: skip
    added = row_backward(batch, x, dz, None, 2, start)
    assert_within(added[2], start + plain[2].astype(np.float64),
                  4 * U * (np.abs(start) + np.abs(plain[2])))  # fmt: skip
