"""Problems of ops that look through windows: which shapes are tried, and what all of them share."""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import NamedTuple

import numpy as np

from fastnn.kernels.codes import ACTIVATIONS
from fastnn.kernels.layout import BLOCK, aligned_zeros, n_blocks
from fastnn.layers.geometry import Axis, axes
from fastnn.lowering.program import Buffer, Buffers
from kernels.harness import Array, Batch, U, float32, make_op


class Case(NamedTuple):
    """members: groups that are put together in whole blocks."""

    lengths: tuple[int, ...]
    window: tuple[int, ...]
    strides: tuple[int, ...]
    padding: str
    dilation: tuple[int, ...]
    channels: int
    filters: int
    examples: int
    groups: int = 1
    members: int = 1

    @property
    def axes(self) -> tuple[Axis, ...]:
        return axes(self.lengths, self.window, self.strides, self.padding, self.dilation)

    @property
    def windows(self) -> int:
        return prod(axis.windows for axis in self.axes)

    @property
    def positions(self) -> int:
        return prod(self.lengths)

    @property
    def taps(self) -> int:
        return prod(self.window)

    @property
    def kernel_shape(self) -> tuple[int, ...]:
        return (*self.window, self.channels // self.groups, self.filters)

    @property
    def kernel_matrix(self) -> tuple[int, int]:
        return self.taps * (self.channels // self.groups), self.filters


def pictures(x: Array, case: Case, windows: bool = False) -> Array:
    """Lines (examples, positions, channels) with all their axes."""
    lengths = tuple(axis.windows for axis in case.axes) if windows else case.lengths
    return x.reshape(len(x), *lengths, x.shape[-1])


def lines(x: Array) -> Array:
    """(examples, positions, channels) of pictures."""
    return x.reshape(len(x), -1, x.shape[-1])


ONE_D = [
    Case((13,), (4,), (1,), "causal", (3,), 5, 7, 3),
    Case((9,), (3,), (2,), "same", (1,), 17, 33, 9),
    Case((5,), (5,), (1,), "valid", (1,), 16, 16, 1),
]
TWO_D = [
    Case((1, 1), (1, 1), (1, 1), "valid", (1, 1), 1, 1, 1),
    Case((5, 4), (1, 1), (1, 1), "valid", (1, 1), 35, 40, 5),
    Case((6, 5), (3, 3), (1, 1), "same", (1, 1), 16, 33, 9),
    Case((7, 7), (3, 3), (2, 2), "same", (1, 1), 20, 16, 2),
    Case((9, 8), (5, 5), (2, 3), "valid", (1, 1), 3, 6, 5),
    Case((8, 9), (3, 2), (1, 1), "same", (2, 3), 17, 15, 2),
    Case((7, 9), (7, 7), (1, 1), "same", (1, 1), 2, 18, 3),
    Case((3, 3), (5, 5), (1, 1), "same", (1, 1), 18, 3, 2),  # larger than the picture
    Case((14, 13), (3, 3), (1, 1), "same", (1, 1), 4, 32, 2),  # more windows than a chunk
    Case((4, 3), (3, 2), (1, 2), "valid", (1, 1), 130, 20, 4),
    Case((4, 4), (2, 2), (2, 2), "valid", (1, 1), 33, 40, 70),
    Case((3, 5), (3, 1), (1, 1), "same", (1, 1), 1, 5, 70),
]
GROUPED = [
    Case((4, 5), (3, 3), (1, 1), "same", (1, 1), 32, 64, 3, 2),
    Case((5, 3), (3, 2), (2, 1), "same", (1, 1), 96, 48, 2, 3),
    Case((4, 5), (3, 3), (1, 1), "same", (1, 1), 32, 32, 5, 8, 4),
    Case((6,), (3,), (1,), "valid", (1,), 6, 9, 3, 3, 3),
    Case((3, 4), (2, 2), (1, 1), "same", (1, 1), 40, 20, 9, 5, 5),
]
CASES = ONE_D + TWO_D


def drawn(count: int) -> list[Case]:
    """More of them, at random."""
    random = np.random.default_rng(2024)
    cases: list[Case] = []
    while len(cases) < count:
        rank = int(random.integers(1, 3))
        window = tuple(map(int, random.integers(1, 8 if rank == 1 else 5, rank)))
        moves = tuple(map(int, random.integers(1, 4, rank)))
        ones = (1,) * rank
        strides, dilation = (moves, ones) if random.integers(2) else (ones, moves)
        case = Case(
            tuple(map(int, random.integers(1, 10, rank))), window, strides,
            str(random.choice(["same", "valid"])), dilation, int(random.integers(1, 36)),
            int(random.integers(1, 41)), int(random.integers(1, 10)),
        )  # fmt: skip
        if min(axis.windows for axis in case.axes) > 0:
            cases.append(case)
    return cases


@lru_cache(maxsize=256)
def numbers(case: Case, features: int, windows: bool, seed: int) -> Array:
    """(examples, positions or windows, features)"""
    count = case.windows if windows else case.positions
    found = float32(np.random.default_rng(seed), case.examples, count, features)
    found.setflags(write=False)
    return found


def table(array: Array) -> Buffer:
    """An array as it is."""
    return Buffers.of_array("table", np.ascontiguousarray(array))


def pixels(batch: Batch, x: Array) -> tuple[Buffer, int]:
    """Pictures as they lie, and the floats from one to the next; NaN where nothing is."""
    numbers_of_row = x.shape[1] * x.shape[2]
    row = n_blocks(numbers_of_row) * BLOCK
    storage = aligned_zeros((batch.capacity * row + BLOCK,))
    storage[:] = np.nan
    for r, picture in enumerate(x.reshape(len(x), -1)):
        storage[r * row : r * row + numbers_of_row] = picture
    buffer = Buffers.of_array("pixels", storage)
    buffer.positions, buffer.stride = x.shape[1], BLOCK
    return buffer, row


def activate(batch: Batch, z: Array, activation: str) -> Array:
    """By the activation's own op."""
    y = batch.unwritten(z.shape[-1], z.shape[1])
    op = make_op("activation_forward", z=batch.blocks(z), y=y, features=z.shape[-1],
                 kind=ACTIVATIONS[activation])  # fmt: skip
    batch.run(op, threads=1)
    return np.array(batch.read(y, z.shape[-1], None)).reshape(z.shape)


def through(batch: Batch, dy: Array, x: Array, activation: str) -> Array:
    """dy times the derivative where the activation gave x (or, if it reads that, was given x)."""
    dz = batch.unwritten(dy.shape[-1], dy.shape[1])
    given = batch.blocks(x)
    op = make_op("activation_backward", z=given, y=given, dy=batch.blocks(dy), dz=dz,
                 features=dy.shape[-1], kind=ACTIVATIONS[activation])  # fmt: skip
    batch.run(op, threads=1)
    return np.array(batch.read(dz, dy.shape[-1], None)).reshape(dy.shape)


def read(batch: Batch, buffer: Buffer, features: int, padding: float | None = 0.0) -> Array:
    """(examples, positions, features)"""
    return batch.read(buffer, features, padding).reshape(batch.rows, -1, features)


def chain(terms: int, total: Array) -> Array:
    """The bound of a chain of so many multiply-adds, whose terms add up to ``total`` in size: each
    is off by U of a partial sum at most (Higham 2002, "Accuracy and Stability of Numerical
    Algorithms", section 3.1); two more for a bias and for the second order."""
    return (terms + 2) * U * total


def over_examples(case: Case, total: Array) -> Array:
    """The bound of a sum over all windows: in chains of a chunk at most, each added to the tile or
    the slice, of which there are no more than examples."""
    chunks = case.examples * -(-case.windows // 128)
    return chain(min(128, case.examples * case.windows) + chunks + case.examples, total)
