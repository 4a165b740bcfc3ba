"""Products that skip zeros give the bits of those that do not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastnn.engine.sources import Rows, SparseRows, sparse_rows
from fastnn.kernels.codes import ACTIVATIONS, CHUNK, OPTIMIZERS
from fastnn.lowering.program import Buffer, Buffers
from kernels.harness import (
    Array,
    Batch,
    assert_same_bits,
    by_any_team,
    float32,
    kernel_block,
    make_op,
    read_weight,
    weight,
)

SLOPPY_CHECKS = [HealthCheck.function_scoped_fixture]  # the level holds for all examples


class Problem:
    """A data set with zeros, of which the batch takes rows in any order."""

    def __init__(self, rows: int, inputs: int, units: int, density: float) -> None:
        random = np.random.default_rng((rows, inputs, units))
        self.batch = Batch(rows)
        self.inputs, self.units = inputs, units
        data = float32(random, rows + 5, inputs)
        data[random.random(data.shape) >= density] = 0
        data[1] = 0  # an empty row
        data[:, inputs // 2] = 0  # an empty column
        data[2] = random.standard_normal(inputs)  # a full row
        data[3, 0] = -0.0
        self.data = data.astype(np.float32)
        self.order = random.permutation(len(data))[:rows]
        self.order[0] = 1
        self.w, self.b = float32(random, inputs, units), float32(random, units)
        self.dz = float32(random, rows, units)
        self.nonzeros = sparse_rows(self.data, 1.0)

    def settings(self, w: Buffer) -> dict[str, int]:
        return {"inputs": self.inputs, "units": self.units, "kernel_block": kernel_block(w)}

    def gathered(self, x: Buffer) -> dict[str, object]:
        """An op that gathers the batch with its zeros."""
        return make_op("gather", y=x, features=self.inputs, source=0, scale=1.0)

    def forward(self, threads: int, sparse: bool, **extra: float) -> list[Array]:
        """y and z."""
        w = weight(self.w)
        y, z = self.batch.unwritten(self.units), self.batch.unwritten(self.units)
        operands = dict(kernel=w, bias=weight(self.b), y=y, z=z, activation=ACTIVATIONS["gelu"],
                        **self.settings(w), **extra)  # fmt: skip
        x = self.batch.unwritten(self.inputs)
        if sparse:
            ops, source = [make_op("dense_forward_sparse", source=0, **operands)], self.nonzeros
        else:
            ops = [self.gathered(x), make_op("dense_forward", x=x, **operands)]
            source = Rows(self.data)
        self.batch.run(*ops, threads=threads, sources=[source], order=self.order)
        return [self.batch.read(buffer, self.units) for buffer in (y, z)]

    def backward(self, threads: int, sparse: bool, optimizer: int = -1) -> list[Array]:
        """dW and db; with an optimizer (SGD with momentum) W, b and their slots."""
        stepped = optimizer >= 0
        kernel = weight(self.w if stepped else 0 * self.w)
        bias = weight(self.b if stepped else 0 * self.b)
        slots = {
            role: weight(0.5 * value) for role, value in (("kernel", self.w), ("bias", self.b))
        }
        operands = dict(dz=self.batch.blocks(self.dz), kernel=kernel, bias=bias,
                        optimizer=optimizer, **self.settings(kernel))  # fmt: skip
        if stepped:
            operands |= {f"{role}_slot_0": slot for role, slot in slots.items()}
        else:
            operands |= {"kernel_gradient": kernel, "bias_gradient": bias}
        x = self.batch.unwritten(self.inputs)
        if sparse:
            columns, room = self.columns(self.nonzeros)
            ops = [
                make_op("sparse_columns", **columns, columns=self.inputs, source=0, capacity=room),
                make_op("dense_backward_weights_sparse", **columns, capacity=room, **operands),
            ]
            source: Rows | SparseRows = self.nonzeros
        else:
            ops = [self.gathered(x), make_op("dense_backward_weights", x=x, **operands)]
            source = Rows(self.data)
        self.batch.run(*ops, threads=threads, sources=[source], order=self.order,
                       scalars=[0.1, 0.01, 0.9])  # fmt: skip
        shapes = {"kernel": self.w.shape, "bias": self.b.shape}
        buffers = {"kernel": kernel, "bias": bias}
        results = [read_weight(buffers[role], shapes[role]) for role in buffers]
        if stepped:
            results += [read_weight(slots[role], shapes[role]) for role in slots]
        return results

    def columns(self, nonzeros: SparseRows) -> tuple[dict[str, Buffer], int]:
        """Room for the batch's nonzeros by column, as lowering makes it."""
        capacity = self.batch.capacity
        chunks = -(-capacity // CHUNK)
        room = min(CHUNK, capacity) * nonzeros.longest_row
        return {
            "column_start": of_length(chunks * (self.inputs + 1), np.int32),
            "row": of_length(chunks * room, np.uint16),
            "value": of_length(chunks * room, np.float32),
        }, room


def of_length(n: int, dtype: type) -> Buffer:
    return Buffers.of_array("raw", np.full(max(n, 1), 0x7FFF, dtype))


SHAPES = [(1, 1), (7, 15), (127, 16), (128, 33), (129, 17), (257, 100), (784, 97), (300, 300)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("rows", [1, 2, 17, CHUNK, CHUNK + 1, 600])
def test_same_bits(rows: int, shape: tuple[int, int]) -> None:
    check_same_bits(Problem(rows, *shape, density=0.2))


@pytest.mark.parametrize("density", [0.0, 0.01, 0.5, 1.0])
def test_same_bits_for_any_density(density: float) -> None:
    check_same_bits(Problem(300, 300, 50, density))


@pytest.mark.parametrize("density", [0.004, 0.02, 0.06])
def test_same_bits_where_a_chain_goes_through_several_granules(density: float) -> None:
    check_same_bits(Problem(60, 1500, 40, density))


@given(
    rows=st.integers(1, 300),
    inputs=st.integers(1, 400),
    units=st.integers(1, 120),
    density=st.floats(0, 1),
)
@settings(max_examples=15, deadline=None, suppress_health_check=SLOPPY_CHECKS)
def test_same_bits_for_any_shape(rows: int, inputs: int, units: int, density: float) -> None:
    check_same_bits(Problem(rows, inputs, units, density))


def check_same_bits(p: Problem) -> None:
    for settings_ in ({}, {"by_rows": True}):
        skipped = by_any_team(lambda n, s=settings_: p.forward(n, True, **s))
        for ours, theirs in zip(skipped, p.forward(1, False, **settings_), strict=True):
            assert_same_bits(ours, theirs)
    for optimizer in (-1, OPTIMIZERS["momentum"]):
        skipped = by_any_team(lambda n, o=optimizer: p.backward(n, True, o))
        for ours, theirs in zip(skipped, p.backward(1, False, optimizer), strict=True):
            assert_same_bits(ours, theirs)


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "int32", "int64"])
def test_nonzeros_are_scaled_as_gathered_rows_are(dtype: str) -> None:
    random = np.random.default_rng(0)
    data = (random.integers(0, 255, (40, 200)) * (random.random((40, 200)) < 0.3)).astype(dtype)
    scale = 1 / 255
    batch, w = Batch(40), weight(float32(random, 200, 33))
    operands = dict(kernel=w, inputs=200, units=33, kernel_block=kernel_block(w))
    x, y = batch.unwritten(200), batch.unwritten(33)
    batch.run(
        make_op("gather", y=x, features=200, source=0, scale=scale),
        make_op("dense_forward", x=x, y=y, **operands),
        threads=1,
        sources=[Rows(data)],
    )
    y_sparse = batch.unwritten(33)
    batch.run(make_op("dense_forward_sparse", y=y_sparse, source=0, **operands), threads=1,
              sources=[sparse_rows(data, scale)])  # fmt: skip
    assert_same_bits(batch.read(y_sparse, 33), batch.read(y, 33))
