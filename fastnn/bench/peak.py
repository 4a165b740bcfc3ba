"""The best rate of float32 products on this machine: the mark for the products of a race.

Measured, not looked up: products of fastnn's own dense kernel and of NumPy's library (``sgemm``),
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
from fastnn.kernels.layout import BLOCK, activation_rows, aligned_zeros, n_blocks, packed_shape
from fastnn.lowering.program import Buffers, Program, make_op

# (rows, inputs, units for each thread): a core's weights are 64 to 256 KiB.
_SHAPES = ((384, 256, 64), (768, 256, 128), (192, 512, 128), (96, 256, 256))
# Libraries that pack their operands need larger ones before that is paid for.
_SIDES = (256, 512, 1024)

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
        op = make_op(
            "dense_forward",
            x=Buffers.of_array("x", self.x),
            kernel=Buffers.of_array("kernel", self.kernel),
            y=Buffers.of_array("y", self.y),
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


def _best_seconds(multiply: Callable[[int], None]) -> float:
    """Seconds of one product in the fastest of many short runs."""
    repeats, seconds = 1, 0.0
    while seconds < _RUN_SECONDS:
        repeats *= 2
        seconds = _seconds(multiply, repeats)
    runs = max(3, int(_SECONDS / seconds))
    return min(_seconds(multiply, repeats) for _ in range(runs)) / repeats


def _seconds(multiply: Callable[[int], None], repeats: int) -> float:
    begin = time.perf_counter()
    multiply(repeats)
    return time.perf_counter() - begin
