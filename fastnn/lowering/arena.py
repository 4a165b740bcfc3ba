"""Places of buffers in the arena: two may share memory if their lives do not overlap.

A life is counted in stretches between waits, not in ops: within a stretch the team's members are at
different ops, and memory that changed its owner there would make them wait once more.
"""

from __future__ import annotations

from fastnn.lowering.program import Buffer, Program


def place(program: Program) -> None:
    """Give each arena buffer an offset: the largest first, each at the lowest place that is free.

    The waits must stand where they are needed for buffers that share nothing.
    """
    lives: dict[Buffer, tuple[int, int]] = {}
    stretch = 0
    for op in program.ops:
        stretch += op.wait and not op.observing
        for buffer, _ in op.accesses():
            if buffer.array is None:
                lives[buffer] = (lives.get(buffer, (stretch, 0))[0], stretch)

    placed: list[Buffer] = []
    for buffer in sorted(lives, key=lambda b: (-b.n_bytes, lives[b])):
        first, last = lives[buffer]
        neighbours = sorted(
            (b for b in placed if lives[b][0] <= last and first <= lives[b][1]),
            key=lambda b: b.offset,
        )
        offset = 0
        for other in neighbours:
            if offset + buffer.n_bytes <= other.offset:
                break
            offset = max(offset, other.offset + other.n_bytes)
        buffer.offset = offset
        placed.append(buffer)
    program.arena_bytes = max((b.offset + b.n_bytes for b in placed), default=0)
