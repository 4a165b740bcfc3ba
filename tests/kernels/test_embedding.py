"""Embeddings: the rows that are picked, and sums of gradients in the order of the examples, to the
last bit; standardizing."""

from __future__ import annotations

import numpy as np
import pytest

from fastnn.engine.sources import Rows
from fastnn.kernels.codes import CHUNK, OPTIMIZERS
from fastnn.kernels.embedding import PANEL
from fastnn.kernels.layout import aligned_zeros
from fastnn.lowering.program import Buffer, Buffers, Op
from kernels.harness import (
    THREADS,
    Array,
    Batch,
    U,
    assert_same_bits,
    assert_within,
    by_any_team,
    float32,
    kernel_block,
    make_op,
    read_weight,
    weight,
)


class Problem:
    """A data set of integers, of which the batch takes rows in any order."""

    def __init__(self, rows: int, positions: int, inputs: int, units: int, distinct: int) -> None:
        random = np.random.default_rng((rows, positions, inputs, units))
        self.batch = Batch(rows)
        self.positions, self.inputs, self.units = positions, inputs, units
        known = random.choice(inputs, min(distinct, inputs), replace=False)
        self.data = random.choice(known, (rows + 5, positions)).astype(np.int32)
        self.data[0, 0], self.data[-1, -1] = 0, inputs - 1
        self.order = random.permutation(len(self.data))[:rows]
        self.lines = self.data[self.order].ravel()
        self.w = float32(random, inputs, units)
        self.dz = float32(random, rows * positions, units).astype(np.float32)

    def sort(self) -> tuple[Op, dict[str, Buffer]]:
        room = self.batch.capacity * self.positions + 2
        names = ("lines", "indices", "starts", "more_lines", "more_indices")
        arrays = {name: aligned_zeros((room,), np.int32) for name in names}
        for array in arrays.values():
            array[:] = np.iinfo(np.int32).max
        buffers = {name: Buffers.of_array(name, array) for name, array in arrays.items()}
        op = make_op(
            "sort_indices", source=0, positions=self.positions, inputs=self.inputs, **buffers
        )
        return op, {name: buffers[name] for name in names[:3]}

    def run(self, *ops: Op, threads: int, scalars: Array | None = None) -> None:
        self.batch.run(
            *ops, threads=threads, sources=[Rows(self.data)], order=self.order, scalars=scalars
        )

    def gradient(self) -> Array:
        """The sums of float32 in the promised order: chains of CHUNK lines, added in order."""
        found = np.zeros((self.inputs, self.units), np.float32)
        for index in np.unique(self.lines):
            lines = np.flatnonzero(self.lines == index)
            chains = []
            for start in range(0, len(lines), CHUNK):
                chain = self.dz[lines[start]].copy()
                for line in lines[start + 1 : start + CHUNK]:
                    chain += self.dz[line]
                chains.append(chain)
            total = chains[0]
            for chain in chains[1:]:
                total = total + chain
            found[index] = total
        return found

    def backward(self, threads: int, optimizer: int, touched: bool, slots: int = 0) -> list[Array]:
        """The weight and its slots after a step; or, of no optimizer, the stored gradient."""
        w = weight(self.w)
        more: dict[str, Buffer] = {}
        if optimizer < 0:
            more["kernel_gradient"] = weight(np.full(self.w.shape, 3.0))
        for i in range(slots):
            more[f"kernel_slot_{i}"] = weight(np.full(self.w.shape, 0.5))
        sort, sorted_lines = self.sort()
        shape = (self.batch.rows, self.positions, self.units)
        dz = self.dz.reshape(shape if self.positions > 1 else (shape[0], self.units))
        op = make_op(
            "embedding_backward", dz=self.batch.blocks(dz), kernel=w, inputs=self.inputs,
            units=self.units, kernel_block=kernel_block(w), optimizer=optimizer, touched=touched,
            **sorted_lines, **more,
        )  # fmt: skip
        self.run(sort, op, threads=threads, scalars=np.array([0.25, 0.0, 0.1, 0.2, 1e-3, 0.0]))
        made = [*more.values()] if optimizer < 0 else [w, *more.values()]
        return [read_weight(buffer, self.w.shape) for buffer in made]


PROBLEMS = [
    (1, 1, 1, 1, 1),
    (5, 1, 40, 16, 40),
    (33, 1, 5000, 17, 30),
    (257, 3, 300, 5, 300),
    (600, 1, 2 * PANEL + 1, 33, 2),
    (31, 9, PANEL, 100, 20),
]


@pytest.mark.parametrize("problem", PROBLEMS)
def test_rows_are_picked(problem: tuple[int, ...]) -> None:
    p = Problem(*problem)

    def forward(threads: int) -> list[Array]:
        w, y = weight(p.w), p.batch.unwritten(p.units, p.positions)
        op = make_op(
            "embedding_forward", kernel=w, y=y, source=0, features=p.units,
            kernel_block=kernel_block(w),
        )  # fmt: skip
        p.run(op, threads=threads)
        return [p.batch.read(y, p.units)]

    (y,) = by_any_team(forward)
    wanted = p.w.astype(np.float32)[p.lines]
    assert_same_bits(y.reshape(wanted.shape), wanted)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_lines_are_sorted_by_index(problem: tuple[int, ...]) -> None:
    check_sorted(Problem(*problem))


def test_indices_of_31_bits_are_sorted() -> None:
    """Three passes; and none of it is a float, which would lose the last bits."""
    p = Problem(100, 3, 10, 1, 10)
    p.inputs = 2**31 - 1
    random = np.random.default_rng(0)
    p.data = random.integers(2**31 - 50, 2**31 - 1, p.data.shape).astype(np.int32)
    p.data[::3] = random.integers(0, 2**31 - 1, p.data[::3].shape)
    p.lines = p.data[p.order].ravel()
    check_sorted(p)


def check_sorted(p: Problem) -> None:
    for threads in THREADS:
        op, buffers = p.sort()
        p.run(op, threads=threads)
        lines, indices, starts = (buffers[name].array for name in ("lines", "indices", "starts"))
        assert lines is not None and indices is not None and starts is not None
        wanted = np.argsort(p.lines, kind="stable")
        count = len(p.lines)
        np.testing.assert_array_equal(lines[:count], wanted)
        np.testing.assert_array_equal(indices[:count], p.lines[wanted])
        distinct, first = np.unique(p.lines[wanted], return_index=True)
        np.testing.assert_array_equal(starts[: len(first) + 2], [len(distinct), *first, count])


@pytest.mark.parametrize("problem", PROBLEMS)
def test_gradients_are_summed_in_the_order_of_examples(problem: tuple[int, ...]) -> None:
    p = Problem(*problem)
    (stored,) = by_any_team(lambda threads: p.backward(threads, -1, False))
    assert_same_bits(stored, p.gradient())


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize(("optimizer", "slots"), [("sgd", 0), ("adagrad", 1)])
def test_touched_rows_alone_take_the_step_that_all_take(
    problem: tuple[int, ...], optimizer: str, slots: int
) -> None:
    p = Problem(*problem)
    number = OPTIMIZERS[optimizer]
    everything = by_any_team(lambda threads: p.backward(threads, number, False, slots))
    touched = by_any_team(lambda threads: p.backward(threads, number, True, slots))
    for ours, theirs in zip(touched, everything, strict=True):
        assert_same_bits(ours, theirs)
    rest = np.setdiff1d(np.arange(p.inputs), p.lines)
    assert_same_bits(touched[0][rest], p.w.astype(np.float32)[rest])
    if optimizer == "sgd":
        gradient = p.gradient().astype(np.float64)
        bound = 2 * U * (np.abs(p.w) + np.abs(0.25 * gradient))
        assert_within(touched[0], p.w - 0.25 * gradient, bound)


@pytest.mark.parametrize("features", [1, 15, 16, 33])
@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize("one_for_all", [False, True])
@pytest.mark.parametrize("kind", ["forward", "backward", "added"])
def test_standardize(features: int, invert: bool, one_for_all: bool, kind: str) -> None:
    random = np.random.default_rng(features)
    batch = Batch(33)
    x, before = float32(random, 33, features), float32(random, 33, features)
    size = 1 if one_for_all else features
    mean, variance = float32(random, size, scale=9), float32(random, size) ** 2
    variance = variance.astype(np.float32).astype(np.float64)
    variance[0] = 0 if size > 1 else variance[0]

    def compute(threads: int) -> list[Array]:
        y = batch.blocks(before)
        op = make_op(
            "standardize", x=batch.blocks(x), variance=weight(variance), y=y, features=features,
            mean=weight(mean) if kind == "forward" else None, accumulate=kind == "added",
            invert=invert, one_for_all=one_for_all, epsilon=1e-7,
        )  # fmt: skip
        batch.run(op, threads=threads)
        return [batch.read(y, features)]

    (y,) = by_any_team(compute)
    deviation = np.maximum(np.sqrt(variance), np.float64(np.float32(1e-7)))
    off = mean if kind == "forward" else 0.0
    wanted = x * deviation + off if invert else (x - off) / deviation
    size_of_terms = np.abs(x * deviation) + np.abs(off) if invert else np.abs(wanted)
    # The difference is rounded once: by that of the larger term.
    size_of_terms = size_of_terms + (0 if invert else (np.abs(x) + np.abs(off)) / deviation)
    if kind == "added":
        wanted, size_of_terms = wanted + before, size_of_terms + np.abs(before)
    assert_within(y, wanted, 4 * U * size_of_terms)
