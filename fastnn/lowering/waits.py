"""Where the team must wait: before an op that meets another's memory since the last wait."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fastnn.lowering.program import Buffer, Op, Program


def place_waits(program: Program, first: int = 0) -> None:
    """Set ``wait`` on the ops that need it. The engine itself waits between batches.

    first: Ops for which the team waits at once, whether the next op needs them or a later one: so
        that no stretch ends at that.

    A wait of an op that is left out in most steps is left out, too: no other op may count on it.
    The ops of a band are gone through together: what one of them needs stands before the first.
    """
    meetings = Meetings(program.ops)
    last = last_of_any = 0
    for number, op in enumerate(program.ops):
        begin = last_of_any if op.observing else last
        needed = meetings.any(begin, number, number, number + max(1, op.band))
        op.wait = needed or 0 < number == first
        if op.wait:
            last_of_any = number
            if not op.observing:
                last = number


class Meetings:
    """Which ops touch the same memory, so that a wait must stand between them: one of the two
    writes it, and not both give its rows to the same members.

    Buffers that have no place in the arena yet share nothing.
    """

    def __init__(self, ops: Sequence[Op]) -> None:
        rows: list[tuple[int, int, bool, int, int]] = []
        numbers: dict[Buffer, int] = {}
        self._starts = [0]
        for op, share in zip(ops, shares(ops), strict=True):
            for buffer, writes in op.accesses():
                number = numbers.setdefault(buffer, len(numbers))
                rows.append((*_span(buffer, number), writes, share, number))
            self._starts.append(len(rows))
        columns = np.array(rows, np.int64).reshape(-1, 5).T
        self._first, self._end, self._writes, self._unit, self._buffer = columns

    def any(self, begin: int, end: int, first: int, stop: int) -> bool:
        """Whether an op from ``first`` to before ``stop`` meets one from ``begin`` to before
        ``end``."""
        a = slice(self._starts[begin], self._starts[end])
        b = slice(self._starts[first], self._starts[stop])

        def pairs(column: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
            return column[a, None], column[None, b]

        (first_a, first_b), (end_a, end_b) = pairs(self._first), pairs(self._end)
        (writes_a, writes_b), (unit_a, unit_b) = pairs(self._writes), pairs(self._unit)
        buffer_a, buffer_b = pairs(self._buffer)
        meet = (first_a < end_b) & (first_b < end_a) & ((writes_a | writes_b) != 0)
        # A member meets only what it did itself.
        own = (buffer_a == buffer_b) & (unit_a == unit_b) & (unit_a != 0)
        return bool((meet & ~own).any())


def shares(ops: Sequence[Op]) -> list[int]:
    """For each op in which way the team shares the rows of the batch: the same for ops of which a
    member does the same rows, 0 where it does others. A band gives them to whoever comes first."""
    found = []
    left = share = 0
    for number, op in enumerate(ops):
        if op.band:
            left, share = op.band, -1 - number
        found.append(share if left else op.unit)
        left = max(0, left - 1)
    return found


_UNPLACED, _ARENA = -(2**62), -(2**61)
"""Addresses below all arrays': of buffers that have no place yet, of the arena."""

_FAR = 2**32


def _span(buffer: Buffer, number: int) -> tuple[int, int]:
    if buffer.array is None and buffer.offset < 0:
        first = _UNPLACED + number * _FAR
        return first, first + buffer.n_bytes
    in_arena, first, end = buffer.span()
    return (first + _ARENA, end + _ARENA) if in_arena else (first, end)
