"""Bands: ops that go over the examples, gone through together, a few examples at a time.

What one op of a band makes of some examples is still in cache when the next one reads it. Whoever
comes first takes the next examples, so that the members of the team end together.
"""

from __future__ import annotations

from fastnn.lowering.program import Op, Program

_CACHE = 2**18
"""Bytes of an op's operands that should lie in the second-level cache together."""


def form_bands(program: Program) -> None:
    """Bring together the ops between two waits that are shared by examples: their order among the
    others is free, since ops of another kind touch nothing of theirs. The waits must stand.
    """
    ops: list[Op] = []
    waited = True
    for stretch in _stretches(program.ops):
        waited |= stretch[0].wait and not stretch[0].observing
        band = [op for op in stretch if op.unit == 1]
        if band:
            # Another band may have given the examples to other members.
            wait, stretch[0].wait = stretch[0].wait or not waited, False
            stretch = [op for op in stretch if op.unit != 1] + band
            stretch[0].wait = wait
            band[0].band = len(band)
            most = max(_bytes_of_row(op, program.capacity) for op in band)
            band[0].band_rows = max(1, _CACHE // most)
            waited = False
        ops += stretch
    program.ops = ops


def _stretches(ops: list[Op]) -> list[list[Op]]:
    """Ops between waits. What may stop the step, or only looks at it, stays where it is."""
    stretches: list[list[Op]] = [[]]
    for op in ops:
        stays = op.spec.decides or op.observing
        if op.wait or stays:
            stretches.append([])
        stretches[-1].append(op)
        if stays:
            stretches.append([])
    return [stretch for stretch in stretches if stretch]


def _bytes_of_row(op: Op, capacity: int) -> int:
    """Memory of the batch that an op touches for each row."""
    return 1 + sum(buffer.n_bytes for buffer, _ in op.accesses() if buffer.stride) // capacity
