"""Norms of gradients x' dz that are found without them, from x x' and dz dz'."""

from __future__ import annotations

import numpy as np
import pytest

from fastnn.kernels.layout import BLOCK, n_blocks
from fastnn.lowering.program import Buffer, Op
from kernels.harness import (
    Array,
    Batch,
    array,
    by_any_team,
    float32,
    goes_on,
    make_op,
)


def products(
    x: Array, dz: Array, bias: bool = True, segments: int = 1
) -> tuple[Batch, list[Op], list[Buffer]]:
    """Ops that find the squared norms of x' dz and of the sum of dz, and by how much the first may
    be off; and where these three go. Padding holds something; x lies as a picture of so many
    positions."""
    batch = Batch(len(x))
    blocks, means = [], []
    for values, positions in ((x, segments), (dz, 1)):
        shape = values.shape if positions == 1 else (len(values), positions, -1)
        blocks.append(batch.blocks(values.reshape(shape)))
        means.append(array(np.full(values.shape[1], np.nan), np.float64))
        if positions > 1:
            continue
        last = blocks[-1].array[n_blocks(values.shape[1]) - 1]  # type: ignore[index]
        last[:, (values.shape[1] - 1) % BLOCK + 1 :] = 7.0
    (inputs, units), x_t, dz_t = (
        (x.shape[1], dz.shape[1]), batch.transposed(x.shape[1]), batch.transposed(dz.shape[1]),
    )  # fmt: skip
    found = array(np.full((n_blocks(len(x)), 4), np.nan), np.float64)
    results = [array([np.nan], np.float64) for _ in range(3)]
    ops = [
        make_op("center", x=blocks[0], means=means[0], y_t=x_t, features=inputs,
                segments=segments),
        make_op("center", x=blocks[1], means=means[1], features=units),
        make_op("transpose", x=blocks[1], y=dz_t, features=units),
        make_op("product_norms", x_t=x_t, x_means=means[0], dz_t=dz_t, dz_means=means[1],
                parts=found, inputs=inputs, units=units),
        make_op("product_norm_sums", x_means=means[0], dz_means=means[1], parts=found,
                kernel_norm=results[0], bias_norm=results[1] if bias else None, error=results[2],
                inputs=inputs, units=units, number=4),
    ]  # fmt: skip
    return batch, ops, results


def norms_of_products(x: Array, dz: Array, segments: int = 1) -> Array:
    """What the ops find."""

    def compute(threads: int) -> list[Array]:
        batch, ops, results = products(x, dz, segments=segments)
        batch.run(*ops, threads=threads)
        return [np.array(result.array) for result in results]

    return np.concatenate(by_any_team(compute))


@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize("mean", [0.0, 1.0, 3e4])
@pytest.mark.parametrize("units", [1, 10, 33])
@pytest.mark.parametrize("inputs", [1, 16, 100, 784])
@pytest.mark.parametrize("rows", [1, 2, 16, 17, 32, 47, 64])
def test_norms_of_products(rows: int, inputs: int, units: int, mean: float, centered: bool) -> None:
    """However large the means of x are beside what is left of it, and where dz sums to 0."""
    random = np.random.default_rng([rows, inputs, units])
    x = np.float32(float32(random, rows, inputs) + mean).astype(np.float64)
    dz = float32(random, rows, units)
    if centered:
        dz = np.float32(dz - dz.mean(axis=0)).astype(np.float64)
    of_kernel, of_bias, error = norms_of_products(x, dz)
    wanted = np.sum((x.T @ dz) ** 2)
    assert abs(of_kernel - wanted) <= error + 1e-6 * wanted
    assert of_bias == pytest.approx(np.sum(dz.sum(axis=0) ** 2), rel=1e-10, abs=1e-25)
    if 2 < rows < inputs:
        assert error < 1e-4 * wanted


@pytest.mark.parametrize("segments", [2, 6])
def test_norms_of_products_of_pictures(segments: int) -> None:
    """Those of the same numbers in one line."""
    random = np.random.default_rng(segments)
    x, dz = float32(random, 33, 96), float32(random, 33, 10)
    np.testing.assert_array_equal(norms_of_products(x, dz, segments), norms_of_products(x, dz))


def test_norms_of_products_without_bias() -> None:
    batch, ops, (of_kernel, of_bias, _) = products(np.ones((3, 2)), np.ones((3, 4)), bias=False)
    batch.run(*ops, threads=2)
    assert of_kernel.array is not None and of_bias.array is not None
    assert of_kernel.array[0] == 72 and np.isnan(of_bias.array[0])


@pytest.mark.parametrize("seed", range(20))
def test_norms_of_products_that_cancel_are_not_negative(seed: int) -> None:
    """Rows are multiples of one, and dz is orthogonal to the factors: only rounding is left."""
    random = np.random.default_rng(seed)
    factors, dz = random.standard_normal((32, 1)), random.standard_normal((32, 20))
    x = np.float32(factors * random.standard_normal((1, 50))).astype(np.float64)
    dz -= factors * (factors.T @ dz) / np.sum(factors**2)
    dz = np.float32(dz).astype(np.float64)
    of_kernel, _, error = norms_of_products(x, dz)
    assert 0 <= of_kernel <= np.sum((x.T @ dz) ** 2) + error


@pytest.mark.parametrize(
    ("x", "dz", "proved"),
    [
        (1.0, 1.0, True), (1e9, 1e7, True), (1e9, 1e10, False), (1e-20, 1e18, False),
        (1e-20, 1e16, True), (0.0, np.inf, False), (np.nan, 0.0, False), (0.0, np.nan, False),
        (np.inf, 0.0, False), (0.0, 0.0, True), (3e20, 1e-10, False), (1e15, 1e-10, True),
    ],
)  # fmt: skip
@pytest.mark.parametrize("row", [0, 18])
def test_norms_of_products_prove_them_finite(x: float, dz: float, proved: bool, row: int) -> None:
    """The guard stops the step where they do not, also if it lets pass what is not finite."""
    left, right = np.zeros((20, 30)), np.zeros((20, 9))
    left[row, 29], right[row, 3] = x, dz
    batch, ops, results = products(left, right)
    batch.run(*ops, threads=1)
    of_kernel, of_bias, _ = (float(result.array[0]) for result in results)  # type: ignore[index]
    assert np.isfinite(of_kernel) == np.isfinite(of_bias) == proved
    for halts in (False, True):
        guard = make_op(
            "guard", norms=array([1.0, of_kernel, of_bias], np.float64), count=3, unstored=2,
            errors=array([0.0], np.float64), halts=halts,
        )  # fmt: skip
        assert [goes_on(batch, guard, n) for n in (1, 2, 3)] == [proved] * 3
