"""Nodes that make lines of positions from lines of positions, channel by channel."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fastnn.kernels.codes import ACTIVATIONS
from fastnn.lowering.builder import Builder, Gradient
from fastnn.lowering.graph import Node
from fastnn.lowering.nodes.activated import take_through
from fastnn.lowering.nodes.elementwise import activation_params
from fastnn.lowering.program import Buffer, Buffers
from fastnn.lowering.windows import OUTSIDE, Table, readers


@dataclass(eq=False)
class MaxPoolingNode(Node):
    """The largest of each window.

    windows: (windows, taps), positions of the input.
    """

    windows: Table
    found: Buffer | None = field(default=None, init=False)
    """Which tap it was."""

    def forward(self, builder: Builder) -> None:
        x = self.inputs[0]
        y = builder.activation(self.output)
        if builder.training and x in builder.needs_gradient:
            n_bytes = y.n_bytes // 4 * self._index_bytes
            self.found = Buffers.raw(f"{self.output.name}/found", n_bytes)
        builder.emit(
            "max_pool", x=builder.values[x], y=y, found=self.found,
            windows=_table(self, "windows", self.windows), features=self.output.features,
            taps=self.windows.shape[1], windows_of_row=len(self.windows),
            index_bytes=self._index_bytes,
        )  # fmt: skip

    def backward(self, builder: Builder, dy: Gradient) -> None:
        x = self.inputs[0]
        table = readers(self.windows, x.positions)
        dx, accumulate = builder.contribution(x)
        through, x_z = take_through(builder, self, accumulate)
        builder.emit(
            "max_pool_backward", dy=dy.buffer, found=self.found, dx=dx, x_z=x_z,
            x=builder.values[x] if through.kind != "linear" else None,
            readers=_table(self, "readers", table), features=self.output.features,
            most=table.shape[1], positions=x.positions, index_bytes=self._index_bytes,
            activation=ACTIVATIONS[through.kind], accumulate=accumulate,
            **activation_params(through),
        )  # fmt: skip

    @property
    def _index_bytes(self) -> int:
        return 1 if self.windows.shape[1] <= 256 else 4


@dataclass(eq=False)
class WindowSumNode(Node):
    """A factor for each window times the sum of what it reads: averages; with one tap, what is
    padded with zeros, cropped or enlarged.

    windows: (windows, taps), positions of the input.
    factors: (windows,), None for ones.
    """

    windows: Table
    factors: NDArray[np.float32] | None = None

    def forward(self, builder: Builder) -> None:
        y = builder.activation(self.output)
        self._emit(builder, self.inputs[0].name, builder.values[self.inputs[0]], y, self.windows)

    def backward(self, builder: Builder, dy: Gradient) -> None:
        x = self.inputs[0]
        dx, accumulate = builder.contribution(x)
        table = np.ascontiguousarray(readers(self.windows, x.positions)[..., 0])
        self._emit(builder, f"d_{x.name}", dy.buffer, dx, table, accumulate)

    def _emit(
        self,
        builder: Builder,
        name: str,
        x: Buffer,
        y: Buffer,
        windows: Table,
        accumulate: bool = False,
    ) -> None:
        factors = None
        if self.factors is not None:
            factors = Buffers.of_array(f"{self.name}/factors", self.factors)
        forward = windows is self.windows
        builder.emit(
            "sum_windows", x=x, y=y, windows=_table(self, name, windows),
            of_windows=factors if forward else None, of_lines=None if forward else factors,
            features=self.output.features, taps=windows.shape[1], windows_of_row=len(windows),
            accumulate=accumulate,
        )  # fmt: skip


def average_factors(windows: Table) -> NDArray[np.float32]:
    """One over how many positions each window reads: padding does not count."""
    return (1.0 / np.maximum((windows != OUTSIDE).sum(axis=1), 1)).astype(np.float32)


def _table(node: Node, name: str, table: Table) -> Buffer:
    return Buffers.of_array(f"{node.output.name}/{name}", table)
