"""The tables of windows, against loops over axes and taps."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import window_twins as twins
from kernels.harness import Array
from kernels.windowed import CASES, Case, drawn

from fastnn.lowering.windows import (
    OUTSIDE,
    adjoint,
    bilinear_table,
    nearest_table,
    readers,
    row_starts,
    tap_pairs,
    window_table,
)

ALL = CASES + drawn(10)


def brute_force(case: Case) -> list[list[int]]:
    """What each tap of each window reads, counted along the axes."""
    table = []
    for window in product(*(range(axis.windows) for axis in case.axes)):
        row = []
        for tap in product(*(range(axis.window) for axis in case.axes)):
            position = 0
            for axis, w, t in zip(case.axes, window, tap, strict=True):
                at = w * axis.stride + t * axis.dilation - axis.before
                inside = 0 <= at < axis.length
                position = position * axis.length + at if inside and position >= 0 else OUTSIDE
                if position < 0:
                    break
            row.append(position)
        table.append(row)
    return table


@pytest.mark.parametrize("case", ALL, ids=str)
def test_tables(case: Case) -> None:
    table = window_table(case.axes)
    np.testing.assert_array_equal(table, brute_force(case))
    turned = adjoint(table, case.positions)
    back = adjoint(turned, case.windows)
    np.testing.assert_array_equal(back, table)

    of_positions = readers(table, case.positions)
    found = [[(w, t) for w, t in found.tolist() if w != OUTSIDE] for found in of_positions]
    expected: list[list[tuple[int, int]]] = [[] for _ in range(case.positions)]
    for w, row in enumerate(table.tolist()):
        for t, position in enumerate(row):
            if position != OUTSIDE:
                expected[position].append((w, t))
    assert found == expected
    assert of_positions.shape[1] == max(1, *map(len, expected))

    pairs, counts = tap_pairs(table, 16)
    for t in range(case.taps):
        count = counts[t]
        positions, windows = pairs[t, :, :count] // 16
        np.testing.assert_array_equal(windows, np.flatnonzero(table[:, t] != OUTSIDE))
        np.testing.assert_array_equal(positions, table[windows, t])

    starts = row_starts(table, case.window[-1], 3)
    rows = table.reshape(case.windows, -1, case.window[-1])
    for index in np.ndindex(starts.shape):
        row = rows[index].tolist()
        whole = row[0] != OUTSIDE and row == list(range(row[0], row[0] + len(row)))
        assert starts[index] == (3 * row[0] if whole else OUTSIDE)


@pytest.mark.parametrize("lengths", [(1,), (5,), (3, 4), (1, 6)], ids=str)
@pytest.mark.parametrize("factor", [1, 2, 3, 4])
def test_larger_pictures(lengths: tuple[int, ...], factor: int) -> None:
    factors = [factor, 2][: len(lengths)]
    x = np.random.default_rng(0).standard_normal((1, *lengths, 1))

    def larger(interpolation: str) -> Array:
        pairs = zip(lengths, factors, strict=True)
        return twins.along_axes(x, [twins.enlarging(n, f, interpolation) for n, f in pairs])

    nearest = larger("nearest")
    table = nearest_table(lengths, factors)
    np.testing.assert_array_equal(x.ravel()[table[:, 0]], nearest.ravel())

    table, weights = bilinear_table(lengths, factors)
    assert table.shape == weights.shape
    inside = np.where(table == OUTSIDE, 0, weights)
    assert inside.sum(axis=1) == pytest.approx(1, abs=1e-6)
    # float32's rounding of the weights
    found = (x.ravel()[np.maximum(table, 0)] * inside).sum(axis=1)
    np.testing.assert_allclose(found, larger("bilinear").ravel(), atol=1e-6)
