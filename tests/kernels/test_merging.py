"""Two tensors into one, number by number: exact but for one rounding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastnn.lowering.program import make_op
from kernels.harness import Array, Batch, assert_same_bits, by_any_team

SHAPES = [(1, 1, 1), (5, 1, 16), (17, 7, 5), (33, 3, 35), (3, 150, 17)]
"""Rows, positions, features."""

EXTREMA = {False: np.maximum, True: np.minimum}


def operands(shape: tuple[int, ...], n: int, ties: bool = False) -> list[Array]:
    random = np.random.default_rng(shape)
    if ties:
        return [random.integers(-2, 3, shape).astype(np.float32) for _ in range(n)]
    return [random.standard_normal(shape).astype(np.float32) for _ in range(n)]


def result(name: str, to: str, start: Array | None, threads: int, **named: Any) -> Array:
    """What the op writes to ``to``; ``start``: what it is added to."""
    shape = named["x"].shape
    batch = Batch(shape[0])
    buffers = {k: batch.blocks(v) if isinstance(v, np.ndarray) else v for k, v in named.items()}
    into = batch.unwritten(shape[2], shape[1]) if start is None else batch.blocks(start)
    if start is not None:
        buffers["accumulate"] = True
    batch.run(make_op(name, features=shape[2], **{to: into}, **buffers), threads=threads)
    return batch.read(into, shape[2]).reshape(shape)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_multiply(shape: tuple[int, ...]) -> None:
    x, y, start = operands(shape, 3)
    for s, before in ((None, np.float32(0)), (start, start)):
        [z] = by_any_team(lambda n, s=s: [result("multiply", "z", s, n, x=x, y=y)])
        assert_same_bits(z, x * y + before)


@pytest.mark.parametrize("smallest", EXTREMA)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_extremum(shape: tuple[int, ...], smallest: bool) -> None:
    x, y = operands(shape, 2, ties=True)
    x.flat[0] = np.nan
    y.flat[-1] = np.nan
    [z] = by_any_team(lambda n: [result("extremum", "z", None, n, x=x, y=y, smallest=smallest)])
    np.testing.assert_array_equal(z, EXTREMA[smallest](x, y))


@pytest.mark.parametrize("smallest", EXTREMA)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_extremum_backward(shape: tuple[int, ...], smallest: bool) -> None:
    """All of the gradient goes to the one that was taken; half to each where both are equal, as
    jax.grad of jax.numpy.maximum has it."""
    x, other = operands(shape, 2, ties=True)
    dz, start = operands(shape, 2)
    z = EXTREMA[smallest](x, other)
    wanted = dz * np.where(x == other, np.float32(0.5), (x == z).astype(np.float32))
    for s, before in ((None, np.float32(0)), (start, start)):
        [dx] = by_any_team(
            lambda n, s=s: [
                result("extremum_backward", "dx", s, n, x=x, other=other, z=z, dz=dz)
            ]
        )  # fmt: skip
        np.testing.assert_array_equal(dx, wanted + before)
