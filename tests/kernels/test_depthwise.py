"""Depthwise convolutions, and channels that are repeated for them.

Bounds are those of chains of multiply-adds: ``windowed.chain``.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import window_twins as twins

from fastnn.kernels.codes import ACTIVATIONS, OPTIMIZERS, READS_INPUT
from fastnn.kernels.layout import BLOCK, aligned_zeros, n_blocks
from fastnn.lowering.program import Buffers
from fastnn.lowering.windows import adjoint, window_table
from kernels.harness import (
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
    update_op,
    weight,
)
from kernels.windowed import (
    CASES,
    Case,
    activate,
    chain,
    drawn,
    lines,
    numbers,
    over_examples,
    pictures,
    read,
    table,
    through,
)

ALL = CASES + drawn(4)
FEW = [CASES[0], CASES[5], CASES[9], CASES[13]]


@lru_cache(maxsize=64)
def kernel_of(case: Case) -> tuple[Array, Array]:
    """(taps, channels), and a bias."""
    random = np.random.default_rng(7)
    return float32(random, case.taps, case.channels), float32(random, case.channels)


@lru_cache(maxsize=64)
def wanted(case: Case) -> dict[str, tuple[Array, Array]]:
    """Each result, and what its terms add up to in size."""
    x, dz = numbers(case, case.channels, False, 1), numbers(case, case.channels, True, 2)
    w, b = kernel_of(case)
    shape = (*case.window, case.channels, 1)
    found = {}
    for name, f in (("value", lambda a: a), ("size", np.abs)):
        of_x, of_dz = pictures(f(x), case), pictures(f(dz), case, True)
        of_w = f(w).reshape(shape)
        found[name] = {
            "y": lines(twins.depthwise(of_x, of_w, case.axes)) + f(b),
            "dx": lines(twins.depthwise_input_gradient(of_dz, of_w, case.axes)),
            "dw": twins.depthwise_weight_gradient(of_x, of_dz, shape, case.axes).reshape(w.shape),
            "db": f(dz).sum(axis=(0, 1)),
        }
    return {key: (found["value"][key], found["size"][key]) for key in found["value"]}


def forward(
    case: Case, threads: int, activation: str = "linear", bias: bool = True, keep_z: bool = False
) -> list[Array]:
    batch = Batch(case.examples)
    w, b = kernel_of(case)
    kernel = weight(w)
    y = batch.unwritten(case.channels, case.windows)
    z = batch.unwritten(case.channels, case.windows) if keep_z else None
    op = make_op(
        "depthwise_forward", x=batch.blocks(numbers(case, case.channels, False, 1)),
        kernel=kernel, bias=weight(b) if bias else None, windows=table(window_table(case.axes)),
        y=y, z=z, features=case.channels, kernel_block=kernel_block(kernel), taps=case.taps,
        windows_of_row=case.windows, activation=ACTIVATIONS[activation],
    )  # fmt: skip
    batch.run(op, threads=threads)
    found = [read(batch, y, case.channels, None if activation == "softplus" else 0.0)]
    return found if z is None else [*found, read(batch, z, case.channels)]


def backward_input(
    case: Case, threads: int, activation: str = "linear", start: Array | None = None
) -> list[Array]:
    batch = Batch(case.examples)
    kernel = weight(kernel_of(case)[0])
    x = numbers(case, case.channels, False, 1)
    dx = batch.unwritten(case.channels, case.positions) if start is None else batch.blocks(start)
    op = make_op(
        "depthwise_backward_input", dz=batch.blocks(numbers(case, case.channels, True, 2)),
        kernel=kernel, windows=table(adjoint(window_table(case.axes), case.positions)), dx=dx,
        x_z=batch.blocks(x) if activation in READS_INPUT else None,
        x=batch.blocks(x) if activation != "linear" else None, features=case.channels,
        kernel_block=kernel_block(kernel), activation=ACTIVATIONS[activation], taps=case.taps,
        positions=case.positions, accumulate=start is not None,
    )  # fmt: skip
    batch.run(op, threads=threads)
    return [read(batch, dx, case.channels)]


def summing(case: Case, batch: Batch, of_slice: int) -> tuple[Any, dict[str, Any]]:
    """The op that makes the sums over slices, and the operands of ``sum_slices``."""
    n_slices = -(-batch.capacity // of_slice)
    storage = aligned_zeros((n_slices, n_blocks(case.channels), case.taps + 1, BLOCK))
    storage[:] = np.nan
    partials = Buffers.of_array("partials", storage)
    op = make_op(
        "depthwise_backward_weights", x=batch.blocks(numbers(case, case.channels, False, 1)),
        dz=batch.blocks(numbers(case, case.channels, True, 2)), partials=partials,
        windows=table(window_table(case.axes)), features=case.channels, slice=of_slice,
        taps=case.taps, windows_of_row=case.windows,
    )  # fmt: skip
    operands = {
        "partials": partials, "inputs": case.taps, "units": case.channels, "slice": of_slice,
        "kernel_block": kernel_block(weight(kernel_of(case)[0])),
    }  # fmt: skip
    return op, operands


def backward_weights(case: Case, threads: int, of_slice: int) -> list[Array]:
    batch = Batch(case.examples)
    found = [weight(np.full((case.taps, case.channels), np.nan)),
             weight(np.full(case.channels, np.nan))]  # fmt: skip
    op, operands = summing(case, batch, of_slice)
    last = make_op(
        "sum_slices", kernel=weight(kernel_of(case)[0]), bias=weight(kernel_of(case)[1]),
        kernel_gradient=found[0], bias_gradient=found[1], optimizer=-1, unfinished=True, **operands,
    )  # fmt: skip
    batch.run(op, last, threads=threads)
    return [read_weight(found[0], (case.taps, case.channels)),
            read_weight(found[1], (case.channels,))]  # fmt: skip


@pytest.mark.parametrize("case", ALL, ids=str)
def test_forward_and_backward_input(case: Case) -> None:
    for run, name in ((forward, "y"), (backward_input, "dx")):
        (found,) = by_any_team(lambda n, f=run: f(case, n))
        value, size = wanted(case)[name]
        assert_within(found, value, chain(case.taps, size))


@pytest.mark.parametrize("case", ALL, ids=str)
def test_backward_weights(case: Case) -> None:
    for of_slice in (1, 3, case.examples):
        found = by_any_team(lambda n, s=of_slice: backward_weights(case, n, s))
        for ours, name in zip(found, ("dw", "db"), strict=True):
            value, size = wanted(case)[name]
            assert_within(ours, value, over_examples(case, size))


@pytest.mark.parametrize("case", FEW, ids=str)
def test_settings_change_no_bit(case: Case) -> None:
    """Bias, activation, a kept z, adding to what is there: as the separate ops do."""
    batch = Batch(case.examples)
    (plain,) = forward(case, 1)
    (without,) = by_any_team(lambda n: forward(case, n, bias=False))
    assert_same_bits(without + kernel_of(case)[1].astype(np.float32), plain)
    for activation in ("relu", "gelu", "softplus"):
        y, z = by_any_team(lambda n, a=activation: forward(case, n, a, keep_z=True))
        assert_same_bits(y, activate(batch, plain, activation))
        assert_same_bits(z, plain)
        assert_same_bits(forward(case, 2, activation)[0], y)
    (plain,) = backward_input(case, 1)
    start = numbers(case, case.channels, False, 3)
    (added,) = by_any_team(lambda n: backward_input(case, n, start=start))
    assert_same_bits(added, start.astype(np.float32) + plain)
    x = numbers(case, case.channels, False, 1)
    for activation in ("relu", "gelu"):
        (dx,) = by_any_team(lambda n, a=activation: backward_input(case, n, a))
        assert_same_bits(dx, through(batch, plain, x, activation))


def test_weight_gradients_are_given_to_the_optimizer() -> None:
    case = CASES[1]
    batch = Batch(case.examples)
    w, b = kernel_of(case)

    def updated(fused: bool, threads: int) -> list[Array]:
        tensors = {"kernel": weight(w), "bias": weight(b)}
        op, operands = summing(case, batch, 2)
        optimizer = OPTIMIZERS["sgd"]
        if fused:
            ops = [make_op("sum_slices", optimizer=optimizer, **tensors, **operands)]
        else:
            sums = {"kernel": weight(0 * w), "bias": weight(0 * b)}
            named = {f"{role}_gradient": buffer for role, buffer in sums.items()}
            ops = [make_op("sum_slices", optimizer=-1, **tensors, **named, **operands)]
            ops += [update_op(sums[r], tensors[r], [], optimizer=optimizer) for r in tensors]
        batch.run(op, *ops, threads=threads, scalars=[0.01, 0.0])
        return [read_weight(tensors["kernel"], w.shape), read_weight(tensors["bias"], b.shape)]

    fused = by_any_team(lambda n: updated(True, n))
    for ours, theirs, before in zip(fused, updated(False, 2), (w, b), strict=True):
        assert_same_bits(ours, theirs)
        assert not np.array_equal(ours, before)


@pytest.mark.parametrize("rows", [1, 5, 33])
@pytest.mark.parametrize(
    ("positions", "channels", "times"),
    [(1, 1, 1), (1, 5, 3), (4, 16, 2), (7, 17, 3), (3, 33, 16), (2, 20, 17), (5, 2, 40)],
)
@pytest.mark.parametrize("accumulate", [False, True])
def test_repeated_channels(
    rows: int, positions: int, channels: int, times: int, accumulate: bool
) -> None:
    random = np.random.default_rng(rows)
    x = float32(random, rows, positions, channels)
    dy = float32(random, rows, positions, channels * times)
    start = float32(random, rows, positions, channels)
    batch = Batch(rows)

    def compute(threads: int) -> list[Array]:
        y = batch.unwritten(channels * times, positions)
        dx = batch.blocks(start) if accumulate else batch.unwritten(channels, positions)
        batch.run(
            make_op("repeat_channels", x=batch.blocks(x), y=y, channels=channels, times=times),
            make_op("sum_repeated", dy=batch.blocks(dy), dx=dx, channels=channels, times=times,
                    accumulate=accumulate),
            threads=threads,
        )  # fmt: skip
        # what the padding of y holds meets weights that are 0
        return [read(batch, y, channels * times, None), read(batch, dx, channels)]

    y, dx = by_any_team(compute)
    assert_same_bits(y, x.repeat(times, axis=-1).astype(np.float32))
    parts = dy.reshape(rows, positions, channels, times)
    before = start * accumulate
    assert_within(dx, before + parts.sum(axis=-1),
                  (times + 1) * U * (np.abs(before) + np.abs(parts).sum(axis=-1)))  # fmt: skip
