"""Nodes that make lines of positions from lines of positions, channel by channel."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fastnn.kernels.codes import ACTIVATIONS, READS_INPUT
from fastnn.lowering.builder import Builder, Gradient
from fastnn.lowering.nodes.activated import take_through
from fastnn.lowering.nodes.base import LoweredNode
from fastnn.lowering.nodes.elementwise import activation_params
from fastnn.lowering.program import Buffer, Buffers
from fastnn.lowering.values import Node
from fastnn.lowering.windows import OUTSIDE, Table, readers


@dataclass(eq=False)
class MaxPoolingNode(LoweredNode):
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
            self.found = Buffers.raw(f"{self.output.name}/found", n_bytes, "u1")
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
        shared: dict[str, Buffer | float | None] = {
            "dy": dy.buffer, "found": self.found, "dx": dx, "features": self.output.features,
            "positions": x.positions, "index_bytes": self._index_bytes,
            "activation": ACTIVATIONS[through.kind], **activation_params(through),
        }  # fmt: skip
        if table.shape[1] == 1 and not accumulate and through.kind not in READS_INPUT:
            builder.emit(
                "max_pool_spread", windows=_table(self, "windows", self.windows),
                y=builder.values[self.output] if through.kind != "linear" else None,
                taps=self.windows.shape[1], unread=bool((table[..., 0] == OUTSIDE).any()),
                **shared,
            )  # fmt: skip
            return
        builder.emit(
            "max_pool_backward", x_z=x_z,
            x=builder.values[x] if through.kind != "linear" else None,
            readers=_table(self, "readers", table), most=table.shape[1], accumulate=accumulate,
            **shared,
        )  # fmt: skip

    @property
    def _index_bytes(self) -> int:
        return 1 if self.windows.shape[1] <= 256 else 4


@dataclass(eq=False)
class WindowSumNode(LoweredNode):
    """The sum of what each window reads, with factors: averages, enlarged pictures; with one tap,
    what is padded with zeros or cropped.

    windows: (windows, taps), positions of the input.
    of_windows: (windows,), factors of the sums; None for ones.
    of_taps: (windows, taps), factors of what is summed; None for ones.
    """

    windows: Table
    of_windows: NDArray[np.float32] | None = None
    of_taps: NDArray[np.float32] | None = None

    def forward(self, builder: Builder) -> None:
        builder.emit(
            "sum_windows", x=builder.values[self.inputs[0]], y=builder.activation(self.output),
            windows=_table(self, "windows", self.windows),
            of_windows=self._factors("of_windows", self.of_windows),
            of_taps=self._factors("of_taps", self.of_taps), features=self.output.features,
            taps=self.windows.shape[1], windows_of_row=len(self.windows),
        )  # fmt: skip

    def backward(self, builder: Builder, dy: Gradient) -> None:
        x = self.inputs[0]
        dx, accumulate = builder.contribution(x)
        table = readers(self.windows, x.positions)
        builder.emit(
            "sum_windows", x=dy.buffer, y=dx,
            windows=_table(self, "readers", np.ascontiguousarray(table[..., 0])),
            of_taps=self._factors("of_readers", self._factors_of_readers(table)),
            features=self.output.features, taps=table.shape[1], windows_of_row=len(table),
            accumulate=accumulate,
        )  # fmt: skip

    def _factors_of_readers(self, table: Table) -> NDArray[np.float32] | None:
        """What the gradients that reach a position are multiplied by."""
        if self.of_windows is None and self.of_taps is None:
            return None
        window, tap = table[..., 0], table[..., 1]
        factors: NDArray[np.float32] = (window != OUTSIDE).astype(np.float32)
        if self.of_windows is not None:
            factors = factors * self.of_windows[window]
        if self.of_taps is not None:
            factors = factors * self.of_taps[window, tap]
        return factors

    def _factors(self, name: str, factors: NDArray[np.float32] | None) -> Buffer | None:
        return None if factors is None else Buffers.of_array(f"{self.name}/{name}", factors)


def average_factors(windows: Table) -> NDArray[np.float32]:
    """One over how many positions each window reads: padding does not count."""
    counts = np.maximum((windows != OUTSIDE).sum(axis=1), 1)
    factors: NDArray[np.float32] = (1.0 / counts).astype(np.float32)
    return factors


def _table(node: Node, name: str, table: Table) -> Buffer:
    return Buffers.of_array(f"{node.output.name}/{name}", table)
