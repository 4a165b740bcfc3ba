"""The largest and the sum of what windows read, and their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import window_twins as twins

from fastnn.kernels.codes import ACTIVATIONS, READS_INPUT
from fastnn.kernels.layout import BLOCK, aligned_zeros, n_blocks
from fastnn.lowering.program import Buffers
from fastnn.lowering.windows import OUTSIDE, readers, window_table
from kernels.harness import (
    Array,
    Batch,
    U,
    assert_same_bits,
    assert_within,
    by_any_team,
    float32,
    make_op,
)
from kernels.windowed import CASES, Case, drawn, lines, pictures, read, table, through

# Pooling has no dilation.
ALL = [c for c in [*CASES, *drawn(4)] if max(c.dilation) == 1] + [
    Case((17, 18), (17, 16), (1, 1), "valid", (1, 1), 5, 1, 2)  # more taps than a byte counts
]

DISJOINT = [
    Case((9, 8), (2, 2), (2, 2), "valid", (1, 1), 17, 1, 5),  # the last row in no window
    Case((7, 7), (2, 2), (2, 2), "same", (1, 1), 33, 1, 3),
    Case((26, 27), (2, 1), (2, 1), "same", (1, 1), 16, 1, 2),  # more windows than a panel
    Case((11,), (2,), (4,), "valid", (1,), 5, 1, 2),
    Case((18, 17), (17, 16), (17, 16), "same", (1, 1), 5, 1, 2),
]


def values(case: Case, kind: str) -> Array:
    """x (examples, positions, channels): apart from each other; or with ties, infinities, NaNs."""
    random = np.random.default_rng(5)
    shape = (case.examples, case.positions, case.channels)
    if kind == "apart":
        return float32(random, *shape)
    x = random.integers(-1, 2, shape).astype(np.float64)
    if kind == "odd":
        for value, share in ((np.nan, 0.1), (np.inf, 0.1), (-np.inf, 0.4)):
            x[random.random(shape) < share] = value
    return x


def max_pool(
    case: Case, x: Array, dy: Array, threads: int, activation: str = "linear",
    start: Array | None = None, train: bool = True, spread: bool = False,
) -> list[Array]:  # fmt: skip
    """y and dx; with ``spread``, by the op for windows that do not overlap."""
    batch = Batch(case.examples)
    windows = window_table(case.axes)
    of_positions = readers(windows, case.positions)
    index_bytes = 1 if case.taps <= 256 else 4
    y = batch.unwritten(case.channels, case.windows)
    dtype = np.uint8 if index_bytes == 1 else np.int32
    storage = aligned_zeros((n_blocks(case.channels), y.stride // BLOCK, BLOCK), dtype)
    storage[:] = np.iinfo(dtype).max
    found = Buffers.of_array("found", storage)
    given = batch.blocks(x)
    forward = make_op(
        "max_pool", x=given, y=y, found=found if train else None, windows=table(windows),
        features=case.channels, taps=case.taps, windows_of_row=case.windows,
        index_bytes=index_bytes,
    )  # fmt: skip
    if not train:
        batch.run(forward, threads=threads)
        return [read(batch, y, case.channels)]
    dx = batch.unwritten(case.channels, case.positions) if start is None else batch.blocks(start)
    shared: dict[str, Any] = {
        "dy": batch.blocks(dy), "found": found, "dx": dx, "features": case.channels,
        "positions": case.positions, "index_bytes": index_bytes,
        "activation": ACTIVATIONS[activation],
    }  # fmt: skip
    if spread:
        backward = make_op(
            "max_pool_spread", windows=table(windows), y=y if activation != "linear" else None,
            taps=case.taps, unread=bool((of_positions[..., 0] == OUTSIDE).any()), **shared,
        )  # fmt: skip
    else:
        backward = make_op(
            "max_pool_backward", x_z=given if activation in READS_INPUT else None,
            x=given if activation != "linear" else None, readers=table(of_positions),
            most=of_positions.shape[1], accumulate=start is not None, **shared,
        )  # fmt: skip
    batch.run(forward, backward, threads=threads)
    return [read(batch, y, case.channels), read(batch, dx, case.channels)]


def gradient_of(case: Case) -> Array:
    return float32(np.random.default_rng(6), case.examples, case.windows, case.channels)


@pytest.mark.parametrize("kind", ["apart", "odd"])
@pytest.mark.parametrize("case", ALL, ids=str)
def test_max_pool(case: Case, kind: str) -> None:
    """The value to the last bit; the gradient goes to the first of the largest, to a NaN before all
    numbers. As many gradients as windows overlap meet in a position."""
    x, dy = values(case, kind), gradient_of(case)
    y, tap = twins.max_pool(pictures(x, case), case.axes)
    assert (tap >= 0).all()
    ours, dx = by_any_team(lambda n: max_pool(case, x, dy, n))
    np.testing.assert_array_equal(ours, lines(y))
    assert_same_bits(max_pool(case, x, dy, 2, train=False)[0], ours)
    of_windows = pictures(dy, case, True)
    size = lines(twins.max_pool_gradient(np.abs(of_windows), tap, case.axes))
    assert_within(dx, lines(twins.max_pool_gradient(of_windows, tap, case.axes)),
                  case.taps * U * size)  # fmt: skip


@pytest.mark.parametrize("case", [ALL[0], ALL[4], ALL[-1]], ids=str)
def test_max_pool_backward_settings_change_no_bit(case: Case) -> None:
    x, dy = values(case, "apart"), gradient_of(case)
    batch = Batch(case.examples)
    plain = max_pool(case, x, dy, 1)[1]
    start = values(case, "ties")
    added = by_any_team(lambda n: max_pool(case, x, dy, n, start=start))[1]
    assert_same_bits(added, start.astype(np.float32) + plain)
    for activation in ("relu", "gelu"):
        dx = by_any_team(lambda n, a=activation: max_pool(case, x, dy, n, a))[1]
        assert_same_bits(dx, through(batch, plain, x, activation))


@pytest.mark.parametrize("activation", ["linear", "relu", "tanh"])
@pytest.mark.parametrize("case", DISJOINT, ids=str)
def test_windows_that_do_not_overlap_spread_the_same_gradient(case: Case, activation: str) -> None:
    x, dy = np.tanh(values(case, "apart")), gradient_of(case)
    wanted = max_pool(case, x, dy, 1, activation)
    ours = by_any_team(lambda n: max_pool(case, x, dy, n, activation, spread=True))
    for a, b in zip(ours, wanted, strict=True):
        np.testing.assert_array_equal(a, b)  # but for the sign of a zero


@pytest.mark.parametrize("of_windows", [False, True])
@pytest.mark.parametrize("of_taps", [False, True])
@pytest.mark.parametrize(
    ("rows", "positions", "features", "windows", "taps"),
    [(1, 1, 1, 1, 1), (5, 7, 17, 5, 3), (3, 200, 33, 1, 200), (70, 3, 5, 150, 2), (2, 9, 16, 9, 1)],
)
def test_sums(
    rows: int, positions: int, features: int, windows: int, taps: int, of_windows: bool,
    of_taps: bool,
) -> None:  # fmt: skip
    """Any table, with and without factors, written or added: chains of a chunk, which are added."""
    random = np.random.default_rng(rows)
    x, start = float32(random, rows, positions, features), float32(random, rows, windows, features)
    read_at = random.integers(OUTSIDE, positions, (windows, taps)).astype(np.int32)
    factors = float32(random, windows) if of_windows else np.ones(windows)
    weights = float32(random, windows, taps) if of_taps else np.ones((windows, taps))
    batch = Batch(rows)

    def compute(threads: int, accumulate: bool) -> list[Array]:
        y = batch.blocks(start) if accumulate else batch.unwritten(features, windows)
        op = make_op(
            "sum_windows", x=batch.blocks(x), y=y, windows=table(read_at),
            of_windows=table(factors.astype(np.float32)) if of_windows else None,
            of_taps=table(weights.astype(np.float32)) if of_taps else None, features=features,
            taps=taps, windows_of_row=windows, accumulate=accumulate,
        )  # fmt: skip
        batch.run(op, threads=threads)
        return [read(batch, y, features)]

    inside = np.where(read_at == OUTSIDE, 0.0, weights) * factors[:, None]
    seen = x[:, np.maximum(read_at, 0)]
    (y,) = by_any_team(lambda n: compute(n, False))
    value = np.einsum("rwtf,wt->rwf", seen, inside)
    size = np.einsum("rwtf,wt->rwf", np.abs(seen), np.abs(inside))
    assert_within(y, value, (min(taps, 128) + -(-taps // 128) + 2) * U * size)
    (added,) = by_any_team(lambda n: compute(n, True))
    assert_same_bits(added, start.astype(np.float32) + y)
