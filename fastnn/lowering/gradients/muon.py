"""Muon's step, which no update of element by element can be: ops over whole matrices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt

from fastnn.kernels.layout import BLOCK, n_blocks, packed_shape
from fastnn.lowering.program import Buffer, Buffers
from fastnn.optimizers.muon import Muon

KERNEL = "muon"
"""The kernel, by name, of the weights that take such a step."""

MUON_SCALARS = 5
"""Where in a row of ``Muon.scalars`` its own begin: learning rate, weight decay, momentum."""

_EPSILON = 1e-7
"""Keras's, added to the norm."""


@dataclass(frozen=True)
class MuonStep:
    """A weight that takes a step: its shape (in, out), and buffers packed as it is.

    gradient: the whole gradient; its padding is zero but for a row that only makes the number of
        rows odd.
    """

    name: str
    shape: tuple[int, int]
    gradient: Buffer
    w: Buffer
    momentum: Buffer


def emit_muon(emit: Callable[..., None], muon: Muon, steps: Sequence[MuonStep]) -> None:
    """Emit the ops of the steps, stage by stage for all of them, so that they share the waits.

    Args:
        emit: ``emit(op, **operands)``.
    """
    matrices = [_Matrix(emit, muon, step) for step in steps]
    stages: list[Callable[[_Matrix], None]] = [_Matrix.momentum, _Matrix.normalize, _Matrix.turn]
    for _ in range(muon.ns_steps):
        stages += [_Matrix.square, _Matrix.polynomial, _Matrix.product]
    for stage in (*stages, _Matrix.turn, _Matrix.update):
        for matrix in matrices:
            stage(matrix)


class _Matrix:
    """The matrix X of one weight on its way through the stages.

    It is turned so that it is tall: X'X is the smaller of the two squares then.
    """

    def __init__(self, emit: Callable[..., None], muon: Muon, step: MuonStep) -> None:
        self.emit, self.muon, self.step = emit, muon, step
        self.rows, self.columns = step.shape
        self.wide = self.rows < self.columns
        n_bytes = max(_bytes(*step.shape), _bytes(*reversed(step.shape)))
        side = n_blocks(min(step.shape)) * BLOCK
        self.x, self.other = (Buffers.raw(f"{step.name}/{x}", n_bytes) for x in "xy")
        self.xx, self.p = (Buffers.raw(f"{step.name}/{x}", _bytes(side, side)) for x in ("xx", "p"))
        # one for each strip of a block, at most
        self.squares = Buffers.raw(
            f"{step.name}/squares", 8 * n_blocks(self.columns) * n_blocks(self.rows), "f8"
        )
        self.side = side

    @property
    def shape(self) -> dict[str, int]:
        return {"rows": self.rows, "columns": self.columns}

    def momentum(self) -> None:
        self.emit(
            "muon_momentum", gradient=self.step.gradient, momentum=self.step.momentum, x=self.x,
            squares=self.squares, **self.shape, scalar=MUON_SCALARS, nesterov=self.muon.nesterov,
        )  # fmt: skip

    def normalize(self) -> None:
        self.emit("muon_normalize", squares=self.squares, x=self.x, **self.shape, epsilon=_EPSILON)

    def turn(self) -> None:
        if self.wide:
            self.emit("transpose_matrix", x=self.x, y=self.other, **self.shape)
            self.x, self.other = self.other, self.x
            self.rows, self.columns = self.columns, self.rows

    def square(self) -> None:
        self.emit("gram", x=self.x, y=self.xx, **self.shape, square=1.0)

    def polynomial(self) -> None:
        """p = a I + b X'X + c (X'X)^2, so that X p is the next X."""
        self.emit(
            "gram", x=self.xx, y=self.p, rows=self.side, columns=self.columns,
            constant=self.muon.muon_a, linear=self.muon.muon_b, square=self.muon.muon_c,
        )  # fmt: skip

    def product(self) -> None:
        self.emit("matrix_product", x=self.x, p=self.p, y=self.other, **self.shape)
        self.x, self.other = self.other, self.x

    def update(self) -> None:
        scale = 1.0
        if self.muon.rms_rate is not None:
            scale = self.muon.rms_rate * sqrt(max(self.step.shape))
        self.emit(
            "muon_update", x=self.x, w=self.step.w, **self.shape, scalar=MUON_SCALARS, scale=scale
        )


def _bytes(rows: int, columns: int) -> int:
    blocks, lines, block = packed_shape((rows, columns))
    return 4 * blocks * lines * block
