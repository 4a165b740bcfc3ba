"""What must hold of every program; checked each time one is made, for it costs microseconds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fastnn.kernels.layout import ALIGNMENT
from fastnn.lowering.program import Buffer, Op, Program


class InvalidProgram(Exception):
    """A fault of the lowering, not of the user."""


def verify(program: Program) -> None:
    """Raise InvalidProgram if an op reads what nothing wrote or what is of another type, two live
    buffers overlap, a buffer is misplaced, or a wait is missing."""
    written: set[Buffer] = set()
    last_use: dict[Buffer, int] = {}
    first_use: dict[Buffer, int] = {}
    for position, op in enumerate(program.ops):
        for buffer, dtype in op.dtypes():
            if buffer.dtype != dtype:
                raise InvalidProgram(
                    f"{buffer.name} is of {buffer.dtype}, not {dtype}, in op {position}: {op}"
                )
        for buffer, writes in op.accesses():
            if buffer.array is not None:
                continue
            if not writes and buffer not in written:
                raise InvalidProgram(
                    f"nothing has written {buffer.name} before op {position}: {op}"
                )
            if writes:
                written.add(buffer)
            first_use.setdefault(buffer, position)
            last_use[buffer] = position
            if buffer.offset < 0 or buffer.offset % ALIGNMENT:
                raise InvalidProgram(f"{buffer.name} lies at {buffer.offset}")
            if buffer.offset + buffer.n_bytes > program.arena_bytes:
                raise InvalidProgram(f"{buffer.name} ends after the arena")
    buffers = sorted(first_use, key=lambda b: first_use[b])
    for i, a in enumerate(buffers):
        for b in buffers[i + 1 :]:
            if first_use[b] > last_use[a]:
                break
            if a.offset < b.offset + b.n_bytes and b.offset < a.offset + a.n_bytes:
                raise InvalidProgram(
                    f"{a.name} and {b.name} live at the same time in the same place"
                )
    check_waits([op for op in program.ops if not op.observing])
    check_waits(program.ops)


def check_waits(ops: Sequence[Op]) -> None:
    """Raise InvalidProgram if a member of the team may touch what another one is writing, or write
    what it is reading.

    Goes through the ops as they run, and keeps for each stretch of memory who has written and who
    has read it since the last wait. ``waits.py`` finds the waits in another way.
    """
    spans, borders = _memory(ops)
    writer = np.zeros(len(borders), np.int64)
    reader = np.zeros(len(borders), np.int64)
    owners: dict[tuple[Buffer, int, int], int] = {}
    band = left = 0
    for number, op in enumerate(ops):
        if op.wait and left:
            raise InvalidProgram(f"a wait in the middle of a band, before op {number}: {op}")
        if op.wait:
            writer[:] = reader[:] = _NOBODY
        if op.band:
            band, left = number, op.band
        # A band gives the examples to whoever comes first.
        share = band + 1 if left else 0
        left = max(0, left - 1)
        touched = []
        for buffer, writes in op.accesses():
            # Who takes other shares than the others is a stranger to all.
            owner = -1 - number
            if op.unit:
                owner = owners.setdefault((buffer, op.unit, share), len(owners) + 1)
            touched.append((slice(*np.searchsorted(borders, spans[buffer])), owner, writes))
        for stretch, owner, writes in touched:
            for seen in (writer, reader) if writes else (writer,):
                others = (seen[stretch] != _NOBODY) & (seen[stretch] != owner)
                if others.any():
                    raise InvalidProgram(f"no wait before op {number}, which needs one: {op}")
        for stretch, owner, writes in touched:
            if writes:
                writer[stretch] = owner
            else:
                known = reader[stretch]
                known[(known != _NOBODY) & (known != owner)] = _SEVERAL
                known[known == _NOBODY] = owner


_NOBODY, _SEVERAL = 0, -(2**62)


def _memory(ops: Sequence[Op]) -> tuple[dict[Buffer, tuple[int, int]], NDArray[np.int64]]:
    """Where each buffer begins and ends, and all these places in order. The arena lies below all
    arrays."""
    spans = {}
    for op in ops:
        for buffer, _ in op.accesses():
            in_arena, first, end = buffer.span()
            shift = -(2**61) if in_arena else 0
            spans[buffer] = first + shift, end + shift
    return spans, np.unique(np.array([*spans.values()], np.int64))
