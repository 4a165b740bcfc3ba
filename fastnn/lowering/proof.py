"""Proof that the gradients of a step are finite, before the first weight is touched.

A gradient that goes straight into its update is nowhere as a whole. But it is a sum of products, so
its numbers are at most rows * max(|x|, 1) * max|dz|: a look at the activations is enough. See
``fastnn/kernels/gradients.pyx``.
"""

from __future__ import annotations

import numpy as np

from fastnn.kernels.layout import n_blocks
from fastnn.lowering.program import Buffer, Buffers
from fastnn.lowering.verify import InvalidProgram

_Entry = tuple[int, int]
ONE: _Entry = (0, 0)
"""The entry of a factor that is at most 1."""


class Proof:
    """The maxima that are taken, and which of them are multiplied.

    Args:
        capacity: Rows of a batch.
        entries: How many maxima there can be.
    """

    def __init__(self, capacity: int, entries: int) -> None:
        self.units = n_blocks(capacity)
        self._magnitudes = np.zeros((entries, self.units), np.int32)
        self._taken = 0
        self._of: dict[object, _Entry] = {}
        self._factors: list[tuple[_Entry, _Entry]] = []

    def room(self, of: object, count: int = 1) -> Buffer:
        """Where the maxima of a tensor go; one, or one for each of its ``count`` parts."""
        first, self._taken = self._taken, self._taken + count
        if self._taken > len(self._magnitudes):  # a kernel would write beyond the end
            raise InvalidProgram(f"more maxima than the {len(self._magnitudes)} there is room for")
        self._of[of] = (first, count)
        return Buffers.of_array("magnitudes", self._magnitudes[first : self._taken])

    def entry(self, of: object) -> _Entry | None:
        """The maxima of a tensor, if they are taken."""
        return self._of.get(of)

    def forget(self, of: object) -> None:
        """The tensor changes after its maxima were taken."""
        self._of.pop(of, None)

    def product(self, x: _Entry, dz: _Entry) -> None:
        """A gradient is the product of these."""
        self._factors.append((x, dz))

    def operands(self) -> dict[str, Buffer | float | None] | None:
        """Of ``guard_factors``; None if there is nothing to guard."""
        if not self._factors:
            return None
        rows = [[(*entry, self.units) for entry in pair] for pair in self._factors]
        # The kernel finds entry e at e * units.
        factors = np.array(rows, np.int64)
        return {
            "magnitudes": Buffers.of_array("magnitudes", self._magnitudes),
            "factors": Buffers.of_array("factors", factors),
            "products": len(rows),
        }
