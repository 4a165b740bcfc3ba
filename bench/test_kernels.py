"""Kernels by themselves: each must first agree with NumPy, then it is timed.

    pytest bench --benchmark-only

needs ``pip install -e '.[bench,test]'``. Shapes are those of the races: 784-512-10 at batch 32, 128
and 512, on as many threads as fastnn may use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from kernels.harness import Batch, kernel_block, make_op, read_weight, weight
from numpy.typing import NDArray

import fastnn
from fastnn.engine.executable import Executable
from fastnn.engine.sources import SparseRows, sparse_rows
from fastnn.kernels.codes import ACTIVATIONS, CHUNK, LOSSES, OPTIMIZERS
from fastnn.lowering.program import Buffer, Buffers, Op, Program

INPUTS, UNITS, CLASSES = 784, 512, 10
DENSITY = 0.2
"""Of the sparse inputs: MNIST's."""

Array = NDArray[Any]
Benchmark = Any


@pytest.fixture(params=[32, 128, 512])
def batch(request: pytest.FixtureRequest) -> Batch:
    return Batch(request.param)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def prepared(
    batch: Batch,
    *ops: Op,
    sources: Sequence[SparseRows] = (),
    scalars: Sequence[float] | None = None,
) -> Callable[[], object]:
    """One step of a program of these ops, ready to run again and again."""
    executable = Executable(Program(list(ops), batch.capacity))
    order, sums = np.arange(batch.rows), np.zeros(1)
    per_step = None if scalars is None else np.array([scalars], np.float32)
    threads = fastnn.get_num_threads()

    def step() -> object:
        return executable.run(
            list(sources), order, 0, batch.rows, batch.rows, per_step, sums, [], threads, np.inf
        )

    return step


def timed(benchmark: Benchmark, step: Callable[[], object], flops: float = 0.0) -> None:
    benchmark(step)
    if flops and benchmark.stats is not None:
        gflops = flops / benchmark.stats.stats.median / 1e9
        benchmark.extra_info["GFLOP/s"] = round(gflops, 1)


def normal(rng: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    return rng.standard_normal(shape, np.float32)


def sizes(kernel: Buffer) -> dict[str, int]:
    return {"inputs": INPUTS, "units": UNITS, "kernel_block": kernel_block(kernel)}


def sorted_columns(batch: Batch, nonzeros: SparseRows) -> tuple[dict[str, Buffer], int]:
    """Room for the batch's nonzeros by column, and for how many of a chunk."""
    chunks = -(-batch.capacity // CHUNK)
    room = min(CHUNK, batch.capacity) * nonzeros.longest_row
    lengths = {"column_start": chunks * (INPUTS + 1), "row": chunks * room, "value": chunks * room}
    dtypes = {"column_start": np.int32, "row": np.uint16, "value": np.float32}
    return {
        name: Buffers.of_array(name, np.zeros(length, dtypes[name]))
        for name, length in lengths.items()
    }, room


def test_dense_forward(benchmark: Benchmark, batch: Batch, rng: np.random.Generator) -> None:
    x, w, b = normal(rng, batch.rows, INPUTS), normal(rng, INPUTS, UNITS), normal(rng, UNITS)
    kernel, y = weight(w), batch.unwritten(UNITS)
    op = make_op("dense_forward", x=batch.blocks(x), kernel=kernel, bias=weight(b), y=y,
                 activation=ACTIVATIONS["relu"], **sizes(kernel))  # fmt: skip
    step = prepared(batch, op)
    step()
    np.testing.assert_allclose(batch.read(y, UNITS), np.maximum(x @ w + b, 0), atol=1e-3)
    timed(benchmark, step, 2 * batch.rows * INPUTS * UNITS)


def test_dense_backward_input(benchmark: Benchmark, batch: Batch, rng: np.random.Generator) -> None:
    dz, w = normal(rng, batch.rows, UNITS), normal(rng, INPUTS, UNITS)
    kernel, dx, dz_t = weight(w), batch.unwritten(INPUTS), batch.transposed(UNITS)
    prepared(batch, make_op("transpose", x=batch.blocks(dz), y=dz_t, features=UNITS))()
    step = prepared(
        batch, make_op("dense_backward_input", dz_t=dz_t, kernel=kernel, dx=dx, **sizes(kernel))
    )
    step()
    np.testing.assert_allclose(batch.read(dx, INPUTS), dz @ w.T, atol=1e-3)
    timed(benchmark, step, 2 * batch.rows * INPUTS * UNITS)


def test_dense_backward_weights(
    benchmark: Benchmark, batch: Batch, rng: np.random.Generator
) -> None:
    x, dz = normal(rng, batch.rows, INPUTS), normal(rng, batch.rows, UNITS)
    kernel, bias = weight(np.zeros((INPUTS, UNITS))), weight(np.zeros(UNITS))
    op = make_op("dense_backward_weights", x=batch.blocks(x), dz=batch.blocks(dz), kernel=kernel,
                 bias=bias, optimizer=-1, **sizes(kernel))  # fmt: skip
    step = prepared(batch, op)
    step()
    np.testing.assert_allclose(read_weight(kernel, (INPUTS, UNITS)), x.T @ dz, atol=1e-3)
    np.testing.assert_allclose(read_weight(bias, (UNITS,)), dz.sum(0), atol=1e-3)
    timed(benchmark, step, 2 * batch.rows * INPUTS * UNITS)


@pytest.fixture
def sparse_x(batch: Batch, rng: np.random.Generator) -> NDArray[np.float32]:
    x = normal(rng, batch.rows, INPUTS)
    x[rng.random(x.shape) >= DENSITY] = 0
    return x


def test_dense_forward_sparse(
    benchmark: Benchmark, batch: Batch, rng: np.random.Generator, sparse_x: Array
) -> None:
    w = normal(rng, INPUTS, UNITS)
    kernel, y = weight(w), batch.unwritten(UNITS)
    op = make_op("dense_forward_sparse", source=0, kernel=kernel, y=y, **sizes(kernel))
    step = prepared(batch, op, sources=[sparse_rows(sparse_x, 1.0)])
    step()
    np.testing.assert_allclose(batch.read(y, UNITS), sparse_x @ w, atol=1e-3)
    timed(benchmark, step)


def test_dense_backward_weights_sparse(
    benchmark: Benchmark, batch: Batch, rng: np.random.Generator, sparse_x: Array
) -> None:
    dz = normal(rng, batch.rows, UNITS)
    kernel, nonzeros = weight(np.zeros((INPUTS, UNITS))), sparse_rows(sparse_x, 1.0)
    columns, room = sorted_columns(batch, nonzeros)
    op = make_op("dense_backward_weights_sparse", **columns, capacity=room, dz=batch.blocks(dz),
                 kernel=kernel, optimizer=-1, **sizes(kernel))  # fmt: skip
    sort = make_op("sparse_columns", **columns, columns=INPUTS, source=0, capacity=room)
    prepared(batch, sort, sources=[nonzeros])()
    step = prepared(batch, op)
    step()
    np.testing.assert_allclose(read_weight(kernel, (INPUTS, UNITS)), sparse_x.T @ dz, atol=1e-3)
    timed(benchmark, step)


def test_softmax_and_loss(benchmark: Benchmark, batch: Batch, rng: np.random.Generator) -> None:
    logits, labels = normal(rng, batch.rows, CLASSES), rng.integers(CLASSES, size=batch.rows)
    losses, gradient, p = batch.values(), batch.unwritten(CLASSES), batch.unwritten(CLASSES)
    op = make_op("loss", y_pred=batch.blocks(logits), labels=batch.values(labels, np.int32),
                 row_values=losses, d_y_pred=gradient, probabilities=p, features=CLASSES,
                 kind=LOSSES["softmax_crossentropy"], mean=True, scale=1.0)  # fmt: skip
    step = prepared(batch, op)
    step()
    expected = np.exp(logits - logits.max(1, keepdims=True))
    expected /= expected.sum(1, keepdims=True)
    each = np.arange(batch.rows)
    np.testing.assert_allclose(
        batch.read_values(losses), -np.log(expected[each, labels]), atol=1e-5
    )
    np.testing.assert_allclose(batch.read(p, CLASSES), expected, atol=1e-6)
    expected[each, labels] -= 1
    np.testing.assert_allclose(batch.read(gradient, CLASSES), expected / batch.rows, atol=1e-6)
    timed(benchmark, step)


def test_adam_update(benchmark: Benchmark, rng: np.random.Generator) -> None:
    g, w, m, v = (normal(rng, INPUTS, UNITS) for _ in range(4))
    v = np.abs(v)
    kernel, momentum, velocity = map(weight, (w, m, v))
    rate, part_1, part_2, epsilon = 1e-3, 0.1, 1e-3, 1e-7
    assert kernel.array is not None
    op = make_op("update", gradient=weight(g), w=kernel, slot_0=momentum, slot_1=velocity,
                 size=kernel.array.size, optimizer=OPTIMIZERS["adam"])  # fmt: skip
    step = prepared(Batch(1), op, scalars=(rate, 0.0, part_1, part_2, epsilon))
    step()
    m, v = m + part_1 * (g - m), v + part_2 * (g * g - v)
    np.testing.assert_allclose(read_weight(momentum, m.shape), m, atol=1e-6)
    np.testing.assert_allclose(read_weight(velocity, v.shape), v, atol=1e-6)
    np.testing.assert_allclose(
        read_weight(kernel, w.shape), w - rate * m / (np.sqrt(v) + epsilon), atol=1e-5
    )
    timed(benchmark, step)
