"""Convolutions of 3 x 3 on one thread: the direct product, and Winograd's algorithm; forward,
and the gradient of the weights.

python bench/convolutions.py
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

import fastnn as fnn
from fastnn import layers
from fastnn.bench.trace import record_training
from fastnn.engine.executable import Executable
from fastnn.kernels.layout import BLOCK, activation_rows, aligned_zeros, n_blocks, packed_shape
from fastnn.layers.geometry import axes
from fastnn.lowering.program import Buffer, Buffers, Program, make_op
from fastnn.lowering.windows import window_table
from fastnn.lowering.winograd import POINTS, pays, tiles

_SHAPES = (
    (14, 32, 64), (7, 64, 128), (28, 32, 32), (32, 16, 16), (32, 64, 64), (16, 32, 32),
    (8, 64, 64), (14, 128, 128), (7, 256, 256), (4, 512, 512), (28, 8, 32), (28, 32, 10),
)  # fmt: skip
_SHAPES_OF_WEIGHTS = (
    (32, 14, 32, 64), (32, 7, 64, 128), (32, 32, 32, 64), (32, 16, 64, 128), (128, 14, 32, 64),
    (128, 7, 64, 128),
)  # fmt: skip
"""The first is the batch."""
_REPETITIONS = 30


def main() -> None:
    """Prints a table."""
    print("pictures x channels -> filters   direct GFLOP/s   Winograd   gain   chosen")
    for length, channels, filters in _SHAPES:
        examples = max(1, 4096 // length**2)
        times = measure(length, channels, filters, examples)
        work = 2e-9 * 9 * channels * filters * length**2 * examples
        direct, winograd = (work / seconds for seconds in times)
        along = axes((length, length), (3, 3), (1, 1), "same")
        print(
            f"{examples:4d} of {length}x{length}x{channels} -> {filters:<6d} {direct:12.1f}"
            f" {winograd:12.1f} {winograd / direct:8.2f}   {pays(along, channels, filters)}"
        )
    print("\ngradient of the weights         direct GFLOP/s   Winograd   gain")
    for examples, length, channels, filters in _SHAPES_OF_WEIGHTS:
        work = 2e-9 * 9 * channels * filters * length**2 * examples
        direct, winograd = (
            work / measure_weights(algorithm, length, channels, filters, examples)
            for algorithm in ("direct", "auto")
        )
        print(
            f"{examples:4d} of {length}x{length}x{channels} -> {filters:<6d} {direct:12.1f}"
            f" {winograd:12.1f} {winograd / direct:8.2f}"
        )


def measure_weights(
    algorithm: str, length: int, channels: int, filters: int, examples: int
) -> float:
    """Seconds for the gradient of the weights in a step, its sum over slices included."""
    random = np.random.default_rng(0)
    x, y = (
        random.standard_normal((examples, length, length, features), np.float32)
        for features in (channels, filters)
    )
    fnn.set_convolution_algorithm(algorithm)
    model = fnn.Sequential([layers.Input(x.shape[1:]), layers.Conv2D(filters, 3, padding="same")])
    model.compile("sgd", "mse")
    trace = record_training(model, x, y, examples, 1, _REPETITIONS)
    ops = [op.name.endswith("backward_weights") or op.name == "sum_slices" for op in trace.ops]
    return float(trace.busy()[ops].sum())


def measure(length: int, channels: int, filters: int, examples: int) -> list[float]:
    """Seconds of the processor for a forward pass, by each."""
    random = np.random.default_rng(0)
    along = axes((length, length), (3, 3), (1, 1), "same")
    positions = length**2

    def picture(features: int) -> Buffer:
        lines = activation_rows(examples * positions)
        storage = aligned_zeros((n_blocks(features), lines, BLOCK))
        storage[...] = random.standard_normal(storage.shape)
        buffer = Buffers.of_array("picture", storage)
        buffer.positions, buffer.stride = positions, lines * BLOCK
        return buffer

    def matrix(*shape: int) -> Buffer:
        storage = aligned_zeros(shape)
        storage[...] = random.standard_normal(shape) * 0.01
        return Buffers.of_array("weight", storage)

    kernel = matrix(*packed_shape((9 * channels, filters)))
    transformed = matrix(POINTS, *packed_shape((channels, filters)))
    shared: dict[str, Any] = {
        "x": picture(channels), "y": picture(filters), "bias": matrix(n_blocks(filters), 1, BLOCK),
        "channels": channels, "filters": filters, "groups": 1, "windows_of_row": positions,
        "activation": 1,
    }  # fmt: skip
    sizes = {"kernel": kernel, "kernel_block": packed_shape((9 * channels, 1))[1] * BLOCK}
    windows = Buffers.of_array("windows", window_table(along))
    found = tiles(along)
    direct = [make_op("conv_forward", windows=windows, taps=9, **sizes, **shared)]
    winograd = [
        make_op("winograd_kernel", transformed=transformed, channels=channels, filters=filters,
                groups=1, **sizes),
        make_op("winograd_forward", transformed=transformed,
                tiles=Buffers.of_array("tiles", found.inputs),
                outputs=Buffers.of_array("outputs", found.outputs), **found.parts, **shared),
    ]  # fmt: skip
    programs = [Executable(Program(ops, examples)) for ops in (direct, winograd)]
    times = [np.inf, np.inf]
    for _ in range(_REPETITIONS):
        for number, program in enumerate(programs):
            times[number] = min(times[number], run(program, examples))
    return times


def run(program: Executable, examples: int) -> float:
    """Seconds of one run."""
    order = np.arange(examples)
    start = time.thread_time()
    program.run([], order, 0, examples, examples, None, np.zeros(1), [], 1, np.inf)
    return time.thread_time() - start


if __name__ == "__main__":
    main()
