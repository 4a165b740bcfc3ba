"""Statistics of weights, steps and activations.

All sums are float64, of numbers that are float32: chains of at most some thousand terms, in another
order than NumPy's, of which each rounds by 2^-53. ``CLOSE`` is a thousand times that and more.
Counts, maxima and copies are exact.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastnn.engine.sources import sparse_rows
from fastnn.kernels.codes import CHUNK, OPTIMIZERS
from fastnn.kernels.dense import PANEL, PANEL_SPARSE
from fastnn.kernels.layout import BLOCK, aligned_zeros, n_blocks
from fastnn.kernels.statistics import (
    ACTIVATION_SUMMARY_BYTES,
    OF_ACTIVATIONS,
    OF_WEIGHTS,
    SUMMARY_BYTES,
    TILE_SIZE,
)
from fastnn.lowering.program import Buffer, Buffers, Op
from kernels.harness import (
    FEATURES,
    ROWS,
    THREADS,
    Array,
    Batch,
    by_any_team,
    float32,
    kernel_block,
    make_op,
    weight,
)

CLOSE = 1e-12

SIZES = [16, 48, TILE_SIZE - 16, TILE_SIZE, TILE_SIZE + 16, 3 * TILE_SIZE + 80]
"""Of weights, in their packed layout: multiples of 16, in one tile or several."""

TINY, HUGE = 1e-25, 3e38
INFINITE = [np.inf, -np.inf, np.nan]


def room(*shape: int, dtype: Any = np.float64) -> Buffer:
    """NaN, or -1: what nobody has written yet."""
    storage = aligned_zeros(shape, dtype)
    storage[...] = np.nan if np.dtype(dtype).kind == "f" else -1
    return Buffers.of_array("room", storage)


def holding(values: Any, dtype: Any = np.float32) -> Buffer:
    buffer = room(*np.shape(values), dtype=dtype)
    content(buffer)[...] = values
    return buffer


def content(buffer: Buffer) -> Array:
    assert buffer.array is not None
    return buffer.array


def observe(batch: Batch, *ops: Op, threads: int, columns: int = 1, number: int = 0) -> Array:
    """One step whose statistics are taken; returns its record, without the step's number."""
    records = np.full((2, 1 + columns), np.nan)
    batch.run(*ops, threads=threads, number=number, every=1, records=records)
    assert records[0, 0] == number
    np.testing.assert_array_equal(records[1], np.nan)  # of a step that there was not
    return records[0, 1:]


def test_names_and_sizes() -> None:
    assert OF_WEIGHTS == ("norm", "largest", "nonfinite")
    assert OF_ACTIVATIONS == (
        "mean", "deviation", "zeros", "saturated", "nonfinite", "dead", "saturated_units"
    )  # fmt: skip
    assert (SUMMARY_BYTES, ACTIVATION_SUMMARY_BYTES) == (3 * 8, 7 * 8)


# Weights and gradients


def tiles(x: Array) -> Array:
    """Sum of squares, largest and count of those that are not finite, of each tile."""
    found = []
    for begin in range(0, len(x), TILE_SIZE):
        tile = np.abs(x[begin : begin + TILE_SIZE].astype(np.float64))
        found.append([(tile**2).sum(), tile.max(), np.count_nonzero(~np.isfinite(tile))])
    return np.array(found)


def summarized(x: Array) -> Array:
    """What the kernel says; a tile of room behind the last is left alone."""
    wanted = tiles(x)

    def compute(threads: int) -> list[Array]:
        summaries = room(len(wanted) + 1, 3)
        op = make_op("summarize_weights", x=holding(x), summaries=summaries, size=len(x))
        observe(Batch(1), op, threads=threads)
        np.testing.assert_array_equal(content(summaries)[-1], np.nan)
        return [content(summaries)[:-1]]

    return by_any_team(compute)[0]


@pytest.mark.parametrize("scale", [1.0, TINY, HUGE / 8])
@pytest.mark.parametrize("size", SIZES)
def test_summarize_weights(size: int, scale: float) -> None:
    x = float32(np.random.default_rng(size), size, scale=scale).astype(np.float32)
    wanted, found = tiles(x), summarized(x)
    assert (found[:, 0] > 0).all()
    np.testing.assert_allclose(found[:, 0], wanted[:, 0], rtol=CLOSE)
    np.testing.assert_array_equal(found[:, 1:], wanted[:, 1:])


@pytest.mark.parametrize("at", [0, 15, 16, 47, TILE_SIZE - 1, TILE_SIZE, 2 * TILE_SIZE + 31])
def test_the_largest_wherever_it_is(at: int) -> None:
    """And a number that float64's square of it alone can tell from the others."""
    x = np.full(2 * TILE_SIZE + 32, 1e-8, np.float32)
    x[at] = -2.5
    wanted, found = tiles(x), summarized(x)
    assert found[at // TILE_SIZE, 1] == 2.5
    np.testing.assert_allclose(found[:, 0], wanted[:, 0], rtol=CLOSE)


@pytest.mark.parametrize("bad", INFINITE)
@pytest.mark.parametrize("at", [0, 15, 31, TILE_SIZE, TILE_SIZE + 47])
def test_numbers_that_are_not_finite_are_counted(at: int, bad: float) -> None:
    x = np.ones(TILE_SIZE + 48, np.float32)
    x[[at, (at + 7) % len(x)]] = bad
    found = summarized(x)
    tile, other = at // TILE_SIZE, 1 - at // TILE_SIZE
    assert not np.isfinite(found[tile, 0])
    np.testing.assert_array_equal(found[tile, 1], np.abs(bad))
    assert found[:, 2].sum() == 2
    clean = found[other] if found[other, 2] == 0 else None
    if clean is not None:
        np.testing.assert_array_equal(clean[:2], tiles(np.ones(len(x), np.float32))[other][:2])


def test_the_largest_finite_number_counts_as_finite() -> None:
    x = np.full(32, np.finfo(np.float32).max, np.float32)
    (found,) = summarized(x)
    assert found[2] == 0
    np.testing.assert_allclose(found[0], 32 * float(x[0]) ** 2, rtol=CLOSE)


def test_denormals_are_zeros_as_for_all_kernels() -> None:
    (found,) = summarized(np.full(16, 1e-40, np.float32))
    np.testing.assert_array_equal(found, 0.0)


@pytest.mark.parametrize("size", SIZES)
def test_keep_weights(size: int) -> None:
    w = float32(np.random.default_rng(size), size).astype(np.float32)

    def compute(threads: int) -> list[Array]:
        kept = room(size + 16, dtype=np.float32)
        observe(Batch(1), make_op("keep_weights", w=holding(w), kept=kept, size=size),
                threads=threads)  # fmt: skip
        np.testing.assert_array_equal(content(kept)[size:], np.nan)
        return [content(kept)[:size]]

    np.testing.assert_array_equal(by_any_team(compute)[0], w)


@pytest.mark.parametrize("ratio", [1e-6, 1e-3, 1.0])
@pytest.mark.parametrize("size", SIZES)
def test_summarize_step(size: int, ratio: float) -> None:
    """The difference of two float32 is rounded once, to float32: at most U of itself, of which the
    square is off by 2 U."""
    random = np.random.default_rng(size)
    before = float32(random, size)
    after = (before + ratio * float32(random, size)).astype(np.float32)

    def compute(threads: int) -> list[Array]:
        count = len(tiles(before))
        rooms = {name: room(count + 1, 3) for name in ("before", "after", "step")}
        kept = holding(before)
        op = make_op("summarize_step", w=holding(after), kept=kept, size=size, **rooms)
        observe(Batch(1), op, threads=threads)
        for buffer in rooms.values():
            np.testing.assert_array_equal(content(buffer)[-1], np.nan)
        return [content(kept), *(content(buffer)[:-1] for buffer in rooms.values())]

    step, *found = by_any_team(compute)
    change = after.astype(np.float64) - before
    np.testing.assert_allclose(step, change, rtol=2.0**-24)
    for values, wanted, rounding in (
        (found[0], tiles(before), CLOSE), (found[1], tiles(after), CLOSE),
        (found[2], tiles(change), 2.0**-22),
    ):  # fmt: skip
        np.testing.assert_allclose(values, wanted, rtol=rounding)


def recorded_weights(summaries: Array, column: int = 1, number: int = 0) -> Array:
    """The record of some tiles; all other columns stay as they are."""

    def compute(threads: int) -> list[Array]:
        op = make_op("record_weights", summaries=holding(summaries, np.float64),
                     count=len(summaries), column=column, number=number)  # fmt: skip
        return [observe(Batch(1), op, threads=threads, columns=column + 3)]

    (record,) = by_any_team(compute)
    np.testing.assert_array_equal(record[: column - 1], np.nan)
    np.testing.assert_array_equal(record[column + 2 :], np.nan)
    return record[column - 1 : column + 2]


@pytest.mark.parametrize("number", [0, 1, 2, 5])
@pytest.mark.parametrize("count", [1, 2, 7])
def test_record_weights(count: int, number: int) -> None:
    random = np.random.default_rng(count)
    summaries = np.abs(random.standard_normal((count, 3)))
    summaries[:, 2] = random.integers(0, 9, count)
    norm, largest, nonfinite = recorded_weights(summaries, column=4, number=number)
    assert norm == pytest.approx(np.sqrt(summaries[:, 0].sum()), rel=CLOSE)
    assert (largest, nonfinite) == (summaries[:, 1].max(), summaries[:, 2].sum())


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1], [1, 2, 0]])
def test_a_nan_is_larger_than_any_number(order: list[int]) -> None:
    summaries = np.array([[1.0, 1.0, 0.0], [np.inf, np.inf, 3.0], [np.nan, np.nan, 2.0]])
    norm, largest, nonfinite = recorded_weights(summaries[order])
    assert np.isnan(norm)
    assert np.isnan(largest)
    assert nonfinite == 5
    _, largest, _ = recorded_weights(summaries[[i for i in order if i < 2]])
    assert largest == np.inf


@pytest.mark.parametrize("scale", [TINY, 1.0, HUGE])
def test_norms_neither_vanish_nor_overflow(scale: float) -> None:
    """The squares are no float32: 1e-50 and 1e77."""
    x = np.full(TILE_SIZE + 16, scale, np.float32)
    norm, largest, nonfinite = recorded_weights(summarized(x))
    assert norm == pytest.approx(float(x[0]) * np.sqrt(len(x)), rel=CLOSE)
    assert (largest, nonfinite) == (x[0], 0)


# Gradients that go straight into their update


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (7, 15), (96, 16), (97, 17), (129, 33), (300, 300)])
@pytest.mark.parametrize("rows", [1, 5, 130])
def test_gradients_on_their_way(rows: int, shape: tuple[int, int], sparse: bool) -> None:
    """A summary of each tile, of the numbers that are stored where nobody takes a step; with L2,
    and clipped by value."""
    inputs, units = shape
    random = np.random.default_rng((rows, *shape))
    x, dz = float32(random, rows, inputs), float32(random, rows, units)
    x[random.random(x.shape) < 0.5] = 0
    w, b = float32(random, inputs, units), float32(random, units)
    panel = PANEL_SPARSE if sparse else PANEL
    panels, blocks = -(-inputs // panel), n_blocks(units)
    batch = Batch(rows)
    nonzeros = sparse_rows(x.astype(np.float32), 1.0)
    capacity = min(CHUNK, batch.capacity) * nonzeros.longest_row
    chunks = -(-batch.capacity // CHUNK)

    def compute(threads: int, stored: bool) -> list[Array]:
        kernel, bias = weight(w), weight(b)
        out = {"kernel": weight(0 * w), "bias": weight(0 * b)} if stored else {
            "kernel": room(blocks * panels + 1, 3), "bias": room(blocks + 1, 3)
        }  # fmt: skip
        part = "gradient" if stored else "summaries"
        operands: dict[str, Any] = dict(
            dz=batch.blocks(dz), kernel=kernel, bias=bias, inputs=inputs, units=units,
            kernel_block=kernel_block(kernel), optimizer=OPTIMIZERS["sgd"],
            kernel_l2=0.25, bias_l2=0.5, clipvalue=3.0, kept_scale=1.0,
            **{f"{role}_{part}": buffer for role, buffer in out.items()},
        )  # fmt: skip
        if sparse:
            columns = {
                "column_start": room(chunks * (inputs + 1), dtype=np.int32),
                "row": room(max(1, chunks * capacity), dtype=np.int16),
                "value": room(max(1, chunks * capacity), dtype=np.float32),
            }
            ops = [
                make_op("sparse_columns", **columns, columns=inputs, source=0, capacity=capacity),
                make_op("dense_backward_weights_sparse", **columns, **operands, capacity=capacity),
            ]
        else:
            ops = [make_op("dense_backward_weights", x=batch.blocks(x), **operands)]
        batch.run(*ops, threads=threads, sources=[nonzeros] if sparse else [],
                  scalars=[0.125, 0.0], every=1, records=np.full((2, 1), np.nan))  # fmt: skip
        return [content(buffer) for buffer in out.values()]

    stored = compute(1, stored=True)
    for found, gradient, height in zip(
        by_any_team(lambda n: compute(n, stored=False)), stored, (inputs, 1), strict=True
    ):
        wanted = np.concatenate([
            tiles(gradient[j, k : min(k + panel, height)].ravel())
            for j in range(blocks) for k in range(0, height, panel)
        ])  # fmt: skip
        np.testing.assert_array_equal(found[-1], np.nan)
        np.testing.assert_allclose(found[:-1, 0], wanted[:, 0], rtol=CLOSE)
        np.testing.assert_array_equal(found[:-1, 1:], wanted[:, 1:])


# Activations


def of_activations(y: Array, low: float, high: float) -> dict[str, float]:
    finite = np.isfinite(y)
    return {
        "mean": y.mean(),
        "deviation": y.std(),
        "zeros": np.mean(y == 0),
        "saturated": np.mean((y <= low) | (y >= high)),
        "saturated_units": np.mean(((y <= low) | (y >= high)).mean(axis=0) >= 0.95),
        "nonfinite": np.count_nonzero(~finite),
    }


def observed_activations(
    y: Array,
    low: float = -np.inf,
    high: float = np.inf,
    number: int = 0,
    window: int = 1,
    last: Any = -1,
) -> tuple[dict[str, float], Array]:
    """What a step says of activations, and what it remembers of each unit. The padding, and the
    rows behind the batch, hold NaN."""
    batch, features = Batch(len(y)), y.shape[1]

    def compute(threads: int) -> list[Array]:
        blocks = batch.blocks(y)
        if features % BLOCK:
            content(blocks)[-1, :, features % BLOCK :] = np.nan
        summaries = room(n_blocks(features) + 1, 7)
        memory = room(features + 1, dtype=np.int64)
        content(memory)[:-1] = last
        record = observe(
            batch,
            make_op("summarize_activations", y=blocks, summaries=summaries, last_nonzero=memory,
                    features=features, low=low, high=high),
            make_op("record_activations", summaries=summaries, last_nonzero=memory,
                    features=features, window=window, column=3, number=1),
            threads=threads, columns=10, number=number,
        )  # fmt: skip
        np.testing.assert_array_equal(content(summaries)[-1], np.nan)
        assert content(memory)[-1] == -1
        np.testing.assert_array_equal(record[[0, 1, 9]], np.nan)
        return [record[2:9], content(memory)[:-1]]

    found, memory = by_any_team(compute)
    return dict(zip(OF_ACTIVATIONS, found.tolist(), strict=True)), memory


def check_activations(y: Array, low: float = -np.inf, high: float = np.inf) -> None:
    found, _ = observed_activations(y, low, high)
    wanted = of_activations(y, low, high)
    for name, value in wanted.items():
        # A mean may be near 0: it is off by what its terms are.
        scale = np.abs(y).max() if name == "mean" else 0.0
        assert found[name] == pytest.approx(value, rel=CLOSE, abs=CLOSE * scale), name


@pytest.mark.parametrize(
    ("rows", "features"), [*((rows, 17) for rows in ROWS), *((19, n) for n in FEATURES)]
)
def test_activations(rows: int, features: int) -> None:
    y = float32(np.random.default_rng((rows, features)), rows, features)
    y[y < -0.5] = 0
    y[y > 1] = 1
    check_activations(y, low=-0.25, high=1)


@pytest.mark.parametrize("scale", [TINY, 1.0, 1e30])
@pytest.mark.parametrize(("rows", "features"), [(1, 1), (33, 20), (257, 100)])
def test_activations_of_any_size(rows: int, features: int, scale: float) -> None:
    check_activations(float32(np.random.default_rng(rows), rows, features, scale=scale))


@pytest.mark.parametrize("features", [1, 16, 35])
def test_activations_with_a_large_mean(features: int) -> None:
    """Numbers about 10^4, with deviation 1; the squares agree in their first eight digits."""
    random = np.random.default_rng(features)
    y = (1e4 + random.standard_normal((600, features))).astype(np.float32).astype(np.float64)
    check_activations(y)


def test_units_with_means_of_their_own() -> None:
    """Of which the deviation of all consists."""
    y = np.tile(1e4 * np.arange(40.0), (50, 1))
    check_activations(y)
    found, _ = observed_activations(np.full((50, 40), 1e4))
    assert (found["mean"], found["deviation"]) == (1e4, 0.0)


def test_the_largest_activations_have_a_deviation() -> None:
    y = np.full((40, 20), HUGE, np.float32).astype(np.float64)
    y[::2] *= -1
    found, _ = observed_activations(y)
    assert found["deviation"] == pytest.approx(np.abs(y[0, 0]), rel=CLOSE)
    assert found["nonfinite"] == 0


@pytest.mark.parametrize("bad", INFINITE)
@pytest.mark.parametrize("at", [(0, 0), (4, 15), (16, 16), (18, 20)])
def test_activations_that_are_not_finite(at: tuple[int, int], bad: float) -> None:
    y = np.zeros((19, 21))
    y[at] = bad
    found, memory = observed_activations(y, number=7, last=3)
    assert found["nonfinite"] == 1
    assert found["zeros"] == pytest.approx(1 - 1 / y.size, rel=CLOSE)
    assert not np.isfinite(found["mean"])
    assert not np.isfinite(found["deviation"])
    # It is no silence.
    np.testing.assert_array_equal(memory, np.where(np.arange(21) == at[1], 7, 3))


def test_zeros_have_no_sign_and_denormals_are_zeros() -> None:
    found, memory = observed_activations(np.array([[0.0, -0.0, 1e-40, 1e-30]]), number=5, last=2)
    assert found["zeros"] == 0.75
    np.testing.assert_array_equal(memory, [2, 2, 2, 5])


def test_bounds_belong_to_what_is_saturated() -> None:
    low, high = np.float32(0.1), np.float32(0.9)
    y = np.array([low, high, np.nextafter(low, high), np.nextafter(high, low), np.nan])
    found, _ = observed_activations(y[None], float(low), float(high))
    assert found["saturated"] == 0.4
    found, _ = observed_activations(np.array([[-np.inf, 0.0, np.inf, 1e38]]))
    assert found["saturated"] == 0.5  # nothing but infinities is beyond bounds that are infinite


@pytest.mark.parametrize(("rows", "enough"), [(1, 1), (19, 19), (20, 19), (100, 95), (101, 96)])
def test_a_unit_is_saturated_that_is_so_in_nearly_all_rows(rows: int, enough: int) -> None:
    """Of three units in two blocks: just enough rows, one row less, and all of them."""
    y = np.full((rows, 35), 0.5)
    y[:enough, 3] = y[: enough - 1, 17] = y[:, 34] = 1.0
    found, _ = observed_activations(y, 0.1, 0.9)
    assert found["saturated_units"] == pytest.approx(2 / 35, rel=CLOSE)


# Silence


def test_a_unit_is_dead_when_it_has_been_silent_for_the_window() -> None:
    """The numbers of steps that last saw the units, at step 30: by 10 steps, and by one less."""
    last = np.array([20, 21, 19, 0, 30])
    found, memory = observed_activations(np.zeros((3, 5)), number=30, window=10, last=last)
    assert found["dead"] == pytest.approx(3 / 5)
    np.testing.assert_array_equal(memory, last)


@pytest.mark.parametrize("features", FEATURES)
def test_one_row_is_enough_to_live(features: int) -> None:
    y = np.zeros((33, features))
    y[32, -1] = -TINY
    found, memory = observed_activations(y, number=30, window=10, last=0)
    assert found["dead"] == pytest.approx((features - 1) / features)
    assert (memory[-1], memory.sum()) == (30, 30)


def test_silence_begins_with_the_first_step_that_is_looked_at() -> None:
    found, memory = observed_activations(np.zeros((2, 18)), number=50, window=10)
    assert found["dead"] == 0
    np.testing.assert_array_equal(memory, 50)


# Which steps


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("every", [1, 2, 3, 7, 20])
@pytest.mark.parametrize("first", [0, 1, 5])
def test_steps_that_are_looked_at(first: int, every: int, threads: int) -> None:
    """Multiples of ``every``, counted from the optimizer's first step."""
    x, record = np.arange(16, dtype=np.float32), np.full((11 // every + 1, 4), np.nan)
    batch = Batch(21)
    summaries = room(1, 3)
    batch.run(
        make_op("summarize_weights", x=holding(x), summaries=summaries, size=16),
        make_op("record_weights", summaries=summaries, count=1, column=1, number=1),
        threads=threads, batch_size=2, number=first, every=every, records=record,
    )  # fmt: skip
    wanted = [step for step in range(first, first + 11) if step % every == 0]
    np.testing.assert_array_equal(record[: len(wanted), 0], wanted)
    np.testing.assert_array_equal(record[: len(wanted), 2], 15.0)
    np.testing.assert_array_equal(record[len(wanted) :], np.nan)


@pytest.mark.parametrize("threads", THREADS)
def test_other_steps_do_without(threads: int) -> None:
    def kept(**looking: Any) -> Array:
        room_for = room(16, dtype=np.float32)
        op = make_op("keep_weights", w=holding(np.ones(16)), kept=room_for, size=16)
        Batch(3).run(op, threads=threads, number=1, **looking)
        return content(room_for)

    np.testing.assert_array_equal(kept(), np.nan)
    np.testing.assert_array_equal(kept(every=2, records=np.full((1, 1), np.nan)), np.nan)
    np.testing.assert_array_equal(kept(every=1, records=np.full((2, 1), np.nan)), 1.0)


def test_records_must_have_room_for_all_steps() -> None:
    op = make_op("keep_weights", w=holding(np.ones(16)), kept=holding(np.ones(16)), size=16)
    for rows, every in ((3, 1), (1, 2)):
        records = np.full((rows, 4), np.nan)
        with pytest.raises(ValueError, match="don't fit 3 steps"):
            Batch(5).run(op, threads=1, batch_size=2, every=every, records=records)
