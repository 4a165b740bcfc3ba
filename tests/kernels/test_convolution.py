"""Convolutions: forward, both gradients, grouped or not, of blocks of channels and of pixels.

Bounds are those of chains of multiply-adds: ``windowed.chain``.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import window_twins as twins

from fastnn.kernels.codes import ACTIVATIONS, OPTIMIZERS, READS_INPUT
from fastnn.kernels.layout import BLOCK, aligned_zeros, n_blocks, packed_shape
from fastnn.lowering.program import Buffer, Buffers
from fastnn.lowering.windows import adjoint, row_starts, tap_pairs, window_table
from kernels.harness import (
    Array,
    Batch,
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
    GROUPED,
    Case,
    activate,
    chain,
    drawn,
    lines,
    numbers,
    over_examples,
    pictures,
    pixels,
    read,
    table,
    through,
)

ALL = CASES + GROUPED + drawn(4)
FEW_CHANNELS = [case for case in ALL if case.channels < BLOCK and case.groups == 1]
ACCUMULATED = [CASES[0], CASES[4], CASES[6], CASES[12], GROUPED[0], GROUPED[2]]


@lru_cache(maxsize=128)
def kernel_of(case: Case) -> tuple[Array, Array]:
    """The kernel, and a bias."""
    random = np.random.default_rng(7)
    return float32(random, *case.kernel_shape), float32(random, case.filters)


@lru_cache(maxsize=128)
def wanted(case: Case) -> dict[str, tuple[Array, Array]]:
    """Each result, and what its terms add up to in size."""
    x, dz = numbers(case, case.channels, False, 1), numbers(case, case.filters, True, 2)
    w, b = kernel_of(case)
    found = {}
    for name, f in (("value", lambda a: a), ("size", np.abs)):
        of_x, of_dz, of_w = pictures(f(x), case), pictures(f(dz), case, True), f(w)
        found[name] = {
            "y": lines(twins.conv(of_x, of_w, case.axes, case.groups)) + f(b),
            "dx": lines(twins.conv_input_gradient(of_dz, of_w, case.axes, case.groups)),
            "dw": twins.conv_weight_gradient(of_x, of_dz, w.shape, case.axes, case.groups),
            "db": f(dz).sum(axis=(0, 1)),
        }
    return {key: (found["value"][key], found["size"][key]) for key in found["value"]}


def matrix(w: Array, case: Case) -> Array:
    return w.reshape(case.kernel_matrix)


def settings(case: Case, kernel: Buffer) -> dict[str, int]:
    groups = case.groups // case.members
    return {
        "channels": case.channels // groups, "filters": case.filters // groups,
        "groups": groups, "taps": case.taps, "kernel_block": kernel_block(kernel),
    }  # fmt: skip


def expansion(case: Case, kernel: Buffer) -> tuple[list[Any], Buffer]:
    """The ops that put groups together, and the kernel to be read."""
    if case.members == 1:
        return [], kernel
    expanded = unwritten_weight(case.kernel_matrix[0] * case.members, case.filters)
    op = make_op(
        "expand_kernel", kernel=kernel, expanded=expanded, kernel_block=kernel_block(kernel),
        expanded_block=kernel_block(expanded), **of_members(case),
    )  # fmt: skip
    return [op], expanded


def of_members(case: Case) -> dict[str, int]:
    return {
        "channels": case.channels // case.groups, "filters": case.filters // case.groups,
        "members": case.members, "taps": case.taps, "units": case.filters,
    }  # fmt: skip


def unwritten_weight(rows: int, columns: int) -> Buffer:
    storage = aligned_zeros(packed_shape((rows, columns)))
    storage[:] = np.nan
    return Buffers.of_array("unwritten", storage)


def source(case: Case, batch: Batch, x: Array, as_pixels: bool) -> dict[str, Any]:
    """x and where its windows lie."""
    windows = window_table(case.axes)
    shared = {"windows": table(windows), "windows_of_row": case.windows}
    if not as_pixels:
        return {"x": batch.blocks(x), **shared}
    buffer, row = pixels(batch, x)
    starts = row_starts(windows, case.window[-1], case.channels)
    return {
        "x": buffer, "row": row, "starts": table(starts),
        "window_rows": case.taps // case.window[-1], **shared,
    }  # fmt: skip


def forward(
    case: Case, threads: int, as_pixels: bool = False, activation: str = "linear",
    bias: bool = True, keep_z: bool = False,
) -> list[Array]:  # fmt: skip
    batch = Batch(case.examples)
    w, b = kernel_of(case)
    y = batch.unwritten(case.filters, case.windows)
    z = batch.unwritten(case.filters, case.windows) if keep_z else None
    ops, kernel = expansion(case, weight(matrix(w, case)))
    op = make_op(
        "conv_forward", kernel=kernel, bias=weight(b) if bias else None, y=y, z=z,
        activation=ACTIVATIONS[activation], **settings(case, kernel),
        **source(case, batch, numbers(case, case.channels, False, 1), as_pixels),
    )  # fmt: skip
    batch.run(*ops, op, threads=threads)
    padding = None if activation in ("sigmoid", "softplus") else 0.0
    found = [read(batch, y, case.filters, padding)]
    return found if z is None else [*found, read(batch, z, case.filters)]


def backward_input(
    case: Case, threads: int, activation: str = "linear", start: Array | None = None
) -> list[Array]:
    batch = Batch(case.examples)
    w, _ = kernel_of(case)
    dz, x = numbers(case, case.filters, True, 2), numbers(case, case.channels, False, 1)
    ops, kernel = expansion(case, weight(matrix(w, case)))
    given = settings(case, kernel)
    turned = unwritten_weight(case.taps * given["filters"], case.channels)
    block = kernel_block(turned)
    ops.append(make_op("turn_kernel", kernel=kernel, turned=turned, turned_block=block, **given))
    dx = batch.unwritten(case.channels, case.positions) if start is None else batch.blocks(start)
    del given["kernel_block"]
    ops.append(
        make_op(
            "conv_backward_input", dz=batch.blocks(dz), turned=turned, dx=dx,
            windows=table(adjoint(window_table(case.axes), case.positions)),
            x_z=batch.blocks(x) if activation in READS_INPUT else None,
            x=batch.blocks(x) if activation != "linear" else None, turned_block=block,
            activation=ACTIVATIONS[activation], positions=case.positions,
            accumulate=start is not None, **given,
        )
    )  # fmt: skip
    batch.run(*ops, threads=threads)
    return [read(batch, dx, case.channels)]


def summing(
    case: Case, batch: Batch, as_pixels: bool, of_slice: int
) -> tuple[list[Any], dict[str, Any]]:
    """The ops that make the sums over slices, and the operands of ``sum_slices``."""
    w, _ = kernel_of(case)
    rows, filters = case.kernel_matrix
    expanded_rows = rows * case.members
    n_slices = -(-batch.capacity // of_slice)

    def room(rows: int) -> Buffer:
        storage = aligned_zeros((n_slices, n_blocks(filters), rows + 1, BLOCK))
        storage[:] = np.nan
        return Buffers.of_array("partials", storage)

    sums = partials = room(expanded_rows)
    pairs, counts = tap_pairs(window_table(case.axes), BLOCK)
    given = settings(case, unwritten_weight(expanded_rows, filters))
    ops = [
        make_op(
            "conv_backward_weights", dz=batch.blocks(numbers(case, filters, True, 2)),
            pairs=table(pairs), counts=table(counts), partials=sums, slice=of_slice, **given,
            **source(case, batch, numbers(case, case.channels, False, 1), as_pixels),
        )
    ]  # fmt: skip
    if case.members > 1:
        partials = room(rows)
        ops.append(
            make_op("reduce_partials", expanded=sums, partials=partials, slice=of_slice,
                    **of_members(case))
        )  # fmt: skip
    operands = {
        "partials": partials, "inputs": rows, "units": filters, "slice": of_slice,
        "kernel_block": kernel_block(weight(matrix(w, case))),
    }  # fmt: skip
    return ops, operands


def backward_weights(
    case: Case, threads: int, as_pixels: bool = False, of_slice: int = 2, add: bool = False
) -> list[Array]:
    """dW and db, stored; with ``add``, added to the weights."""
    batch = Batch(case.examples)
    w, b = kernel_of(case)
    found = [weight(matrix(w, case)), weight(b)]
    if not add:
        found = [weight(np.full(case.kernel_matrix, np.nan)), weight(np.full(case.filters, np.nan))]
    ops, operands = summing(case, batch, as_pixels, of_slice)
    ops.append(
        make_op("sum_slices", kernel=weight(matrix(w, case)), bias=weight(b), optimizer=-1,
                kernel_gradient=found[0], bias_gradient=found[1], unfinished=True,
                accumulate=add, **operands)
    )  # fmt: skip
    batch.run(*ops, threads=threads)
    return [read_weight(found[0], case.kernel_matrix), read_weight(found[1], (case.filters,))]


def updated(case: Case, threads: int, fused: bool) -> list[Array]:
    """W, b and their slots after a step of Adam, by one op or by way of stored gradients."""
    batch = Batch(case.examples)
    w, b = kernel_of(case)
    values = {"kernel": matrix(w, case), "bias": b}
    tensors = {role: weight(value) for role, value in values.items()}
    slots = {role: [weight(np.abs(v) * s) for s in (0.1, 0.2)] for role, v in values.items()}
    optimizer = OPTIMIZERS["adam"]
    ops, operands = summing(case, batch, False, 2)
    if fused:
        named = {f"{role}_slot_{i}": s for role in slots for i, s in enumerate(slots[role])}
        ops.append(make_op("sum_slices", optimizer=optimizer, **tensors, **named, **operands))
    else:
        sums = {role: weight(0 * value) for role, value in values.items()}
        named = {f"{role}_gradient": buffer for role, buffer in sums.items()}
        ops.append(make_op("sum_slices", optimizer=-1, **tensors, **named, **operands))
        ops += [update_op(sums[role], tensors[role], slots[role], optimizer=optimizer)
                for role in tensors]  # fmt: skip
    batch.run(*ops, threads=threads, scalars=[0.01, 0.003, 0.1, 0.001, 1e-7])
    shapes = {"kernel": case.kernel_matrix, "bias": (case.filters,)}
    return [read_weight(buffer, shapes[role]) for role in tensors
            for buffer in (tensors[role], *slots[role])]  # fmt: skip


@pytest.mark.parametrize("case", ALL, ids=str)
def test_forward(case: Case) -> None:
    (y,) = by_any_team(lambda n: forward(case, n))
    value, size = wanted(case)["y"]
    assert_within(y, value, chain(case.kernel_matrix[0], size))


@pytest.mark.parametrize("case", ALL, ids=str)
def test_backward_input(case: Case) -> None:
    (dx,) = by_any_team(lambda n: backward_input(case, n))
    value, size = wanted(case)["dx"]
    assert_within(dx, value, chain(case.taps * (case.filters // case.groups), size))


@pytest.mark.parametrize("case", ALL, ids=str)
def test_backward_weights(case: Case) -> None:
    for of_slice in (1, 3, case.examples):
        dw, db = by_any_team(lambda n, s=of_slice: backward_weights(case, n, of_slice=s))
        for found, name in ((dw.reshape(case.kernel_shape), "dw"), (db, "db")):
            value, size = wanted(case)[name]
            assert_within(found, value, over_examples(case, size))


@pytest.mark.parametrize("case", FEW_CHANNELS, ids=str)
def test_pictures_of_few_channels(case: Case) -> None:
    """Pixels as they lie: all bits of the forward pass as from blocks."""
    (y,) = by_any_team(lambda n: forward(case, n, as_pixels=True))
    assert_same_bits(y, forward(case, 1)[0])
    dw, db = by_any_team(lambda n: backward_weights(case, n, as_pixels=True))
    for found, name in ((dw.reshape(case.kernel_shape), "dw"), (db, "db")):
        value, size = wanted(case)[name]
        assert_within(found, value, over_examples(case, size))


@pytest.mark.parametrize("case", ACCUMULATED, ids=str)
def test_forward_settings_change_no_bit(case: Case) -> None:
    """Bias, activation and a kept z do what the separate ops do."""
    batch = Batch(case.examples)
    (plain,) = forward(case, 1)
    (without,) = by_any_team(lambda n: forward(case, n, bias=False))
    assert_same_bits(without + kernel_of(case)[1].astype(np.float32), plain)
    for as_pixels in (False, True) if case in FEW_CHANNELS else (False,):
        for activation in ("relu", "gelu", "softplus"):
            activated = activate(batch, plain, activation)
            y, z = by_any_team(
                lambda n, a=activation, p=as_pixels: forward(case, n, p, a, keep_z=True)
            )
            assert_same_bits(y, activated)
            assert_same_bits(z, plain)
            assert_same_bits(forward(case, 1, as_pixels, activation)[0], activated)


@pytest.mark.parametrize("case", ACCUMULATED, ids=str)
def test_backward_input_settings_change_no_bit(case: Case) -> None:
    batch = Batch(case.examples)
    (plain,) = backward_input(case, 1)
    start = numbers(case, case.channels, False, 3)
    (added,) = by_any_team(lambda n: backward_input(case, n, start=start))
    assert_same_bits(added, start.astype(np.float32) + plain)
    x = numbers(case, case.channels, False, 1)
    for activation in ("relu", "gelu"):
        (dx,) = by_any_team(lambda n, a=activation: backward_input(case, n, a))
        assert_same_bits(dx, through(batch, plain, x, activation))


@pytest.mark.parametrize("case", ACCUMULATED, ids=str)
def test_weight_gradients_are_added_and_given_to_the_optimizer(case: Case) -> None:
    w, b = kernel_of(case)
    dw, db = backward_weights(case, 1)
    summed = by_any_team(lambda n: backward_weights(case, n, add=True))
    assert_same_bits(summed[0], matrix(w, case).astype(np.float32) + dw)
    assert_same_bits(summed[1], b.astype(np.float32) + db)
    fused = by_any_team(lambda n: updated(case, n, fused=True))
    for ours, theirs in zip(fused, updated(case, 2, fused=False), strict=True):
        assert_same_bits(ours, theirs)
