"""Proof that the gradients of a step are finite, before the first weight is touched.

A gradient that goes straight into its update is nowhere as a whole. But it is a sum of products, so
its numbers are at most rows * max(|x|, 1) * max|dz|: a look at the activations is enough. See
``fastnn/kernels/gradients.pyx``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastnn.kernels.layout import BLOCK, n_blocks
from fastnn.lowering.program import Buffer, Buffers
from fastnn.lowering.verify import InvalidProgram


class Maxima(NamedTuple):
    """Where the maxima of a tensor are, for the kernel.

    first: The place of the first one.
    parts: Parts of the features; 0 for a factor that is at most 1.
    stride: From part to part.
    positions: Lines that a row of the batch has.
    unit: Lines that have one maximum together.
    """

    first: int
    parts: int
    stride: int
    positions: int
    unit: int


ONE = Maxima(0, 0, 0, 1, 1)


def units(capacity: int, positions: int) -> int:
    """How many maxima a part of a tensor has at most."""
    return max(capacity, n_blocks(capacity * positions))


class Proof:
    """The maxima that are taken, and which of them are multiplied.

    Args:
        capacity: Rows of a batch.
        room: For how many maxima there is room.
    """

    def __init__(self, capacity: int, room: int) -> None:
        self._capacity = capacity
        self._magnitudes = np.zeros(room, np.int32)
        self._taken = 0
        self._of: dict[object, Maxima] = {}
        self._factors: list[tuple[Maxima, Maxima]] = []

    def room(self, of: object, positions: int, parts: int = 0, segments: int = 1) -> Buffer:
        """Where the maxima of a tensor go: one for each unit in which the team shares its lines;
        or, with ``parts``, for each of these and of 16 times ``segments`` lines."""
        by_blocks = bool(parts) or positions == 1
        rows = self._capacity * positions // segments
        stride = n_blocks(rows) if by_blocks else self._capacity
        first, parts = self._taken, parts or 1
        self._taken += parts * stride
        if self._taken > len(self._magnitudes):  # a kernel would write beyond the end
            raise InvalidProgram(f"more maxima than the {len(self._magnitudes)} there is room for")
        unit = BLOCK * segments if by_blocks else positions
        self._of[of] = Maxima(first, parts, stride, positions, unit)
        return Buffers.of_array("magnitudes", self._magnitudes[first : self._taken], passing=True)

    def entry(self, of: object) -> Maxima | None:
        """The maxima of a tensor, if they are taken."""
        return self._of.get(of)

    def stride(self, of: object) -> int:
        """From part to part of a tensor whose maxima are taken."""
        return self._of[of].stride

    def forget(self, of: object) -> None:
        """The tensor changes after its maxima were taken."""
        self._of.pop(of, None)

    def product(self, x: Maxima, dz: Maxima) -> None:
        """A gradient is the product of these."""
        self._factors.append((x, dz))

    def operands(self) -> dict[str, Buffer | float | None] | None:
        """Operands of ``guard_factors``; None if there is nothing to guard."""
        if not self._factors:
            return None
        return {
            "magnitudes": Buffers.of_array("magnitudes", self._magnitudes),
            "factors": Buffers.of_array("factors", np.array(self._factors, np.int64)),
            "products": len(self._factors),
        }
