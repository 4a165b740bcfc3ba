"""Where the team must wait: before an op that meets another's memory since the last wait."""

from __future__ import annotations

from fastnn.lowering.program import Buffer, Op, Program


def place_waits(program: Program) -> None:
    """Set ``wait`` on the ops that need it. The engine itself waits between batches.

    A wait of an op that is left out in most steps is left out, too: no other op may count on it.
    """
    since: list[Op] = []
    since_any: list[Op] = []
    for op in program.ops:
        op.wait = any(conflict(each, op) for each in (since_any if op.observing else since))
        if op.wait:
            since_any = []
            if not op.observing:
                since = []
        since.append(op)
        since_any.append(op)


def conflict(earlier: Op, later: Op) -> bool:
    """Whether one of the two writes what the other touches, in another member's share."""
    return any(
        (writes_a or writes_b) and _overlap(a, b) and not _same_rows(earlier, later, a, b)
        for a, writes_a in earlier.accesses()
        for b, writes_b in later.accesses()
    )


def _overlap(a: Buffer, b: Buffer) -> bool:
    if a is b:
        return True
    if a.offset < 0 and a.array is None:  # not placed yet: it shares nothing
        return False
    arena_a, first_a, end_a = a.span()
    arena_b, first_b, end_b = b.span()
    return arena_a == arena_b and first_a < end_b and first_b < end_a


def _same_rows(earlier: Op, later: Op, a: Buffer, b: Buffer) -> bool:
    """Both go by rows, in the same buffer: a member meets only what it did itself."""
    return a is b and earlier.by_rows and later.by_rows
