"""Where the team waits, where buffers lie, and what is noticed if either is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from programs import CROSSENTROPY, PROGRAMS, example, residual, training_program

from fastnn import losses
from fastnn.lowering.arena import place
from fastnn.lowering.program import Buffer, Buffers, Op, Program, make_op
from fastnn.lowering.verify import InvalidProgram, verify
from fastnn.lowering.waits import place_waits


def conflict(earlier: Op, later: Op) -> bool:
    """Whether one of the two writes what the other touches, in another member's share."""
    return any(
        (writes_a or writes_b) and share_memory(a, b) and not (a is b and both_by_rows)
        for a, writes_a in earlier.accesses()
        for b, writes_b in later.accesses()
        for both_by_rows in [earlier.unit == later.unit != 0]
    )


def share_memory(a: Buffer, b: Buffer) -> bool:
    if a is b:
        return True
    if a.array is None and a.offset < 0:  # not placed yet: it shares nothing
        return False
    arena_a, first_a, end_a = a.span()
    arena_b, first_b, end_b = b.span()
    return arena_a == arena_b and first_a < end_b and first_b < end_a


@pytest.mark.parametrize("name", PROGRAMS)
def test_waits_stand_where_they_are_needed_and_nowhere_else(name: str) -> None:
    """Both in a step that is looked at, and in one of which the ops that look are left out."""
    program = PROGRAMS[name]()
    looking: list[Op] = []
    others: list[Op] = []
    for number, op in enumerate(program.ops):
        # What one of a band needs stands before the first.
        band = program.ops[number : number + max(1, op.band)]
        needed = any(conflict(earlier, later) for earlier in looking for later in band)
        if not op.observing:
            # Ops that look may have waited: that helps nobody in another step, nor does this wait
            # harm in theirs.
            needed |= any(conflict(earlier, later) for earlier in others for later in band)
        assert op.wait == needed, str(op)
        looking = [op] if op.wait else [*looking, op]
        if not op.observing:
            others = [op] if op.wait else [*others, op]


def test_the_example_waits_few_times() -> None:
    """For the layers' inputs, for the gradients, and for the sums; not between updates."""
    waits = [
        op.name for op in training_program(example(), CROSSENTROPY, capacity=256).ops if op.wait
    ]
    assert len(waits) <= 6
    assert waits.count("dense_backward_weights") <= 1


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_missing_wait_is_noticed(name: str) -> None:
    program = PROGRAMS[name]()
    for op in program.ops:
        if op.wait:
            op.wait = False
            with pytest.raises(InvalidProgram, match="no wait before"):
                verify(program)
            op.wait = True
    verify(program)


@pytest.mark.parametrize("name", PROGRAMS)
def test_buffers_that_live_together_lie_apart(name: str) -> None:
    """Lives are counted in stretches between waits that stand in every step."""
    program = PROGRAMS[name]()
    lives: dict[Any, tuple[int, int]] = {}
    stretch = 0
    for op in program.ops:
        stretch += op.wait and not op.observing
        for buffer, _ in op.accesses():
            if buffer.array is None:
                lives[buffer] = (lives.get(buffer, (stretch, 0))[0], stretch)
    for a in lives:
        assert 0 <= a.offset <= program.arena_bytes - a.n_bytes
        assert a.offset % 64 == 0
        for b in lives:
            if a is not b and lives[a][0] <= lives[b][1] and lives[b][0] <= lives[a][1]:
                assert a.offset + a.n_bytes <= b.offset or b.offset + b.n_bytes <= a.offset
    assert program.arena_bytes <= sum(buffer.n_bytes for buffer in lives)


def chain() -> tuple[Program, list[Any]]:
    """gather a; b = a; c = b; scatter c: in the arena, a and c share memory."""
    buffers = Buffers(8)
    a, b, c = (buffers.activation(name, 4) for name in "abc")
    ops = [
        make_op("gather", y=a, features=4),
        make_op("affine", x=a, y=b, features=4),
        make_op("affine", x=b, y=c, features=4),
        make_op("scatter", x=c, features=4),
    ]
    for op in ops:
        op.wait = True
    program = Program(ops, 8)
    place(program)
    return program, [a, b, c]


def test_memory_is_used_again() -> None:
    program, (a, b, c) = chain()
    verify(program)
    assert a.offset == c.offset != b.offset
    assert program.arena_bytes == a.n_bytes + b.n_bytes


def test_verify_rejects_reading_what_nothing_wrote() -> None:
    program, _ = chain()
    del program.ops[0]
    with pytest.raises(InvalidProgram, match="nothing has written a before op 0"):
        verify(program)


def test_verify_rejects_another_type() -> None:
    numbers = Buffers.of_array("numbers", np.zeros(64, np.int32))
    program = Program([make_op("square_weights", w=numbers, y=numbers, size=64)], 1)
    with pytest.raises(InvalidProgram, match="numbers is of i4, not f4, in op 0"):
        verify(program)


@pytest.mark.parametrize("dtype", ["i4", "u1", "V"])
def test_verify_rejects_another_type_in_the_arena(dtype: str) -> None:
    x, y = Buffers.raw("x", 256), Buffers.raw("y", 256, dtype)
    ops = [make_op("square_weights", w=a, y=b, size=64) for a, b in ((x, y), (y, x))]
    with pytest.raises(InvalidProgram, match=f"y is of {dtype}, not f4, in op 0"):
        verify(Program(ops, 1))


def test_verify_rejects_overlapping_buffers() -> None:
    program, (a, b, _) = chain()
    b.offset = a.offset
    with pytest.raises(InvalidProgram, match="a and b live at the same time in the same place"):
        verify(program)


@pytest.mark.parametrize("offset", [-1, -64, 8])
def test_verify_rejects_misplaced_buffers(offset: int) -> None:
    program, (a, _, _) = chain()
    a.offset = offset
    with pytest.raises(InvalidProgram, match=f"a lies at {offset}"):
        verify(program)


def test_verify_rejects_buffers_past_the_end() -> None:
    program, _ = chain()
    program.arena_bytes -= 64
    with pytest.raises(InvalidProgram, match="ends after the arena"):
        verify(program)


def test_ops_by_rows_need_no_wait_in_the_same_buffer_but_in_shared_memory() -> None:
    program, (a, _, c) = chain()
    place_waits(program)  # a and c share memory here: c's writer meets a's rows in other shares
    assert [op.wait for op in program.ops] == [False, False, True, False]
    c.offset = a.offset + 2 * a.n_bytes
    place_waits(program)
    assert not any(op.wait for op in program.ops)


def squared(x: Buffer, y: Buffer) -> Op:
    return make_op("square_weights", w=x, y=y, size=64)


def looking(x: Buffer, summaries: Buffer) -> Op:
    return make_op("summarize_weights", x=x, summaries=summaries, size=64)


def several(names: str) -> tuple[Buffer, ...]:
    """In the arena, but for w, which somebody else has written. s, t and u are for summaries."""
    w = Buffers.of_array("w", np.zeros(64, np.float32))
    types = dict.fromkeys("stu", "V")
    return tuple(
        w if name == "w" else Buffers.raw(name, 256, types.get(name, "f4")) for name in names
    )


def waits_of(*ops: Op) -> list[bool]:
    """Placed, and found to be right."""
    program = Program(list(ops), 8)
    place_waits(program)
    place(program)
    verify(program)
    return [op.wait for op in ops]


def assert_refused(*ops: Op) -> None:
    """Wherever the buffers lie."""
    buffers = {buffer: None for op in ops for buffer, _ in op.accesses() if buffer.array is None}
    for number, buffer in enumerate(buffers):
        buffer.offset = 256 * number
    with pytest.raises(InvalidProgram, match="no wait before"):
        verify(Program(list(ops), 8, arena_bytes=256 * len(buffers)))


def test_nobody_counts_on_the_wait_of_an_op_that_looks() -> None:
    w, a, b, s = several("wabs")
    ops = [squared(w, a), looking(a, s), squared(a, b)]
    assert waits_of(*ops) == [False, True, True]
    ops[2].wait = False
    assert_refused(*ops)


def test_ops_that_look_count_on_every_wait() -> None:
    w, a, b, s, t, u = several("wabstu")
    assert waits_of(squared(w, a), squared(a, b), looking(a, s)) == [False, True, False]
    # b is still being written, and then it isn't
    ops = [squared(w, a), squared(a, b), looking(b, s), looking(b, t), looking(a, u)]
    assert waits_of(*ops) == [False, True, True, False, False]
    ops[2].wait = False
    assert_refused(*ops)


def test_what_an_op_looks_at_is_not_overwritten_meanwhile() -> None:
    w, a, b, s = several("wabs")
    ops = [squared(w, a), squared(a, b), looking(a, s), squared(b, a)]
    assert waits_of(*ops) == [False, True, False, True]
    ops[3].wait = False
    assert_refused(*ops)


def test_memory_does_not_change_its_owner_at_the_wait_of_an_op_that_looks() -> None:
    w, a, b, c, s = several("wabcs")
    ops = [squared(w, a), squared(w, b), looking(b, s), squared(w, c)]
    assert waits_of(*ops) == [False, False, True, False]
    assert len({buffer.offset for buffer in (a, b, c, s)}) == 4
    c.offset = a.offset
    with pytest.raises(InvalidProgram, match="no wait before"):
        verify(Program(ops, 8, arena_bytes=2048))
    # Two waits later that stand in every step:
    w, a, b, c, d, s = several("wabcds")
    ops = [squared(w, a), squared(w, b), looking(b, s), squared(a, c), squared(c, d)]
    assert waits_of(*ops) == [False, False, True, True, True]
    assert d.offset in (a.offset, b.offset, s.offset)


@pytest.mark.parametrize("name", ["example", "residual", "example-clipped"])
def test_a_program_that_looks_is_the_other_one_with_more_ops(name: str) -> None:
    """In the same order, and with the same waits: who does not look pays nothing for it."""
    plain, observed = PROGRAMS[name](), PROGRAMS[f"{name}-observed"]()
    if name == "residual":
        plain = training_program(
            residual(), losses.MeanSquaredError(), losses.MeanAbsoluteError(), store=True
        )
    others = [op for op in observed.ops if not op.observing]
    assert [(op.name, op.wait) for op in others] == [(op.name, op.wait) for op in plain.ops]
    assert len(others) < len(observed.ops)
