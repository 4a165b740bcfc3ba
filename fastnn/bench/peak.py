"""What this machine allows at best: the mark for the entrants of a race.

The best rate of float32 products, and the shortest time of Adam's step by itself. The rate is
measured, not looked up: products of fastnn's own dense kernel and of NumPy's library (``sgemm``),
of shapes whose operands stay in a core's caches. The larger of the two is a few per cent below the
peak of the fused multiply-add units, which only registers without any memory would reach, and moves
with the clock and with whoever shares the machine, as the race does.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fastnn.engine.executable import Executable
from fastnn.kernels.codes import OPTIMIZERS
from fastnn.kernels.layout import BLOCK, activation_rows, aligned_zeros, n_blocks, packed_shape
from fastnn.lowering.program import Buffers, Program, make_op
from fastnn.optimizers import Adam

# (rows, inputs, units for each thread): a core's weights are 64 to 256 KiB.
_SHAPES = ((384, 256, 64), (768, 256, 128), (192, 512, 128), (96, 256, 256))
# Libraries that pack their operands need larger ones before that is paid for.
_SIDES = (256, 512, 1024)

# Of a weight whose steps are timed: near those of the races' nets.
_ROWS = 512

_SECONDS = 0.1
_RUN_SECONDS = 2e-3


def fastnn_rate(threads: int) -> float:
    """Of ``dense_forward``, GFLOP/s (multiply-add = 2)."""
    rates = []
    for rows, inputs, units in _SHAPES:
        work = 2 * rows * inputs * units * threads
        product = Product(rows, inputs, units * threads, threads)
        rates.append(work / _best_seconds(product) / 1e9)
    return max(rates)


def numpy_rate(threads: int) -> float:
    """Of ``numpy.matmul`` on as many threads as the environment lets its library use, GFLOP/s."""
    rng = np.random.default_rng(0)
    rates = []
    for side in _SIDES:
        a, b = (rng.standard_normal((side, side), np.float32) for _ in range(2))
        product = np.empty_like(a)

        def multiply(
            repeats: int, a: np.ndarray = a, b: np.ndarray = b, c: np.ndarray = product
        ) -> None:
            for _ in range(repeats):
                np.matmul(a, b, out=c)

        rates.append(2 * side**3 / _best_seconds(multiply) / 1e9)
    return max(rates)


RATES: dict[str, Callable[[int], float]] = {"fastnn": fastnn_rate, "numpy": numpy_rate}
"""By the name of the entrant whose process measures it."""


class Product:
    """(rows, inputs) times (inputs, units) in fastnn's layout; called, so many times over."""

    def __init__(self, rows: int, inputs: int, units: int, threads: int) -> None:
        rng = np.random.default_rng(0)

        def normal(shape: tuple[int, ...]) -> NDArray[np.float32]:
            storage = aligned_zeros(shape)
            storage[:] = rng.standard_normal(shape, np.float32)
            return storage

        self.x = normal((n_blocks(inputs), activation_rows(rows), BLOCK))
        self.kernel = normal(packed_shape((inputs, units)))
        self.y = normal((n_blocks(units), activation_rows(rows), BLOCK))
        x, y = Buffers.of_array("x", self.x), Buffers.of_array("y", self.y)
        # A batch's activations, and no array that stays the same: from block to block.
        x.stride = y.stride = activation_rows(rows) * BLOCK
        op = make_op(
            "dense_forward",
            x=x,
            kernel=Buffers.of_array("kernel", self.kernel),
            y=y,
            inputs=inputs,
            units=units,
            kernel_block=self.kernel.shape[1] * BLOCK,
        )
        self._executable = Executable(Program([op], rows))
        self._rows = rows
        self._threads = threads

    def __call__(self, repeats: int) -> None:
        order, sums = np.zeros(self._rows * repeats, np.int64), np.zeros(1)
        self._executable.run(
            [], order, 0, len(order), self._rows, None, sums, [], self._threads, float("inf")
        )


def adam_seconds(weights: int, threads: int) -> float:
    """Of Adam's step on so many weights by itself: its arithmetic, and reading and writing weights
    and both slots where they lie, in caches or in memory."""
    return _best_seconds(AdamStep(weights, threads))


class AdamStep:
    """Called, so many steps. The weights stand in for their gradient, which costs no memory."""

    def __init__(self, weights: int, threads: int) -> None:
        shape = packed_shape((_ROWS, -(-weights // _ROWS)))
        self.w, *self.slots = (aligned_zeros(shape) for _ in range(3))
        self.w[:] = np.random.default_rng(0).standard_normal(shape, np.float32)
        w = Buffers.of_array("w", self.w)
        slots = {
            f"slot_{i}": Buffers.of_array(f"slot_{i}", slot) for i, slot in enumerate(self.slots)
        }
        op = make_op(
            "update", gradient=w, w=w, **slots, blocks=shape[0], rows=shape[1], group=1,
            optimizer=OPTIMIZERS["adam"],
        )  # fmt: skip
        self._executable = Executable(Program([op], 1))
        self._threads = threads

    def __call__(self, repeats: int) -> None:
        optimizer = Adam()
        steps = np.arange(repeats)
        rates = np.full(repeats, optimizer.learning_rate)
        self._executable.run(
            [], np.zeros(repeats, np.int64), 0, repeats, 1,
            optimizer.scalars(steps, rates).astype(np.float32), np.zeros(1), [], self._threads,
            float("inf"), optimizer,
        )  # fmt: skip


def _best_seconds(work: Callable[[int], None]) -> float:
    """Seconds of doing it once in the fastest of many short runs."""
    repeats, seconds = 1, 0.0
    while seconds < _RUN_SECONDS:
        repeats *= 2
        seconds = _seconds(work, repeats)
    runs = max(3, int(_SECONDS / seconds))
    return min(_seconds(work, repeats) for _ in range(runs)) / repeats


def _seconds(work: Callable[[int], None], repeats: int) -> float:
    begin = time.perf_counter()
    work(repeats)
    return time.perf_counter() - begin
