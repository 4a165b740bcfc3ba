"""Ops that call functions in Python, and those that bring them their arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastnn.engine.executable import Executable
from fastnn.kernels.layout import aligned_zeros
from fastnn.lowering.program import Argument, Buffer, Buffers, Op, Program, make_op
from fastnn.lowering.waits import place_waits
from kernels.harness import (
    FEATURES,
    ROWS,
    THREADS,
    Array,
    Batch,
    assert_same_bits,
    by_any_team,
    float32,
    kernel_block,
    read_weight,
    weight,
)


def rows_buffer(capacity: int, features: int) -> Buffer:
    """(capacity, features) in C order, not written yet."""
    storage = aligned_zeros((capacity, features))
    storage[:] = np.nan
    return Buffers.of_array("rows", storage)


@pytest.mark.parametrize("features", FEATURES)
def test_unpack_and_pack_rows_of_a_batch(features: int) -> None:
    for rows in ROWS:
        random = np.random.default_rng((rows, features))
        x, added = (float32(random, rows, features) for _ in range(2))
        batch = Batch(rows)

        def compute(n: int, batch: Any = batch, x: Array = x, added: Array = added) -> list[Array]:
            c_order = rows_buffer(batch.capacity, features)
            y, sums = batch.unwritten(features), batch.blocks(added)
            settings = {"features": features, "by_rows": 1}
            batch.run(
                make_op("unpack", x=batch.blocks(x), y=c_order, **settings),
                make_op("pack", x=c_order, y=y, **settings),
                make_op("pack", x=c_order, y=sums, accumulate=1, **settings),
                threads=n,
            )
            assert c_order.array is not None
            return [
                c_order.array[: batch.rows],
                batch.read(y, features),
                batch.read(sums, features),
            ]

        unpacked, packed, summed = by_any_team(compute)
        assert_same_bits(unpacked, x.astype(np.float32))
        assert_same_bits(packed, x.astype(np.float32))
        assert_same_bits(summed, x.astype(np.float32) + added.astype(np.float32))


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (16, 16), (33, 100), (784, 17), (7,), (100,)])
def test_unpack_and_pack_a_weight(shape: tuple[int, ...]) -> None:
    """Of its own number of rows, whatever the batch's; the padding stays zero."""
    random = np.random.default_rng(shape)
    w, added = (float32(random, *shape) for _ in range(2))
    batch = Batch(2)

    def compute(n: int) -> list[Array]:
        source, y, sums = weight(w), weight(np.zeros(shape)), weight(added)
        settings = {
            "features": shape[-1],
            "rows": shape[0] if len(shape) == 2 else 1,
            "stride": kernel_block(source),
        }
        c_order = rows_buffer(int(settings["rows"]), shape[-1])
        batch.run(
            make_op("unpack", x=source, y=c_order, **settings),
            make_op("pack", x=c_order, y=y, **settings),
            make_op("pack", x=c_order, y=sums, accumulate=1, **settings),
            threads=n,
        )
        assert c_order.array is not None
        return [c_order.array.reshape(shape), read_weight(y, shape), read_weight(sums, shape)]

    unpacked, packed, summed = by_any_team(compute)
    assert_same_bits(unpacked, w.astype(np.float32))
    assert_same_bits(packed, w.astype(np.float32))
    assert_same_bits(summed, w.astype(np.float32) + added.astype(np.float32))


def call_op(function: Any, *arguments: Argument) -> Op:
    op = make_op("call", failed=Buffers.of_array("failed", np.zeros(1, np.float32)))
    op.function, op.arguments = function, arguments
    return op


@pytest.mark.parametrize("threads", THREADS)
def test_call_gets_the_memory_itself(threads: int) -> None:
    """Views of as many rows as the batch has; what is only read can't be written."""
    x, labels, y = rows_buffer(8, 3), Buffers.of_array("labels", np.arange(8, dtype=np.int32)), None
    whole = rows_buffer(2, 2)
    y = rows_buffer(8, 1)
    assert x.array is not None and y.array is not None and whole.array is not None
    seen: list[int] = []

    def function(*arrays: Array) -> None:
        given = (x.array, labels.array, whole.array, y.array)
        for array, memory in zip(arrays, given, strict=True):
            assert memory is not None and np.shares_memory(array, memory)
            assert array.flags.c_contiguous
        assert [a.flags.writeable for a in arrays] == [False, False, False, True]
        assert [a.dtype for a in arrays] == [np.float32, np.int32, np.float32, np.float32]
        assert arrays[2].shape == (2, 2)
        assert {len(a) for a in (arrays[0], arrays[1], arrays[3])} == {len(arrays[0])}
        seen.append(len(arrays[0]))
        arrays[3][:] = 7

    op = call_op(
        function,
        Argument(x, (3,)),
        Argument(labels, (), dtype=np.int32),
        Argument(whole, (2, 2), by_rows=False),
        Argument(y, (1,), writes=True),
    )
    Executable(Program([op], 8)).run(
        [], np.arange(18), 0, 18, 8, None, np.zeros(1), [], threads, np.inf
    )
    assert seen == [8, 8, 2]
    assert (y.array == 7).all()


@pytest.mark.parametrize("threads", THREADS)
def test_an_exception_ends_the_run_before_its_batch(threads: int) -> None:
    """No later function is called, nothing after the guard happens, the batch does not count."""
    calls: list[str] = []
    fault = KeyError("mine")

    class Counter:
        iterations = 10

    def first() -> None:
        calls.append("first")
        if len(calls) == 5:
            raise fault

    values = Buffers.of_array("values", np.ones(4, np.float32))
    sums = np.zeros(1)
    ops = [
        call_op(first),
        call_op(lambda: calls.append("second")),
        make_op("guard_calls", failed=None),
        make_op("sum_rows", values=values, sum=0, lines=1),
    ]
    for op in ops[1:]:
        op.wait = True
    executable = Executable(Program(ops, 4))
    with pytest.raises(KeyError, match="mine") as caught:
        executable.run([], np.arange(40), 0, 40, 4, None, sums, [], threads, np.inf, Counter)
    assert caught.value is fault
    assert calls == ["first", "second"] * 2 + ["first"]
    assert sums[0] == 8
    assert Counter.iterations == 12
    # and it can be run again
    assert executable.run([], np.arange(8), 0, 8, 4, None, sums, [], threads, np.inf) == 8


def test_an_exception_ends_a_run_without_a_guard() -> None:
    def fail() -> None:
        raise ValueError("mine")

    executable = Executable(Program([call_op(fail)], 4))
    for threads in THREADS:
        with pytest.raises(ValueError, match="mine"):
            executable.run([], np.arange(8), 0, 8, 4, None, np.zeros(1), [], threads, np.inf)


def test_the_guard_waits_for_functions_that_share_nothing_with_the_updates() -> None:
    failed = Buffers.raw("failed", 4)
    call = call_op(lambda: None)
    call.tensors = [failed]
    guard = make_op("guard_calls", failed=failed)
    program = Program([call, guard], 4)
    place_waits(program)
    assert guard.wait


@pytest.mark.parametrize("threads", THREADS)
def test_denormals_are_numbers_in_python(threads: int) -> None:
    """The engine counts them as zero, but not while a function of the user's runs."""
    tiny = np.array([1e-40], np.float32)
    kept: list[bool] = []
    executable = Executable(Program([call_op(lambda: kept.append(bool((tiny * 1)[0] > 0)))], 4))
    executable.run([], np.arange(8), 0, 8, 4, None, np.zeros(1), [], threads, np.inf)
    assert kept == [True, True]
