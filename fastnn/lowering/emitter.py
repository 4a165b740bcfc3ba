"""Ops of a program in the making, and where what they touch lies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fastnn.lowering.program import Buffer, Buffers, Op, make_op
from fastnn.lowering.values import Trace, Value
from fastnn.variables import Variable


@dataclass
class Emitter:
    """What every op needs, of the forward pass as of the gradients.

    Attributes:
        sparse: Inputs that come as nonzeros: input number -> nonzeros of the longest row.
        ops: So far.
        first: Those that come before ``ops``.
        values: Where each value lies, once its node has been lowered.
        nonzeros: Sparse inputs: source, and the columns that the weight gradient reads.
        pixels: Pictures of few channels whose numbers lie as the data set has them: floats from
            row to row.
        transposed: What also lies in blocks of 16 rows, and where.
    """

    trace: Trace
    capacity: int
    sparse: Mapping[int, int]
    ops: list[Op] = field(default_factory=list, init=False)
    first: list[Op] = field(default_factory=list, init=False)
    values: dict[Value, Buffer] = field(default_factory=dict, init=False)
    nonzeros: dict[Value, tuple[int, list[Buffer]]] = field(default_factory=dict, init=False)
    pixels: dict[Value, int] = field(default_factory=dict, init=False)
    transposed: dict[Buffer, Buffer] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.buffers = Buffers(self.capacity)
        self._of_variable: dict[Variable, Buffer] = {}

    def emit(self, name: str, **operands: Buffer | float | None) -> None:
        """Add an op."""
        self.ops.append(make_op(name, **operands))

    def emit_first(self, name: str, **operands: Buffer | float | None) -> None:
        """Add an op to those that a step begins with: what reads weights alone, so that the team
        waits once for all of them, and in no band."""
        self.first.append(make_op(name, **operands))

    def weight(self, variable: Variable | None) -> Buffer | None:
        """The variable's own storage."""
        if variable is None:
            return None
        if variable not in self._of_variable:
            self._of_variable[variable] = Buffers.of_array(variable.path, variable.storage)
        return self._of_variable[variable]

    def activation(self, value: Value) -> Buffer:
        """Room for a value, which from now on lies there."""
        self.values[value] = self.buffers.of_value(value.name, value)
        return self.values[value]

    def affine(
        self,
        x: Buffer,
        y: Buffer,
        features: int,
        scale: float = 1.0,
        offset: float = 0.0,
        accumulate: bool = False,
    ) -> None:
        """y [+]= scale * x + offset"""
        self.emit(
            "affine", x=x, y=y, features=features, scale=scale, offset=offset, accumulate=accumulate
        )
