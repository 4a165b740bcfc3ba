"""A program in the making: what the nodes add their ops to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fastnn.kernels.layout import BLOCK, aligned_zeros
from fastnn.lowering.graph import Trace, Value
from fastnn.lowering.program import Argument, Buffer, Buffers, Op, make_op
from fastnn.variables import Variable


@dataclass
class Updates:
    """The optimizer as lowering sees it: its kernel, and the slots of each variable."""

    kernel: str
    slots: Mapping[Variable, Sequence[NDArray[np.float32]]]


@dataclass
class Gradient:
    """d(loss) / d(value); once ``through`` the activation that made the value, / d(its input)."""

    buffer: Buffer
    through: bool = False


@dataclass
class WeightProduct:
    """A Dense layer's weight gradient, which is still to be computed: x' dz."""

    kernel: Variable
    bias: Variable | None
    x: Value
    dz: Buffer


@dataclass
class Builder:
    """Ops, and the buffers that they meet in.

    Attributes:
        updates: To train; None to evaluate or predict.
        sparse: Inputs that come as nonzeros: input number -> nonzeros of the longest row.
        values: Where each value lies, once its node has been lowered.
        nonzeros: Sparse inputs: source, and the columns that the weight gradient reads.
        gradients: Of values, as far as they have been summed up.
        products: Weight gradients to be computed when all input gradients are there.
        sums: Names of what a step adds to.
    """

    trace: Trace
    capacity: int
    updates: Updates | None
    sparse: Mapping[int, int]
    ops: list[Op] = field(default_factory=list)
    sums: list[str] = field(default_factory=list)
    values: dict[Value, Buffer] = field(default_factory=dict)
    nonzeros: dict[Value, tuple[int, list[Buffer]]] = field(default_factory=dict)
    gradients: dict[Value, Gradient] = field(default_factory=dict)
    products: list[WeightProduct] = field(default_factory=list)
    row_values: list[tuple[Buffer, bool]] = field(default_factory=list)
    """What to sum over rows, and whether the sum is the batch's value that each row counts once."""
    unpacked: dict[Value | Variable, Buffer] = field(default_factory=dict)
    """Copies in C order, for functions in Python."""
    stored: dict[Variable, Buffer] = field(default_factory=dict)
    """Gradients that something else than a product makes."""
    failed: Buffer | None = None
    """Where functions in Python may fail: what they write and the guard of the updates reads."""

    def __post_init__(self) -> None:
        self.buffers = Buffers(self.capacity)
        self.of_variable: dict[Variable, Buffer] = {}
        self.needs_gradient: set[Value] = set()
        for node in self.trace.nodes:
            if any(v.trainable for v in node.variables()) or any(
                value in self.needs_gradient for value in node.inputs
            ):
                self.needs_gradient.add(node.output)

    @property
    def training(self) -> bool:
        """Whether the program trains."""
        return self.updates is not None

    def emit(self, name: str, **operands: Buffer | float | None) -> None:
        """Add an op."""
        self.ops.append(make_op(name, **operands))

    def weight(self, variable: Variable | None) -> Buffer | None:
        """The variable's own storage."""
        if variable is None:
            return None
        if variable not in self.of_variable:
            self.of_variable[variable] = Buffers.of_array(variable.path, variable.storage)
        return self.of_variable[variable]

    def activation(self, value: Value) -> Buffer:
        """Room for a value, which from now on lies there."""
        self.values[value] = self.buffers.activation(value.name, value.features)
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

    def contribution(self, value: Value, buffer: Buffer | None = None) -> tuple[Buffer, bool]:
        """Where a gradient of ``value`` goes, and whether it is added to what is there."""
        if value in self.gradients:
            return self.gradients[value].buffer, True
        buffer = buffer or self.buffers.activation(f"d_{value.name}", value.features)
        self.gradients[value] = Gradient(buffer)
        return buffer, False

    def store_gradient(self, variable: Variable) -> tuple[Buffer, bool]:
        """Where a gradient of ``variable`` goes, packed as its storage, and whether it is added to
        what is there."""
        known = variable in self.stored
        if not known:
            # not in the arena: the update reads the padding, which nobody writes
            self.stored[variable] = Buffers.of_array(
                f"d_{variable.path}", aligned_zeros(variable.storage.shape)
            )
        return self.stored[variable], known

    # Functions in Python

    def call(self, function: Callable[..., None], *arguments: Argument) -> None:
        """Call a function with arrays: of the batch's rows, or whole."""
        if self.failed is None:
            self.failed = Buffers.raw("failed", 4)
        op = make_op("call", failed=self.failed)
        op.function, op.arguments = function, arguments
        self.ops.append(op)

    def unpack(self, x: Buffer, name: str, features: int) -> Buffer:
        """A copy (rows, features) in C order."""
        y = self.buffers.rows(f"{name}/rows", features)
        self.emit("unpack", x=x, y=y, features=features, by_rows=True)
        return y

    def unpack_value(self, value: Value) -> Buffer:
        """A copy (rows, features) in C order, made once."""
        if value not in self.unpacked:
            self.unpacked[value] = self.unpack(self.values[value], value.name, value.features)
        return self.unpacked[value]

    def unpack_weight(self, variable: Variable) -> Buffer:
        """The variable in C order: a copy made once; a vector lies so anyway."""
        weight = self.weight(variable)
        assert weight is not None
        if len(variable.shape) == 1:
            return weight
        if variable not in self.unpacked:
            y = Buffers.raw(f"{variable.path}/rows", 4 * variable.size)
            self.emit("unpack", x=weight, y=y, **_of_weight(variable))
            self.unpacked[variable] = y
        return self.unpacked[variable]

    def pack_gradient(self, x: Buffer, variable: Variable) -> None:
        """Store the gradient of ``variable``, which ``x`` holds in C order."""
        y, accumulate = self.store_gradient(variable)
        self.emit("pack", x=x, y=y, accumulate=accumulate, **_of_weight(variable))

    def pack(self, x: Buffer, y: Buffer, features: int, accumulate: bool = False) -> None:
        """y [+]= x, which is (rows, features) in C order."""
        self.emit("pack", x=x, y=y, features=features, by_rows=True, accumulate=accumulate)

    def add_sum(self, name: str, rows: Buffer, times_rows: bool = False) -> None:
        """Have the rows' values summed when the step ends."""
        self.sums.append(name)
        self.row_values.append((rows, times_rows))


def _of_weight(variable: Variable) -> dict[str, int]:
    """A weight's settings for ``pack`` and ``unpack``."""
    return {
        "rows": 1 if len(variable.shape) == 1 else variable.shape[0],
        "features": variable.shape[-1],
        "stride": variable.storage.shape[1] * BLOCK,
    }
