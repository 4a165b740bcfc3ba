"""One op, or a few, run by the engine on operands packed for it.

Operands are arrays of their own rather than places in an arena, so that a test sees all of them.
What no op may read (rows after the batch, outputs before they are written) holds NaN: if it is read
after all, the result says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn.engine.executable import Executable
from fastnn.engine.sources import Rows, SparseRows
from fastnn.kernels.layout import (
    BLOCK,
    activation_rows,
    aligned_zeros,
    n_blocks,
    pack,
    packed_shape,
    unpack,
)
from fastnn.lowering.program import Buffer, Buffers, Op, Program, make_op

Array = NDArray[Any]

U = 2.0**-24
"""Unit roundoff of float32: an operation rounded to nearest is off by at most U of its result."""

THREADS = (1, 2, 3)

ROWS = (1, 2, 5, 16, 17, 31, 33, 257, 600)

FEATURES = (1, 7, 15, 16, 17, 33, 100, 784)


class Batch:
    """``rows`` rows in a program that has room for a few more."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.capacity = rows + 3

    # Operands

    def blocks(self, x: ArrayLike) -> Buffer:
        """(rows, features), or (rows, positions, features), in blocks of 16 features; padding 0,
        as ops leave it."""
        values = np.asarray(x, np.float32)
        buffer = self.unwritten(values.shape[-1], 1 if values.ndim == 2 else values.shape[1])
        lines = values.reshape(-1, values.shape[-1])
        buffer.array[:, : len(lines)] = 0  # type: ignore[index]
        for column in range(lines.shape[1]):
            block, lane = divmod(column, BLOCK)
            buffer.array[block, : len(lines), lane] = lines[:, column]  # type: ignore[index]
        return buffer

    def unwritten(self, features: int, positions: int = 1) -> Buffer:
        """Room for ``blocks``."""
        lines = activation_rows(self.capacity * positions)
        storage = aligned_zeros((n_blocks(features), lines, BLOCK))
        storage[:] = np.nan
        buffer = Buffers.of_array("blocks", storage)
        buffer.positions, buffer.stride = positions, storage.shape[1] * BLOCK
        return buffer

    def transposed(self, features: int) -> Buffer:
        """Room for (rows, features) in blocks of 16 rows."""
        storage = aligned_zeros((n_blocks(self.capacity), n_blocks(features), BLOCK, BLOCK))
        storage[:] = np.nan
        return Buffers.of_array("transposed", storage)

    def values(self, x: ArrayLike | None = None, dtype: type = np.float32) -> Buffer:
        """One 4-byte value a row; NaN, or the labels' worst, where nothing is given."""
        storage = aligned_zeros((self.capacity,), dtype)
        storage[:] = np.nan if dtype is np.float32 else np.iinfo(dtype).max
        if x is not None:
            storage[: self.rows] = x
        return Buffers.of_array("values", storage)

    # Results

    def read(self, buffer: Buffer, features: int, padding: float | None = 0.0) -> Array:
        """What ``blocks`` describes: (rows, features), of several positions (rows, positions,
        features); the padding must hold ``padding``."""
        lines = self.rows * buffer.positions
        blocks = buffer.array[:, :lines].transpose(1, 0, 2)  # type: ignore[index]
        matrix = blocks.reshape(lines, -1)
        if padding is not None:
            np.testing.assert_array_equal(matrix[:, features:], np.float32(padding))
        found = np.array(matrix[:, :features])
        return found if buffer.positions == 1 else found.reshape(self.rows, -1, features)

    def read_values(self, buffer: Buffer) -> Array:
        return np.array(buffer.array[: self.rows])  # type: ignore[index]

    # The run

    def run(
        self,
        *ops: Op,
        threads: int,
        sources: Sequence[Rows | SparseRows] = (),
        order: ArrayLike | None = None,
        scalars: ArrayLike | None = None,
        sums: Array | None = None,
        outputs: Sequence[Array] = (),
        batch_size: int | None = None,
        number: int = 0,
        every: int = 0,
        records: Array | None = None,
    ) -> None:
        """One step over the batch, or several of ``batch_size`` rows; the team waits before each op
        but the first. ``number``: of steps before it. ``every``, ``records``: whose statistics are
        taken, and where they go; (steps looked at + 1, columns)."""
        for op in ops[1:]:
            op.wait = True
        order = np.asarray(np.arange(self.rows) if order is None else order, np.int64)
        program = Program(list(ops), self.capacity)
        if records is not None:
            program.record.width = records.shape[1]
        Executable(program).run(
            list(sources),
            order,
            0,
            self.rows,
            self.rows if batch_size is None else batch_size,
            None if scalars is None else np.atleast_2d(np.asarray(scalars, np.float32)),
            np.zeros(1) if sums is None else sums,
            list(outputs),
            threads,
            np.inf,
            SimpleNamespace(iterations=number),
            every=every,
            records=records,
        )


def weight(w: ArrayLike) -> Buffer:
    """A matrix (in, out) or a vector (n,) in its packed layout."""
    values = np.asarray(w, np.float32)
    storage = aligned_zeros(packed_shape(values.shape))
    pack(values, storage)
    return Buffers.of_array("weight", storage)


def read_weight(buffer: Buffer, shape: tuple[int, ...]) -> Array:
    """What ``weight`` stored; its padding must be zero still."""
    storage = buffer.array
    assert storage is not None
    result = unpack(storage, shape)
    clean = np.zeros_like(storage)
    pack(result, clean)
    np.testing.assert_array_equal(storage, clean)
    return result


def kernel_block(w: Buffer) -> int:
    """Floats from block to block of a packed weight."""
    assert w.array is not None
    return w.array.shape[1] * BLOCK


def array(values: Any, dtype: type) -> Buffer:
    storage = aligned_zeros(np.shape(values), dtype)
    storage[...] = values
    return Buffers.of_array("array", storage)


def update_op(gradient: Buffer, w: Buffer, slots: Sequence[Buffer], **settings: Any) -> Op:
    """The optimizer's step on a packed weight, a block of columns at a time."""
    assert w.array is not None
    blocks, rows = w.array.shape[:2]
    named = {f"slot_{i}": slot for i, slot in enumerate(slots)}
    return make_op(
        "update", gradient=gradient, w=w, **named, **{"blocks": blocks, "rows": rows, "group": 1},
        **settings,
    )  # fmt: skip


def goes_on(batch: Batch, op: Op, threads: int) -> bool:
    """Whether the ops after ``op`` are done."""
    y = batch.values()
    mark = make_op("gather_values", y=y, source=0, lines=1)
    batch.run(op, mark, threads=threads, sources=[Rows(np.ones((batch.rows, 1), np.float32))])
    done = np.array(batch.read_values(y) == 1)
    assert done.all() == done.any()
    return bool(done.all())


def by_any_team(compute: Callable[[int], Sequence[Array]]) -> list[Array]:
    """What ``compute(threads)`` returns, which must be the same to the last bit for any team."""
    first = list(compute(THREADS[0]))
    for threads in THREADS[1:]:
        for ours, theirs in zip(first, compute(threads), strict=True):
            assert_same_bits(theirs, ours)
    return first


def assert_same_bits(actual: Array, expected: Array) -> None:
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    np.testing.assert_array_equal(actual, expected)
    np.testing.assert_array_equal(np.signbit(actual), np.signbit(expected))


def assert_within(actual: Array, expected: Array, bound: ArrayLike) -> None:
    """|actual - expected| <= bound, element by element; denormals count as zero."""
    error = np.abs(np.asarray(actual, np.float64) - expected)
    allowed = np.broadcast_to(np.asarray(bound, np.float64) + 2.0**-125, error.shape)
    wrong = ~(error <= allowed)
    if wrong.any():
        worst = np.unravel_index(np.argmax(np.where(np.isnan(error), np.inf, error / allowed)),
                                 error.shape)  # fmt: skip
        raise AssertionError(
            f"{wrong.sum()} of {error.size} are off; worst at {tuple(map(int, worst))}: got "
            f"{actual[worst]!r}, want {expected[worst]!r} within {allowed[worst]:.3g}"
        )


def finite_difference(f: Callable[[Array], Array], x: Array, h: float = 1e-5) -> Array:
    """Slope of f, element by element, in float64: off by h^2 / 6 of the third derivative, and by
    1e-16 f / h of rounding."""
    return (f(x + h) - f(x - h)) / (2 * h)


FINITE_DIFFERENCE_ERROR = 1e-9
"""More than ``finite_difference`` is off by, where f and its third derivative are within 10."""


def float32(random: np.random.Generator, *shape: int, scale: float = 1.0) -> NDArray[np.float64]:
    """Normal numbers that float32 holds exactly, as float64."""
    return (scale * random.standard_normal(shape)).astype(np.float32).astype(np.float64)


__all__ = [
    "FEATURES",
    "FINITE_DIFFERENCE_ERROR",
    "ROWS",
    "THREADS",
    "Array",
    "Batch",
    "U",
    "assert_same_bits",
    "assert_within",
    "by_any_team",
    "finite_difference",
    "float32",
    "kernel_block",
    "make_op",
    "read_weight",
    "update_op",
    "weight",
]
