"""What is done to gradients: proofs, norms, clipping, averages, constraints, penalties.

Bounds: float32 chains of squares run over at most 128 rows, and every number after them is a few
roundings of float32's unit roundoff U away from its twin in float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastnn import constraints
from fastnn.engine.sources import sparse_rows
from fastnn.kernels.codes import CHUNK, CONSTRAINTS, OPTIMIZERS
from fastnn.kernels.layout import BLOCK, n_blocks
from fastnn.lowering.program import Buffer, Op
from kernels.harness import (
    FEATURES,
    ROWS,
    Array,
    Batch,
    U,
    array,
    assert_same_bits,
    assert_within,
    by_any_team,
    float32,
    goes_on,
    make_op,
    read_weight,
    update_op,
    weight,
)

K = 160
"""More than the roundings of a chain over a chunk of rows."""

SHAPES = [(1,), (7,), (16,), (100,), (1, 1), (5, 3), (33, 17), (97, 16), (300, 40)]
LARGEST = float(np.finfo(np.float32).max)


def magnitudes(batch: Batch) -> Buffer:
    return array(np.full(n_blocks(batch.capacity), -1), np.int32)


def sizes(w: Buffer) -> dict[str, int]:
    assert w.array is not None
    return {"blocks": w.array.shape[0], "rows": w.array.shape[1]}


def problem(*shape: int) -> tuple[Array, Array]:
    """A gradient and a weight; one column of each is 0."""
    random = np.random.default_rng(shape)
    gradient, w = float32(random, *shape), float32(random, *shape)
    if shape[-1] > 2 and len(shape) == 2:
        gradient[:, 1] = 0
        w[:, 2] = 0
    return gradient, w


# Largest magnitudes, and what they prove


def largest_of_units(x: Array) -> Array:
    most = [np.abs(x[r : r + BLOCK]).max() for r in range(0, len(x), BLOCK)]
    return np.array(most, np.float32).view(np.int32)


@pytest.mark.parametrize(
    ("rows", "features"), [*((rows, 17) for rows in ROWS), *((19, n) for n in FEATURES)]
)
def test_magnitude(rows: int, features: int) -> None:
    x = float32(np.random.default_rng((rows, features)), rows, features)
    x[rows // 2, features // 2] = -7.5
    batch = Batch(rows)

    def compute(n: int) -> list[Array]:
        out = magnitudes(batch)
        batch.run(make_op("magnitude", x=batch.blocks(x), magnitudes=out, features=features),
                  threads=n)  # fmt: skip
        assert out.array is not None
        return [out.array]

    (found,) = by_any_team(compute)
    units = n_blocks(rows)
    np.testing.assert_array_equal(found[:units], largest_of_units(x))
    np.testing.assert_array_equal(found[units:], -1)


@pytest.mark.parametrize("density", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("rows", [1, 17, 100])
def test_magnitude_of_nonzeros(rows: int, density: float) -> None:
    random = np.random.default_rng(rows)
    data = float32(random, rows + 4, 300).astype(np.float32)
    data[random.random(data.shape) >= density] = 0
    order = random.permutation(len(data))[:rows]
    batch = Batch(rows)

    def compute(n: int) -> list[Array]:
        out = magnitudes(batch)
        batch.run(make_op("magnitude_sparse", magnitudes=out, source=0), threads=n,
                  sources=[sparse_rows(data, 1.0)], order=order)  # fmt: skip
        assert out.array is not None
        return [out.array[: n_blocks(rows)]]

    (found,) = by_any_team(compute)
    np.testing.assert_array_equal(found, largest_of_units(data[order]))


@pytest.mark.parametrize("lane", range(BLOCK))
def test_magnitude_orders_infinities_and_nan_last(lane: int) -> None:
    for worse, better in ((np.inf, LARGEST), (-np.inf, 1.0), (np.nan, np.inf), (-np.nan, -np.inf)):
        x = np.full((3, BLOCK), better, np.float32)
        x[1, lane] = worse
        batch = Batch(3)
        out = magnitudes(batch)
        batch.run(make_op("magnitude", x=batch.blocks(x), magnitudes=out, features=BLOCK),
                  threads=1)  # fmt: skip
        assert out.array is not None
        found = out.array[:1].view(np.float32)[0]
        assert np.isnan(found) if np.isnan(worse) else found == np.inf


@pytest.mark.parametrize(
    ("x", "dz", "proved"),
    [
        (1.0, 1.0, True),
        (1e9, 1e7, True),
        (1e9, 1e9, False),
        (1e-20, 1e19, False),  # the sum of dz is the bias's gradient
        (1e-20, 1e14, True),
        (0.0, np.inf, False),
        (np.nan, 0.0, False),
        (0.0, np.nan, False),
        (np.inf, 0.0, False),
        (0.0, 0.0, True),
        (None, 1e16, True),
        (None, 1e17, False),  # the square of a sum of 40 might be infinite
    ],
)
@pytest.mark.parametrize("unit", [0, 2])
def test_guard_factors(x: float | None, dz: float, proved: bool, unit: int) -> None:
    """Of 40 rows; what lies beyond their units is not read."""
    batch = Batch(40)
    table = np.zeros((4, n_blocks(batch.capacity) + 1), np.float32)
    table[:, 3:] = np.nan
    table[0, unit] = 0.0 if x is None else x
    table[2, unit] = dz  # the second of two parts
    stride = table.shape[1]

    def maxima(row: int, parts: int) -> tuple[int, ...]:
        return row * stride, parts, stride, 1, BLOCK

    of_x = maxima(0, 0 if x is None else 1)
    factors = [[maxima(3, 1), maxima(3, 1)], [of_x, maxima(1, 2)]]
    op = make_op(
        "guard_factors", magnitudes=array(table.view(np.int32), np.int32),
        factors=array(factors, np.int64), products=2,
    )  # fmt: skip
    assert [goes_on(batch, op, n) for n in (1, 2, 3)] == [proved] * 3


@pytest.mark.parametrize("halts", [False, True])
@pytest.mark.parametrize("norms", [[1.0, 1e70], [0.0, np.nan], [np.inf, 1.0]])
def test_guard_halts(norms: list[float], halts: bool) -> None:
    op = make_op("guard", norms=array(norms, np.float64), count=2, halts=halts)
    wanted = not halts or bool(np.isfinite(norms).all())
    assert [goes_on(Batch(5), op, n) for n in (1, 2, 3)] == [wanted] * 3


# Finished gradients, and their norms


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(
    ("l1", "l2", "clipvalue"), [(0, 0, 0), (0.25, 0, 0), (0, 0.5, 0), (0, 0, 0.5), (0.25, 0.5, 1.0)]
)
def test_finish_gradient(l1: float, l2: float, clipvalue: float, shape: tuple[int, ...]) -> None:
    gradient, w = problem(*shape)

    def compute(n: int) -> list[Array]:
        g, packed = weight(gradient), weight(w)
        rows = sizes(g)["rows"]
        squares = array(
            np.full((n_blocks(shape[-1]), -(-rows // CHUNK), BLOCK), np.nan), np.float32
        )
        norm = array([np.nan], np.float64)
        count = squares.array.size  # type: ignore[union-attr]
        ops = [
            make_op("finish_gradient", gradient=g, w=packed, squares=squares, panel=CHUNK, l1=l1,
                    l2=l2, clipvalue=clipvalue, **sizes(g)),
            make_op("square_sums", squares=squares, gradient=g, norm=norm, count=count,
                    size=g.array.size, number=1),  # type: ignore[union-attr]
        ]  # fmt: skip
        Batch(1).run(*ops, threads=n)
        assert norm.array is not None
        return [read_weight(g, shape), norm.array]

    found, norm = by_any_team(compute)
    whole = gradient + l1 * np.sign(w) + 2 * l2 * w
    bound = 4 * U * (np.abs(gradient) + l1 + 2 * l2 * np.abs(w))
    wanted = np.clip(whole, -clipvalue, clipvalue) if clipvalue else whole
    assert_within(found, wanted, bound)
    # before clipping
    assert norm[0] == pytest.approx(np.sum(whole**2), rel=K * U)


@pytest.mark.parametrize("clipvalue", [0.0, 0.5])
@pytest.mark.parametrize("where", [(0, 0), (129, 16), (299, 39)])
@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan, 1e30])
def test_norms_tell_what_is_not_finite(
    bad: float, where: tuple[int, int], clipvalue: float
) -> None:
    """Even where clipping makes it finite; large numbers are."""
    gradient, w = problem(300, 40)
    gradient[where] = bad
    for exact in (False, True):
        if exact and clipvalue:
            continue  # norms of their own are of gradients that are not clipped
        g = weight(gradient)
        squares = array(np.zeros((3, 3, BLOCK)), np.float32)
        norm = array([0.0], np.float64)
        ops = [
            make_op("finish_gradient", gradient=g, w=weight(w), squares=squares, panel=CHUNK,
                    clipvalue=clipvalue, **sizes(g)),
            make_op("square_sums", squares=squares, gradient=g, norm=norm, exact=exact, number=0,
                    count=3 * 3 * BLOCK, size=g.array.size),  # type: ignore[union-attr]
        ]  # fmt: skip
        Batch(1).run(*ops, threads=2)
        assert norm.array is not None
        assert np.isfinite(norm.array[0]) == np.isfinite(bad)
        if np.isfinite(bad) and not clipvalue:
            assert norm.array[0] == pytest.approx(float(np.float32(bad)) ** 2, rel=1e-12)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_exact_norms(scale: float) -> None:
    g = weight(float32(np.random.default_rng(0), 77, 21, scale=scale))
    norm = array([0.0], np.float64)
    op = make_op("square_sums", squares=array(np.zeros(BLOCK), np.float32), gradient=g, norm=norm,
                 count=BLOCK, size=g.array.size, exact=True)  # type: ignore[union-attr]  # fmt: skip
    Batch(1).run(op, threads=1)
    wanted = np.sum(np.square(read_weight(g, (77, 21)), dtype=np.float64))
    assert norm.array is not None
    assert norm.array[0] == pytest.approx(wanted, rel=1e-13)


@pytest.mark.parametrize(
    ("norm", "error", "most", "goes"),
    [
        (4.0, 1e-5, 1.0, True), (4.0, 1e-3, 1.0, False), (0.0, 0.5, 1.0, True),
        (0.0, 1.5, 1.0, False), (0.9, 0.2, 1.0, False), (0.9, 0.2, 2.0, True),
    ],
)  # fmt: skip
def test_guard_halts_where_too_few_digits_are_left_of_a_norm_that_clips(
    norm: float, error: float, most: float, goes: bool
) -> None:
    guard = make_op(
        "guard", norms=array([norm / 2, 0.0, norm / 2, 0.0], np.float64), count=4, unstored=4,
        errors=array([error / 2, error / 2], np.float64), halts=True, global_clipnorm=most,
    )  # fmt: skip
    assert [goes_on(Batch(5), guard, n) for n in (1, 2, 3)] == [goes] * 3


# The update


def norms_of(x: Array) -> Array:
    return np.sqrt(np.sum(x**2, axis=0, keepdims=True))


def clipped(gradient: Array, w: Array, clip: str, most: float) -> Array:
    if clip == "adaptive_clip":
        bound = most * np.maximum(norms_of(w), 1e-3)
        with np.errstate(divide="ignore"):
            return gradient * np.minimum(1, bound / norms_of(gradient))
    return gradient * min(1, most / np.sqrt(np.sum(gradient**2)))


def guarded(gradient: Array, most: float) -> tuple[Op, Buffer]:
    """A guard that clips to the global norm ``most``, of this gradient alone."""
    norm = array([np.sum(gradient**2)], np.float64)
    return make_op("guard", norms=norm, count=1, halts=True, global_clipnorm=most), norm


@pytest.mark.parametrize("most", [0.02, 0.5, 1e6])
@pytest.mark.parametrize("clip", ["clipnorm", "global_clipnorm", "adaptive_clip"])
@pytest.mark.parametrize(
    ("shape", "op"),
    [*((s, "update") for s in SHAPES), *((s, "clip_gradient") for s in SHAPES if len(s) == 2)],
    ids=str,
)
def test_clipping(shape: tuple[int, ...], clip: str, most: float, op: str) -> None:
    gradient, w = problem(*shape)
    is_vector = len(shape) == 1

    def compute(n: int) -> list[Array]:
        g, packed = weight(gradient), weight(w)
        guard, norm = guarded(gradient, most if clip == "global_clipnorm" else 0.0)
        whole = is_vector and clip == "adaptive_clip"
        settings = {"norm": norm if clip == "clipnorm" else None}
        if clip != "global_clipnorm":
            settings[clip] = most  # type: ignore[assignment]
        if op == "clip_gradient":
            step = make_op(op, gradient=g, w=packed, **settings, **sizes(g))
        else:
            step = update_op(g, packed, [], optimizer=OPTIMIZERS["sgd"], **settings, whole=whole)
            step.integers[step.spec.integers.index("group")] = sizes(g)["blocks"] if whole else 1
        Batch(1).run(guard, step, threads=n, scalars=[1.0, 0.0])
        return [read_weight(g if op == "clip_gradient" else packed, shape)]

    (found,) = by_any_team(compute)
    columns = gradient[:, None] if is_vector else gradient
    wanted = clipped(columns, w[:, None] if is_vector else w, clip, most).reshape(shape)
    bound = K * U * np.abs(wanted)
    if op == "clip_gradient":
        assert_within(found, wanted, bound)
    else:
        assert_within(found, w - wanted, bound + 2 * U * np.abs(w))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("number", "every"), [(0, 0), (3, 0), (3, 4), (3, 3), (0, 1), (5, 2)])
@pytest.mark.parametrize("stepped", [False, True])
def test_average(stepped: bool, number: int, every: int, shape: tuple[int, ...]) -> None:
    """Of the weight after its step; ``stepped``: which another op took."""
    gradient, w = problem(*shape)
    start = float32(np.random.default_rng(9), *shape)

    def compute(n: int) -> list[Array]:
        packed, average, slot = weight(w), weight(start), weight(0 * w)
        op = update_op(
            None if stepped else weight(gradient),  # type: ignore[arg-type]
            packed, [] if stepped else [slot], average=average, overwrite_every=every,
            ema_momentum=0.75, optimizer=OPTIMIZERS["momentum"],
        )  # fmt: skip
        Batch(1).run(op, threads=n, scalars=[0.5, 0.0, 0.0], number=number)
        return [read_weight(buffer, shape) for buffer in (packed, average)]

    after, average = by_any_team(compute)
    momentum = 0.75 if number else 0.0
    moved = w if stepped else w - 0.5 * gradient
    terms = np.abs(start) + np.abs(w) + np.abs(gradient)
    wanted = momentum * start + (1 - momentum) * moved
    assert_within(average, wanted, 8 * U * terms)
    if every and (number + 1) % every == 0:
        assert_same_bits(after, average)
    else:
        assert_within(after, moved, 4 * U * terms)


def constraint(kind: str, axis: Any) -> constraints.Constraint:
    if kind == "non_neg":
        return constraints.NonNeg()
    if kind == "unit_norm":
        return constraints.UnitNorm(axis)
    return constraints.MaxNorm(1.5, axis)


@pytest.mark.parametrize("kind", CONSTRAINTS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_constraints_by_column(shape: tuple[int, ...], kind: str) -> None:
    """Or of a vector as a whole; after the step and the average, which they leave alone."""
    gradient, w = problem(*shape)
    whole = len(shape) == 1 and kind != "non_neg"

    def compute(n: int) -> list[Array]:
        packed, average = weight(w), weight(w)
        op = update_op(
            weight(gradient), packed, [], optimizer=OPTIMIZERS["sgd"], average=average,
            constraint=CONSTRAINTS[kind], constraint_value=1.5, whole=whole,
        )  # fmt: skip
        op.integers[op.spec.integers.index("group")] = sizes(packed)["blocks"] if whole else 1
        Batch(1).run(op, threads=n, scalars=[0.5, 0.0])
        return [read_weight(buffer, shape) for buffer in (packed, average)]

    found, average = by_any_team(compute)
    moved = w - 0.5 * gradient
    wanted = constraint(kind, 0)(moved)
    scale = (
        constraint(kind, 0)(np.abs(w) + np.abs(gradient)) if kind == "non_neg" else np.abs(wanted)
    )
    assert_within(average, moved, 4 * U * (np.abs(w) + np.abs(gradient)))
    assert_within(found, wanted, K * U * scale + 4 * U * (np.abs(w) + np.abs(gradient)) * (
        1 if kind != "unit_norm" else np.abs(wanted) / np.maximum(np.abs(moved), 1e-30)
    ))  # fmt: skip


@pytest.mark.parametrize("axis", [1, (0, 1)], ids=str)
@pytest.mark.parametrize("kind", ["max_norm", "unit_norm"])
@pytest.mark.parametrize("shape", [shape for shape in SHAPES if len(shape) == 2], ids=str)
def test_constraints_by_row(shape: tuple[int, ...], kind: str, axis: Any) -> None:
    _, w = problem(*shape)
    w[0] = 0

    def compute(n: int) -> list[Array]:
        packed = weight(w)
        op = make_op(
            "constrain_rows", w=packed, blocks=sizes(packed)["blocks"], rows=shape[0],
            stored_rows=sizes(packed)["rows"], constraint=CONSTRAINTS[kind], whole=axis != 1,
            constraint_value=1.5,
        )  # fmt: skip
        Batch(1).run(op, threads=n)
        return [read_weight(packed, shape)]

    (found,) = by_any_team(compute)
    wanted = constraint(kind, axis)(w)
    assert_within(found, wanted, 4 * U * np.abs(wanted))


# Penalties


@pytest.mark.parametrize("rows", [1, 20])
@pytest.mark.parametrize(("l1", "l2"), [(0.25, 0), (0, 0.5), (0.25, 0.5)])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_penalty(shape: tuple[int, ...], l1: float, l2: float, rows: int) -> None:
    """Each row of the batch counts it once."""
    _, w = problem(*shape)

    def compute(n: int) -> list[Array]:
        packed = weight(w)
        penalties = array(np.full(n_blocks(shape[-1]), np.nan), np.float64)
        sums = np.array([7.0, 2.0])
        ops = [
            make_op("penalty", w=packed, penalties=penalties, l1=l1, l2=l2, **sizes(packed)),
            make_op("sum_penalties", penalties=penalties, sum=1, blocks=n_blocks(shape[-1])),
        ]
        Batch(rows).run(*ops, threads=n, sums=sums)
        return [sums]

    (sums,) = by_any_team(compute)
    wanted = l1 * np.abs(w).sum() + l2 * np.square(w).sum()
    assert sums[0] == 7
    assert sums[1] == pytest.approx(2 + rows * wanted, rel=K * U)


@pytest.mark.parametrize(("l1", "l2"), [(0.25, 0), (0, 0.5), (0.25, 0.5)])
@pytest.mark.parametrize("accumulate", [None, False, True])
@pytest.mark.parametrize(
    ("rows", "features"), [*((rows, 17) for rows in ROWS), *((19, n) for n in FEATURES)]
)
def test_regularize_activity(
    rows: int, features: int, accumulate: bool | None, l1: float, l2: float
) -> None:
    """``accumulate`` None: nobody asks for a gradient."""
    random = np.random.default_rng((rows, features))
    y, start = float32(random, rows, features), float32(random, rows, features)
    y[0, 0] = 0
    batch = Batch(rows)

    def compute(n: int) -> list[Array]:
        values = batch.values()
        dy = batch.blocks(start) if accumulate else batch.unwritten(features)
        op = make_op(
            "regularize_activity", y=batch.blocks(y), dy=None if accumulate is None else dy,
            row_values=values, features=features, accumulate=bool(accumulate), l1=l1, l2=l2,
        )  # fmt: skip
        batch.run(op, threads=n)
        read = [] if accumulate is None else [batch.read(dy, features)]
        return [batch.read_values(values), *read]

    values, *gradient = by_any_team(compute)
    terms = l1 * np.abs(y) + l2 * y**2
    assert_within(values, terms.sum(axis=1), K * U * terms.sum(axis=1))
    if gradient:
        wanted = (l1 * np.sign(y) + 2 * l2 * y) / rows
        before = start if accumulate else 0 * start
        bound = 8 * U * (np.abs(before) + (l1 + 2 * l2 * np.abs(y)) / rows)
        assert_within(gradient[0], before + wanted, bound)
