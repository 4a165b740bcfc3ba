"""Ops that move, scale, count and sum rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastnn.engine.sources import Rows
from fastnn.kernels.codes import METRICS
from fastnn.kernels.layout import aligned_zeros
from fastnn.lowering.program import Buffers
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
)

DTYPES = ["float32", "float64", "uint8", "int32", "int64"]
SLOPPY_CHECKS = [HealthCheck.function_scoped_fixture]  # the level holds for all examples


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("features", FEATURES)
def test_gather(features: int, dtype: str) -> None:
    """Rows in any order, again and again, converted; y = scale * x + offset."""
    for rows in (1, 5, 33, 257):
        random = np.random.default_rng((rows, features))
        data = (100 * random.random((2 * rows + 1, features)) - (dtype != "uint8") * 50).astype(
            dtype
        )
        order = random.integers(0, len(data), rows)
        batch = Batch(rows)

        def compute(n: int, scale: float, offset: float,
                    batch=batch, data=data, order=order) -> list[Array]:  # type: ignore[no-untyped-def]  # fmt: skip
            y = batch.unwritten(features)
            op = make_op("gather", y=y, features=features, source=0, scale=scale, offset=offset)
            batch.run(op, threads=n, sources=[Rows(data)], order=order)
            return [batch.read(y, features)]

        (plain,) = by_any_team(lambda n: compute(n, 1.0, 0.0))
        assert_same_bits(plain, data[order].astype(np.float32))
        scale, offset = np.float32(1 / 255), np.float32(-0.25)
        (scaled,) = by_any_team(lambda n: compute(n, scale, offset))  # noqa: B023
        product = plain.astype(np.float64) * scale
        assert_within(scaled, product + offset, 2 * U * (np.abs(product) + abs(offset)))


def test_gather_reads_rows_that_are_apart() -> None:
    data = np.arange(60, dtype=np.float32).reshape(6, 10)[:, :7]
    batch = Batch(6)
    y = batch.unwritten(7)
    op = make_op("gather", y=y, features=7, source=0, scale=1.0)
    batch.run(op, threads=2, sources=[Rows(data)])
    assert_same_bits(batch.read(y, 7), data)


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
@pytest.mark.parametrize("rows", ROWS)
def test_gather_values(rows: int, dtype: type) -> None:
    random = np.random.default_rng(rows)
    data = (1e6 * random.standard_normal(rows + 9)).astype(dtype)
    order = random.integers(0, len(data), rows)
    batch = Batch(rows)

    def compute(n: int) -> list[Array]:
        y = batch.values(dtype=dtype)
        op = make_op("gather_values", y=y, source=0, lines=1)
        batch.run(op, threads=n, sources=[Rows(data)], order=order)
        return [batch.read_values(y)]

    assert_same_bits(by_any_team(compute)[0], data[order])


@pytest.mark.parametrize("same", [False, True])
def test_gather_values_for_each_line(same: bool) -> None:
    random = np.random.default_rng(0)
    data = random.integers(0, 1000, (40,) if same else (40, 7)).astype(np.int32)
    order = random.integers(0, 40, 33)
    batch = Batch(33)

    def compute(n: int) -> list[Array]:
        y = Buffers.of_array("values", aligned_zeros((33 * 7,), np.int32))
        op = make_op("gather_values", y=y, source=0, lines=7, same=same)
        batch.run(op, threads=n, sources=[Rows(data)], order=order)
        return [y.array.reshape(33, 7)]  # type: ignore[union-attr]

    wanted = np.repeat(data[order, None], 7, axis=1) if same else data[order]
    assert_same_bits(by_any_team(compute)[0], wanted)


@pytest.mark.parametrize("times_rows", [False, True])
def test_sum_rows_takes_the_mean_over_lines(times_rows: bool) -> None:
    values = np.arange(6 * 5, dtype=np.float32)
    sums = np.zeros(1)
    op = make_op(
        "sum_rows", values=Buffers.of_array("values", values), sum=0, lines=5,
        times_rows=times_rows,
    )  # fmt: skip
    Batch(6).run(op, threads=1, sums=sums)
    np.testing.assert_array_equal(sums, values.sum() * (6 if times_rows else 1 / 5))


@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize("batch_size", [7, 40, 100])
def test_scatter_after_gather_gives_the_rows_back(features: int, batch_size: int) -> None:
    """Several batches, the last one smaller, each to its place in the output."""
    random = np.random.default_rng(features)
    data = float32(random, 100, features).astype(np.float32)
    order = random.permutation(100)

    def compute(n: int) -> list[Array]:
        batch = Batch(100)
        y = batch.unwritten(features)
        output = np.full((100, features), np.nan, np.float32)
        batch.run(
            make_op("gather", y=y, features=features, source=0, scale=1.0),
            make_op("scatter", x=y, features=features, output=0),
            threads=n, sources=[Rows(data)], order=order, outputs=[output], batch_size=batch_size,
        )  # fmt: skip
        return [output]

    assert_same_bits(by_any_team(compute)[0], data[order])


@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize("rows", [1, 17, 257])
def test_affine(rows: int, features: int) -> None:
    random = np.random.default_rng((rows, features))
    x, start = float32(random, rows, features), float32(random, rows, features)
    scale, offset = float(np.float32(1.7)), float(np.float32(-0.3))
    batch = Batch(rows)

    def compute(n: int, accumulate: bool) -> list[Array]:
        y = batch.blocks(start) if accumulate else batch.unwritten(features)
        op = make_op("affine", x=batch.blocks(x), y=y, features=features, accumulate=accumulate,
                     scale=scale, offset=offset)  # fmt: skip
        batch.run(op, threads=n)
        return [batch.read(y, features, padding=None)]

    (y,) = by_any_team(lambda n: compute(n, False))
    assert_within(y, scale * x + offset, 2 * U * (np.abs(scale * x) + abs(offset)))
    (added,) = by_any_team(lambda n: compute(n, True))
    assert_same_bits(added, start.astype(np.float32) + y)


@given(
    rows=st.integers(1, 40),
    count=st.integers(1, 50),
    start=st.integers(0, 40),
    to=st.integers(0, 40),
    after=st.sampled_from([0, 0, 1, 15, 20]),
    accumulate=st.booleans(),
)
@settings(max_examples=40, deadline=None, suppress_health_check=SLOPPY_CHECKS)
def test_copy_columns(
    rows: int, count: int, start: int, to: int, after: int, accumulate: bool
) -> None:
    """A part of x replaces, or is added to, a part of y; the rest of y stays."""
    random = np.random.default_rng((rows, count, start, to))
    x = float32(random, rows, start + count + 3)
    width = to + count + after
    before = float32(random, rows, width)
    batch = Batch(rows)

    def compute(n: int) -> list[Array]:
        y = batch.blocks(before)
        if after == 0:  # the op that writes the last column clears the padding
            y.array[-1, :rows, (width - 1) % 16 + 1 :] = np.nan  # type: ignore[index]
        op = make_op("copy_columns", x=batch.blocks(x), y=y, count=count, start=start, to=to,
                     accumulate=accumulate, features_of_y=width)  # fmt: skip
        batch.run(op, threads=n)
        return [batch.read(y, width)]

    expected = before.astype(np.float32)
    part = x[:, start : start + count].astype(np.float32)
    expected[:, to : to + count] = (expected[:, to : to + count] if accumulate else 0) + part
    np.testing.assert_array_equal(by_any_team(compute)[0], expected)


@pytest.mark.parametrize("features", [1, 16, 17, 100])
@pytest.mark.parametrize("rows", ROWS)
def test_transpose(rows: int, features: int) -> None:
    batch = Batch(rows)
    x = float32(np.random.default_rng((rows, features)), rows, features)

    def compute(n: int) -> list[Array]:
        y = batch.transposed(features)
        op = make_op("transpose", x=batch.blocks(x), y=y, features=features)
        batch.run(op, threads=n)
        blocks = -(-rows // 16)
        turned = y.array[:blocks].transpose(0, 3, 1, 2).reshape(16 * blocks, -1)  # type: ignore[index]
        return [turned]

    (turned,) = by_any_team(compute)
    assert_same_bits(turned[:rows, :features].copy(), x.astype(np.float32))
    assert not turned[rows:].any()
    assert not turned[:, features:].any()


@pytest.mark.parametrize("rows", ROWS)
def test_sum_rows_adds_in_float64_and_in_order(rows: int) -> None:
    values = float32(np.random.default_rng(rows), rows).astype(np.float32)
    batch = Batch(rows)

    def compute(n: int) -> list[Array]:
        sums = np.array([7.0, 0.5])
        op = make_op("sum_rows", values=batch.values(values), sum=1, lines=1)
        batch.run(op, threads=n, sums=sums)
        return [sums]

    (sums,) = by_any_team(compute)
    total = np.add.accumulate(values.astype(np.float64))[-1]
    np.testing.assert_array_equal(sums, [7.0, 0.5 + total])


@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("features", [1, 7, 16, 17, 100])
@pytest.mark.parametrize("dense_target", [False, True])
def test_categorical_accuracy(features: int, k: int, dense_target: bool) -> None:
    """Equal outputs: the first is the larger one for k = 1; for larger k all of them are in."""
    rows = 257
    random = np.random.default_rng((features, k))
    y_pred = random.integers(0, 8, (rows, features)).astype(np.float64)  # with many equal ones
    y_pred[3] = np.nan
    labels = random.integers(0, features, rows)
    batch = Batch(rows)
    weights = random.uniform(0.5, 2.0, rows).astype(np.float32)
    one_hot = np.eye(features)[labels]

    def compute(n: int) -> list[Array]:
        values = batch.values()
        target = (
            {"y_true": batch.blocks(one_hot)}
            if dense_target
            else {"labels": batch.values(labels, np.int32)}
        )
        op = make_op("metric", y_pred=batch.blocks(y_pred), row_values=values, features=features,
                     kind=METRICS["categorical_accuracy"], param_0=k,
                     weights=batch.values(weights), **target)  # fmt: skip
        batch.run(op, threads=n)
        return [batch.read_values(values)]

    (right,) = by_any_team(compute)
    at_label = y_pred[np.arange(rows), labels]
    if k == 1:
        expected = np.argmax(y_pred, axis=1) == labels
    else:
        expected = (y_pred > at_label[:, None]).sum(axis=1) < k
    np.testing.assert_array_equal(right, weights * (expected & ~np.isnan(at_label)))


@pytest.mark.parametrize("features", [1, 7, 16, 33])
def test_binary_accuracy(features: int) -> None:
    rows = 33
    random = np.random.default_rng(features)
    y_pred, y_true = random.random((rows, features)), random.integers(0, 2, (rows, features))
    y_pred[0] = 0.75  # not above the threshold
    batch = Batch(rows)

    def compute(n: int) -> list[Array]:
        values = batch.values()
        op = make_op("metric", y_pred=batch.blocks(y_pred), y_true=batch.blocks(y_true),
                     row_values=values, features=features, kind=METRICS["binary_accuracy"],
                     param_0=0.75)  # fmt: skip
        batch.run(op, threads=n)
        return [batch.read_values(values)]

    (right,) = by_any_team(compute)
    expected = ((y_pred > 0.75) == y_true).mean(axis=1)
    assert_within(right, expected, U * expected)
