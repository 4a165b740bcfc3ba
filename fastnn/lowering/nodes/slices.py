"""Gradients of weights that are summed over slices of the examples, then over these."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field

from fastnn.kernels.convolution import PANEL_ROWS
from fastnn.kernels.layout import BLOCK, n_blocks
from fastnn.lowering.emitter import Emitter
from fastnn.lowering.gradients.product import WeightProduct
from fastnn.lowering.program import Buffer, Buffers, Operands

_TASKS = 32
"""Parts of a gradient that there should be, for teams of some size."""

_PARTIALS = 2**20
"""Bytes that the sums over slices may take, unless one slice takes more."""


@dataclass(eq=False)
class SlicedProduct(WeightProduct):
    """A subclass makes the sums over each slice: (slices, blocks, rows of the kernel + 1, 16), of
    which the last row is the bias's."""

    partials: Buffer | None = field(default=None, init=False)

    @abstractmethod
    def tasks_of_slice(self) -> int:
        """In how many parts the team shares a slice."""

    @abstractmethod
    def produce(self, emitter: Emitter) -> None:
        """Add the ops that make ``partials``."""

    def tiles(self, emitter: Emitter, role: str) -> int:
        return n_blocks(self.units) * (n_panels(self.rows) if role == "kernel" else 1)

    def hand_over(self, emitter: Emitter, operands: Operands) -> None:
        emitter.emit(
            "sum_slices", partials=self.partials, inputs=self.rows, units=self.units,
            kernel_block=self.kernel.storage.shape[1] * BLOCK, slice=self.slice(emitter),
            **operands,
        )  # fmt: skip

    @property
    def rows(self) -> int:
        """Rows of the kernel."""
        return self.kernel.matrix_shape[0]

    @property
    def units(self) -> int:
        """Columns of the kernel."""
        return self.kernel.matrix_shape[1]

    def room(self, emitter: Emitter, name: str, rows: int) -> Buffer:
        """For the sums over slices, for a kernel of so many rows."""
        n_slices = -(-emitter.capacity // self.slice(emitter))
        return Buffers.raw(f"{self.kernel.path}/{name}", n_slices * self._bytes(rows))

    def slice(self, emitter: Emitter) -> int:
        """Examples of a slice: so many that there is work for a team, and not much to add up."""
        wanted = -(-_TASKS // self.tasks_of_slice())
        slices = max(1, min(wanted, _PARTIALS // self._bytes(self.rows), emitter.capacity))
        return -(-emitter.capacity // slices)

    def _bytes(self, rows: int) -> int:
        return 4 * n_blocks(self.units) * (rows + 1) * BLOCK


def n_panels(rows: int) -> int:
    """Panels of a kernel of so many rows."""
    panel: int = PANEL_ROWS
    return -(-rows // panel)
