"""What must hold of every program; checked each time one is made, for it costs microseconds."""

from __future__ import annotations

from fastnn.kernels.layout import ALIGNMENT
from fastnn.lowering.program import Buffer, Op, Program
from fastnn.lowering.waits import conflict


class InvalidProgram(Exception):
    """A fault of the lowering, not of the user."""


def verify(program: Program) -> None:
    """Raise InvalidProgram if an op reads what nothing wrote, two live buffers overlap, a buffer
    is misplaced, or a wait is missing."""
    written: set[Buffer] = set()
    last_use: dict[Buffer, int] = {}
    first_use: dict[Buffer, int] = {}
    for position, op in enumerate(program.ops):
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
    since: list[Op] = []
    since_any: list[Op] = []
    for op in program.ops:
        if op.wait:
            since_any = []
            if not op.observing:
                since = []
        for earlier in since_any if op.observing else since:
            if conflict(earlier, op):
                raise InvalidProgram(f"no wait between\n{earlier}\n{op}")
        since.append(op)
        since_any.append(op)
