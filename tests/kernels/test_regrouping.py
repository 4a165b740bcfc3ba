"""The numbers of each row in other lines, and in another order."""

from __future__ import annotations

import numpy as np
import pytest

from fastnn.kernels.layout import BLOCK
from fastnn.lowering.program import Buffers, make_op
from kernels.harness import Array, Batch, assert_same_bits, by_any_team

EXTENTS = [
    ((1, 35), (7, 5)), ((7, 5), (1, 35)), ((6, 35), (14, 15)), ((50, 1), (1, 50)),
    ((1, 50), (50, 1)), ((4, 16), (2, 32)), ((2, 32), (4, 16)), ((3, 48), (9, 16)),
    ((9, 16), (1, 144)), ((1, 17), (17, 1)), ((8, 33), (3, 88)), ((5, 20), (2, 50)),
    ((1, 1), (1, 1)),
]  # fmt: skip


@pytest.mark.parametrize("rows", [1, 2, 17, 33])
@pytest.mark.parametrize(("before", "after"), EXTENTS, ids=str)
@pytest.mark.parametrize("accumulate", [False, True])
def test_regroup_keeps_the_order(rows, before, after, accumulate):
    random = np.random.default_rng(rows)
    x = random.standard_normal((rows, *before)).astype(np.float32)
    start = random.standard_normal((rows, *after)).astype(np.float32)
    expected = x.reshape(rows, *after) + (start if accumulate else np.float32(0))

    def compute(threads: int) -> list[Array]:
        batch = Batch(rows)
        y = batch.blocks(start) if accumulate else batch.unwritten(after[1], after[0])
        op = make_op(
            "regroup", x=batch.blocks(x), y=y, features_of_x=before[1], features_of_y=after[1],
            numbers=before[0] * before[1], accumulate=accumulate,
        )  # fmt: skip
        batch.run(op, threads=threads)
        return [batch.read(y, after[1])]

    (found,) = by_any_team(compute)
    assert_same_bits(found.reshape(rows, *after), expected)


@pytest.mark.parametrize("rows", [1, 17, 33])
@pytest.mark.parametrize(
    ("shape", "order"),
    [((5, 7), (1, 0)), ((3, 4, 5), (2, 0, 1)), ((6, 3, 17), (1, 2, 0)), ((2, 33, 16), (0, 2, 1))],
)
@pytest.mark.parametrize("accumulate", [False, True])
def test_permute(rows, shape, order, accumulate):
    """From lines of any length, too."""
    random = np.random.default_rng(rows)
    x = random.standard_normal((rows, *shape)).astype(np.float32)
    wanted = x.transpose(0, *(axis + 1 for axis in order)).copy()
    numbers = int(np.prod(shape))
    positions, features = numbers // wanted.shape[-1], wanted.shape[-1]
    start = random.standard_normal((rows, positions, features)).astype(np.float32)
    sources = np.arange(numbers).reshape(shape).transpose(order).ravel()
    for lines in {(1, numbers), (numbers // shape[-1], shape[-1])}:

        def compute(threads: int, lines: tuple[int, int] = lines) -> list[Array]:
            batch = Batch(rows)
            blocks = batch.blocks(x.reshape(rows, *lines))
            line, column = np.divmod(sources, lines[1])
            places = column // BLOCK * blocks.stride + line * BLOCK + column % BLOCK
            y = batch.blocks(start) if accumulate else batch.unwritten(features, positions)
            op = make_op(
                "permute", x=blocks, places=Buffers.of_array("places", places), y=y,
                features_of_y=features, lines=positions, accumulate=accumulate,
            )  # fmt: skip
            batch.run(op, threads=threads)
            return [batch.read(y, features)]

        (found,) = by_any_team(compute)
        before = start.reshape(wanted.shape) if accumulate else np.float32(0)
        assert_same_bits(found.reshape(wanted.shape), wanted + before)
