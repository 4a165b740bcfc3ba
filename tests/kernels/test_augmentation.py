"""Pictures changed at random: against their twins, to the bit where no arithmetic is between.

Statistical tests are of fixed numbers: they pass or fail once and for all. Each would reject a good
generator with a probability of about one in a million.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from picture_twins import (
    brightened,
    contrasted,
    cropped,
    drawn,
    flipped,
    rotation,
    translation,
    warped,
    zoom,
)

from fastnn.engine.sources import Rows
from fastnn.kernels.augmentation import FILLS, FLIPS, TINTS, WARPS, WINDOWS
from fastnn.kernels.codes import DTYPES
from fastnn.kernels.layout import BLOCK, aligned_zeros, n_blocks
from fastnn.lowering.nodes.augmentation import Move, table_of_moves
from fastnn.lowering.program import Buffer, Buffers
from fastnn.lowering.randomness import Stream
from kernels.harness import (
    Array,
    Batch,
    U,
    assert_same_bits,
    assert_within,
    by_any_team,
    make_op,
)

SEED, STREAM, STEP = 0x123456789ABCDEF, 3, 2**33 + 5
PICTURES = [(1, 1, 1), (1, 7, 3), (5, 4, 1), (6, 7, 3), (4, 3, 17)]
ROWS = 9


def pixels(batch: Batch, shape: tuple[int, ...], x: Array | None = None) -> tuple[Buffer, int]:
    """Pictures as they lie, and floats from one to the next; unwritten where no ``x`` is given."""
    numbers = int(np.prod(shape))
    row = n_blocks(numbers) * BLOCK
    storage = aligned_zeros((batch.capacity * row + BLOCK,))
    storage[:] = np.nan
    if x is not None:
        rows = storage[: batch.capacity * row].reshape(batch.capacity, row)
        rows[: batch.rows] = 0
        rows[: batch.rows, :numbers] = x.reshape(batch.rows, numbers)
    buffer = Buffers.of_array("pixels", storage)
    buffer.positions, buffer.stride = shape[0] * shape[1], BLOCK
    return buffer, row


def read(batch: Batch, buffer: Buffer, row: int, shape: tuple[int, ...]) -> Array:
    """(rows, *shape); what is behind the batch must still be unwritten, what is between be 0."""
    assert buffer.array is not None
    assert np.isnan(buffer.array[batch.rows * row :]).all()
    rows = buffer.array[: batch.rows * row].reshape(batch.rows, row)
    numbers = int(np.prod(shape))
    np.testing.assert_array_equal(rows[:, numbers:], 0)
    return rows[:, :numbers].reshape(batch.rows, *shape).copy()


def run(
    name: str,
    x: Array,
    threads: int,
    after: tuple[int, ...] = (),
    step: int = STEP,
    **settings: Any,
) -> Array:
    """What an op on pixels makes of pictures (rows, height, width, channels)."""
    batch, shape = Batch(len(x)), x.shape[1:]
    source, row_of_x = pixels(batch, shape, x)
    y, row = pixels(batch, after or shape)
    height, width, channels = shape
    op = make_op(
        name, x=source, y=y, height=height, width=width, channels=channels, row_of_x=row_of_x,
        row=row, **{"scale": 1.0, **settings},
    )  # fmt: skip
    batch.run(op, threads=threads, number=step)
    return read(batch, y, row, after or shape)


def seeded(shape: Sequence[int], rows: int = ROWS) -> Array:
    return np.random.default_rng((rows, *shape)).uniform(-2, 3, (rows, *shape)).astype(np.float32)


# --- places -------------------------------------------------------------------------------------

RANGES = {
    "translation": [(-0.875, 1.0), (-1.0, 0.75)],
    "rotation": [(-0.5, 0.25)],
    "zoom": [(-0.75, 1.0), (-0.5, 0.5)],
    "zoom_alike": [(-0.75, 1.0)],
}
MATRICES = {
    "translation": translation,
    "rotation": lambda shape, turns, _: rotation(shape, turns),
    "zoom": zoom,
    "zoom_alike": lambda shape, factor, _: zoom(shape, factor, factor),
}


@pytest.mark.parametrize("bilinear", [True, False])
@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("kind", WARPS)
@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 4, 1), (6, 7, 3), (4, 3, 17)], ids=str)
def test_warp(kind: str, fill: str, bilinear: bool, shape: tuple[int, int, int]) -> None:
    x = seeded(shape)
    ranges = RANGES[kind]
    ends = {
        f"{end}_{i}": pair[j]
        for i, pair in enumerate(ranges)
        for j, end in enumerate(("low", "high"))
    }
    [y] = by_any_team(
        lambda n: [
            run("warp", x, n, kind=WARPS[kind], fill=FILLS[fill], bilinear=bilinear, fill_value=7.5,
                **ends, **Stream(SEED, STREAM).settings())
        ]
    )  # fmt: skip
    for picture, found, u in zip(
        x.astype(np.float64), y, drawn(SEED, STREAM, STEP, ROWS), strict=True
    ):
        first, second = (
            low + (high - low) * u[i] for i, (low, high) in enumerate((ranges * 2)[:2])
        )
        of = MATRICES[kind](shape, first, second)
        expected, distance = warped(picture, of, fill, bilinear, 7.5)
        if bilinear:  # each weight is rounded twice, each product and sum once
            assert_within(found, expected, 8 * U * 7.5)
        else:
            sure = distance > 1e-9
            assert_same_bits(found[sure], expected.astype(np.float32)[sure])


def test_a_warp_by_nothing_is_nothing() -> None:
    x = seeded((6, 7, 3))
    for kind, fill in (("translation", "constant"), ("rotation", "wrap"), ("zoom", "reflect")):
        for bilinear in (False, True):
            y = run("warp", x, 1, kind=WARPS[kind], fill=FILLS[fill], bilinear=bilinear)
            assert_same_bits(y, x)


# --- flips and windows --------------------------------------------------------------------------

CHAINS = [["horizontal"], ["vertical"], ["horizontal_and_vertical"], ["crop"], ["middle"],
          ["horizontal_and_vertical", "crop", "vertical"],
          ["crop", "horizontal", "middle", "horizontal_and_vertical", "crop"]]  # fmt: skip


def chain(names: Sequence[str], shape: tuple[int, ...]) -> tuple[list[Move], tuple[int, ...]]:
    """The moves, each with a stream of its own; and the shape that they leave."""
    before, moves = shape[:2], []
    for number, name in enumerate(names):
        after, kind = before, FLIPS.get(name)
        if kind is None:
            after = max(1, before[0] - 2), max(1, before[1] - 1)
            kind = WINDOWS["middle" if name == "middle" else "random"]
        moves.append(Move(kind, Stream(SEED, number), before, after))  # type: ignore[arg-type]
        before = after
    return moves, (*before, shape[2])


def moved(x: Array, names: Sequence[str], moves: Sequence[Move]) -> Array:
    numbers = [drawn(SEED, number, STEP, len(x)) for number in range(len(moves))]
    result = []
    for row, picture in enumerate(x):
        for name, move, u in zip(names, moves, numbers, strict=True):
            if name in FLIPS:
                picture = flipped(picture, name, u[row])
            elif name == "crop":
                picture = cropped(picture, *move.after, u[row])
            else:
                h, w = ((b - a) // 2 for b, a in zip(move.before, move.after, strict=True))
                picture = picture[h : h + move.after[0], w : w + move.after[1]]
        result.append(picture)
    return np.stack(result)


@pytest.mark.parametrize("names", CHAINS, ids="-".join)
def test_moves(names: list[str]) -> None:
    for shape in PICTURES:
        moves, after = chain(names, shape)
        x = seeded(shape)
        settings = {"moves": table_of_moves("moves", moves), "count": len(moves)}
        [y] = by_any_team(
            lambda n, x=x, after=after, settings=settings: [
                run("move_pixels", x, n, after, **settings)
            ]
        )
        assert_same_bits(y, moved(x, names, moves))


def gathered(data: Array, order: Array, moves: list[Move], shape: tuple[int, ...],
             after: tuple[int, ...], threads: int) -> Array:  # fmt: skip
    batch = Batch(len(order))
    y, row = pixels(batch, after)
    op = make_op(
        "gather_pixels", moves=table_of_moves("moves", moves), y=y, height=shape[0], width=shape[1],
        channels=shape[2], count=len(moves), row=row, scale=0.5, offset=-3.0,
    )  # fmt: skip
    source = Rows(data.reshape(len(data), -1))
    batch.run(op, threads=threads, sources=[source], order=order, number=STEP)
    return read(batch, y, row, after)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("names", [[], CHAINS[-1]], ids="-".join)
def test_gather_pixels(names: list[str], dtype: str) -> None:
    for shape in PICTURES:
        random = np.random.default_rng(shape)
        moves, after = chain(names, shape)
        data = random.integers(0, 256, (20, *shape)).astype(dtype)
        order = random.permutation(20)[:ROWS]
        [y] = by_any_team(
            lambda n, given=(data, order, moves, shape, after): [gathered(*given, threads=n)]
        )
        expected = moved(
            data[order].astype(np.float32) * np.float32(0.5) - np.float32(3), names, moves
        )
        assert_same_bits(y, expected)


def test_lines_longer_than_scratch() -> None:
    shape = (2, 20_000, 2)
    data = np.random.default_rng(0).integers(0, 256, (3, *shape)).astype(np.uint8)
    moves, after = chain(["horizontal", "crop"], shape)
    y = gathered(data, np.arange(3), moves, shape, after, 2)
    assert_same_bits(
        y, moved(data.astype(np.float32) * np.float32(0.5) - 3, ["horizontal", "crop"], moves)
    )


# --- values -------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", PICTURES, ids=str)
@pytest.mark.parametrize("kind", TINTS)
def test_tint(kind: str, shape: tuple[int, int, int]) -> None:
    x = seeded(shape)
    low, high, lowest, highest = -0.25, 1.75, -1.0, 2.5
    [y] = by_any_team(
        lambda n: [
            run("tint", x, n, kind=TINTS[kind], low=low, high=high, lowest=lowest, highest=highest,
                **Stream(SEED, STREAM).settings())
        ]
    )  # fmt: skip
    twin = {"contrast": contrasted, "brightness": brightened}[kind]
    numbers = low + (high - low) * drawn(SEED, STREAM, STEP, ROWS)[:, 0]
    expected = np.stack(
        [twin(p, f, lowest, highest) for p, f in zip(x.astype(np.float64), numbers, strict=True)]
    )
    assert_within(y, expected, 8 * U * 10)


def test_scale_and_offset_come_last() -> None:
    x = seeded((6, 7, 3))
    moves, after = chain(["horizontal", "crop"], (6, 7, 3))
    for name, shape, settings in (
        ("warp", (), {"kind": WARPS["rotation"], "high_0": 1.0, "key": SEED, "bilinear": 1}),
        ("tint", (), {"high": 1.0, "key": SEED, "highest": 2.0}),
        ("move_pixels", after, {"moves": table_of_moves("moves", moves), "count": len(moves)}),
    ):
        plain = run(name, x, 1, shape, **settings)
        scaled = run(name, x, 1, shape, **settings, **{"scale": -0.5, "offset": 4.0})
        assert_same_bits(scaled, plain * np.float32(-0.5) + np.float32(4))


# --- what is drawn ------------------------------------------------------------------------------


def brightness(rows: int, step: int = STEP, stream: int = STREAM) -> Array:
    """The numbers between -1 and 1 that black pictures of one pixel are given."""
    x = np.zeros((rows, 1, 1, 1), np.float32)
    settings = {
        "kind": TINTS["brightness"],
        "low": -1.0,
        "high": 1.0,
        "lowest": 0.0,
        "highest": 1.0,
    }
    up = run("tint", x, 1, step=step, **settings, **Stream(SEED, stream).settings())
    settings |= {"lowest": -1.0, "highest": 0.0}
    down = run("tint", x, 1, step=step, **settings, **Stream(SEED, stream).settings())
    return (up + down).reshape(rows).astype(np.float64)


def test_numbers_are_uniform_and_independent() -> None:
    n = 10_000
    u = brightness(n)
    assert np.abs(u).max() <= 1
    # deviations of the mean, of the mean square, and of correlations
    assert abs(u.mean()) < 4.9 / np.sqrt(3 * n)
    assert abs((u**2).mean() - 1 / 3) < 4.9 * np.sqrt(4 / 45 / n)
    for lag in (1, 2, 3, 4, 5, 16):
        assert abs((u[lag:] * u[:-lag]).mean()) < 4.9 / 3 / np.sqrt(n - lag)
    for other in (brightness(n, STEP + 1), brightness(n, stream=STREAM + 1)):
        assert abs((u * other).mean()) < 4.9 / 3 / np.sqrt(n)


def test_flips_and_windows_are_equally_frequent() -> None:
    n = 6_000
    x = np.tile(np.arange(12, dtype=np.float32).reshape(1, 3, 4, 1), (n, 1, 1, 1))
    moves, _ = chain(["horizontal_and_vertical"], (3, 4, 1))
    corner = run("move_pixels", x, 1, moves=table_of_moves("m", moves), count=1)[:, 0, 0, 0]
    window = [Move(WINDOWS["random"], Stream(SEED, 1), (3, 4), (1, 1))]
    place = run("move_pixels", x, 1, (1, 1, 1), moves=table_of_moves("m", window), count=1).ravel()
    for found, values in ((corner, [0, 3, 8, 11]), (place, range(12))):
        counts = np.array([(found == value).sum() for value in values])
        assert counts.sum() == n
        expected = n / len(values)
        # the 1 - 1e-6 quantiles of chi-square with 3 and 11 degrees of freedom
        assert ((counts - expected) ** 2 / expected).sum() < {4: 30.7, 12: 48.9}[len(values)]


def test_numbers_do_not_depend_on_the_size_of_the_batch() -> None:
    assert_same_bits(brightness(17)[:5], brightness(5))
