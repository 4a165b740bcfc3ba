"""The numbers of each row in other lines."""

from __future__ import annotations

import numpy as np
import pytest

from fastnn.lowering.program import make_op
from kernels.harness import Array, Batch, assert_same_bits, by_any_team

EXTENTS = [
    ((1, 35), (7, 5)), ((7, 5), (1, 35)), ((6, 35), (14, 15)), ((50, 1), (1, 50)),
    ((1, 50), (50, 1)), ((4, 16), (2, 32)), ((2, 32), (4, 16)), ((3, 48), (9, 16)),
    ((9, 16), (1, 144)), ((1, 17), (17, 1)), ((8, 33), (3, 88)), ((5, 20), (2, 50)), ((1, 1), (1, 1)),
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
