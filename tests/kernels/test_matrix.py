"""The ops over whole matrices that Muon is made of, against float64.

A sum of n products is off by at most (n + 1) U of the sum of their magnitudes, whatever its order
(Higham 2002, section 3.1); a few roundings more stand for what follows the sum.
"""

from __future__ import annotations

import numpy as np
import pytest

from fastnn.kernels.layout import BLOCK, aligned_zeros, n_blocks
from fastnn.lowering.program import Buffer, Buffers
from kernels.harness import (
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

SHAPES = [
    (1, 1), (5, 3), (16, 16), (17, 15), (40, 33), (130, 64), (257, 65), (300, 100), (64, 150),
    (600, 17), (128, 257),
]  # fmt: skip

each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def matrix(x: Array) -> Buffer:
    """Packed, with NaN in the row that only makes their number odd."""
    buffer = weight(x)
    assert buffer.array is not None
    buffer.array[:, x.shape[0] :] = np.nan
    return buffer


def unwritten(*shape: int) -> Buffer:
    buffer = weight(np.zeros(shape))
    assert buffer.array is not None
    buffer.array[:] = np.nan
    return buffer


def read(buffer: Buffer, shape: tuple[int, int]) -> Array:
    """What was written; the padding of columns must be zero, and the odd row as it was."""
    assert buffer.array is not None
    assert np.isnan(buffer.array[:, shape[0] :]).all()
    buffer.array[:, shape[0] :] = 0
    return read_weight(buffer, shape)


def rounded_up(columns: int) -> int:
    return n_blocks(columns) * BLOCK


def symmetric(random: np.random.Generator, columns: int) -> tuple[Array, Buffer]:
    """A symmetric matrix, and itself with room for whole blocks."""
    half = float32(random, columns, columns)
    x = np.triu(half) + np.triu(half, 1).T
    side = rounded_up(columns)
    return x, matrix(np.pad(x, (0, side - columns)))


def read_symmetric(buffer: Buffer, columns: int) -> Array:
    side = rounded_up(columns)
    y = read(buffer, (side, side))
    np.testing.assert_array_equal(y[columns:], 0)
    np.testing.assert_array_equal(y[:, columns:], 0)
    y = y[:columns, :columns]
    assert_same_bits(y, y.T)
    return y


def strips(shape: tuple[int, int]) -> int:
    return n_blocks(shape[1]) * -(-shape[0] // 128)


def sums(shape: tuple[int, int]) -> Buffer:
    storage = aligned_zeros((strips(shape),), np.float64)
    storage[:] = np.nan
    return Buffers.of_array("squares", storage)


@each_shape
def test_gram(shape: tuple[int, int]) -> None:
    rows, columns = shape
    x = float32(np.random.default_rng(rows), *shape)

    def compute(threads: int) -> list[Array]:
        side = rounded_up(columns)
        y = unwritten(side, side)
        op = make_op("gram", x=matrix(x), y=y, rows=rows, columns=columns, square=1.0)
        Batch(1).run(op, threads=threads)
        return [read_symmetric(y, columns)]

    (y,) = by_any_team(compute)
    assert_within(y, x.T @ x, (rows + 1) * U * (np.abs(x).T @ np.abs(x)))


@pytest.mark.parametrize("columns", sorted({columns for _, columns in SHAPES}))
def test_polynomial(columns: int) -> None:
    x, _ = symmetric(np.random.default_rng(columns), columns)
    a, b, c = 3.4445, -4.775, 2.0315

    def compute(threads: int) -> list[Array]:
        side = rounded_up(columns)
        y = unwritten(side, side)
        _, packed = symmetric(np.random.default_rng(columns), columns)
        op = make_op("gram", x=packed, y=y, rows=side, columns=columns,
                     constant=a, linear=b, square=c)  # fmt: skip
        Batch(1).run(op, threads=threads)
        return [read_symmetric(y, columns)]

    (y,) = by_any_team(compute)
    expected = a * np.eye(columns) + b * x + c * (x @ x)
    size = a * np.eye(columns) + np.abs(b * x) + c * (np.abs(x) @ np.abs(x))
    assert_within(y, expected, (columns + 5) * U * size)


@each_shape
def test_matrix_product(shape: tuple[int, int]) -> None:
    rows, columns = shape
    random = np.random.default_rng(rows)
    x = float32(random, *shape)
    p, packed = symmetric(random, columns)

    def compute(threads: int) -> list[Array]:
        y = unwritten(*shape)
        op = make_op("matrix_product", x=matrix(x), p=packed, y=y, rows=rows, columns=columns)
        Batch(1).run(op, threads=threads)
        return [read(y, shape)]

    (y,) = by_any_team(compute)
    assert_within(y, x @ p, (columns + 1) * U * (np.abs(x) @ np.abs(p)))


@each_shape
def test_transpose_matrix(shape: tuple[int, int]) -> None:
    x = float32(np.random.default_rng(1), *shape)
    for threads in (1, 2, 3):
        y = unwritten(*shape[::-1])
        op = make_op("transpose_matrix", x=matrix(x), y=y, rows=shape[0], columns=shape[1])
        Batch(1).run(op, threads=threads)
        np.testing.assert_array_equal(read(y, shape[::-1]), x.T)


@pytest.mark.parametrize("nesterov", [False, True])
@each_shape
def test_momentum_and_norm(shape: tuple[int, int], nesterov: bool) -> None:
    rows, columns = shape
    random = np.random.default_rng(rows)
    g, m0 = float32(random, *shape), float32(random, *shape)
    mu = float(np.float32(0.9))

    def compute(threads: int) -> list[Array]:
        m, x, squares = matrix(m0), unwritten(*shape), sums(shape)
        settings = {"rows": rows, "columns": columns}
        momentum = make_op("muon_momentum", gradient=matrix(g), momentum=m, x=x, squares=squares,
                           **settings, scalar=1, nesterov=nesterov)  # fmt: skip
        normalize = make_op("muon_normalize", squares=squares, x=x, **settings, epsilon=1e-7)
        scalars = [np.nan, np.nan, np.nan, mu]
        Batch(1).run(momentum, threads=threads, scalars=scalars)
        before = np.array(x.array)[:, :rows]
        Batch(1).run(normalize, threads=threads)
        squares_of_x = np.array(squares.array)
        x.array[:, rows:] = np.nan  # type: ignore[index]
        return [read(m, shape), read(x, shape), before, squares_of_x]

    m, x, before, squares = by_any_team(compute)
    assert_within(m, g + mu * m0, 2 * U * (np.abs(g) + np.abs(mu * m0)))
    wanted = g + mu * m.astype(np.float64) if nesterov else m.astype(np.float64)
    size = np.abs(g) + np.abs(mu * m) if nesterov else 0 * g
    norm = np.sqrt(np.sum(before.astype(np.float64) ** 2))
    # chains of up to 128 squares; their root is off by half as much
    of_norm = 65 * U
    np.testing.assert_allclose(np.sqrt(squares.sum()), norm, rtol=of_norm)
    # the step, the factor and the product with it are rounded
    bound = 2 * U * size + (3 * U + of_norm) * np.abs(wanted)
    assert_within(x, wanted / (norm + 1e-7), bound / norm)


def test_a_gradient_of_zero_stays_zero() -> None:
    x = matrix(np.zeros((20, 20)))
    squares = sums((20, 20))
    squares.array[:] = 0  # type: ignore[index]
    op = make_op("muon_normalize", squares=squares, x=x, rows=20, columns=20, epsilon=1e-7)
    Batch(1).run(op, threads=2)
    np.testing.assert_array_equal(read(x, (20, 20)), 0)


@each_shape
def test_update(shape: tuple[int, int]) -> None:
    random = np.random.default_rng(shape[0])
    x, w0 = float32(random, *shape), float32(random, *shape)
    rate, decay, scale = (float(np.float32(c)) for c in (0.05, 0.01, 1.7))

    def compute(threads: int) -> list[Array]:
        w = matrix(w0)
        op = make_op("muon_update", x=matrix(x), w=w, rows=shape[0], columns=shape[1],
                     scalar=1, scale=scale)  # fmt: skip
        Batch(1).run(op, threads=threads, scalars=[np.nan, rate, decay])
        return [read(w, shape)]

    (w,) = by_any_team(compute)
    size = np.abs(w0) + np.abs(rate * scale * x)
    assert_within(w, w0 * (1 - decay) - rate * scale * x, 4 * U * size)
