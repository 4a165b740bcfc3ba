"""A program in the making: what the nodes add their ops to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from fastnn.engine.processes import Processes
from fastnn.kernels.layout import BLOCK
from fastnn.lowering.emitter import Emitter
from fastnn.lowering.gradients.need import Need
from fastnn.lowering.gradients.settings import Updates
from fastnn.lowering.gradients.weights import WeightGradients
from fastnn.lowering.program import Argument, Buffer, Buffers, make_op
from fastnn.lowering.values import Value
from fastnn.variables import Variable


@dataclass
class Gradient:
    """d(loss) / d(value); once ``through`` the activation that made the value, / d(its input)."""

    buffer: Buffer
    through: bool = False


@dataclass
class Builder(Emitter):
    """Ops, the buffers that they meet in, and gradients.

    Attributes:
        updates: To train; None to evaluate or predict.
        store: Store every weight gradient before the first update.
        processes: Of which each does its part of every batch, if there are others.
        averaged: Sums over the batch, beside gradients, of which processes take the mean.
        weight_gradients: Those of weights; backward adds to them, the stages take them.
        gradients: Those of values, as far as they have been summed up.
        after_guard: What else to do once it is known that all gradients are finite.
        row_values: What to sum over rows: the operands of ``sum_rows``.
        sums: Names of what a step adds to.
        summed_up: What all processes together add to them, once the step is sure.
        unpacked: Copies in C order, for functions in Python.
        failed: Where functions in Python may fail: what they write and the guard of the updates
            reads.
    """

    updates: Updates | None = None
    store: bool = False
    processes: Processes | None = None
    gradients: dict[Value, Gradient] = field(default_factory=dict, init=False)
    after_guard: list[Callable[[], None]] = field(default_factory=list, init=False)
    row_values: list[dict[str, Buffer | float | None]] = field(default_factory=list, init=False)
    sums: list[str] = field(default_factory=list, init=False)
    summed_up: Buffer | None = field(default=None, init=False)
    averaged: list[Buffer] = field(default_factory=list, init=False)
    unpacked: dict[Value | Variable, Buffer] = field(default_factory=dict, init=False)
    failed: Buffer | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        need, halts = Need.NOTHING, False
        if self.updates is not None:
            trained = [v for node in self.trace.nodes for v in node.variables() if v.trainable]
            stores = self.store or self.processes is not None
            need = max(self.updates.need(trained), Need.WHOLE if stores else Need.NOTHING)
            halts = self.updates.halts
        self.weight_gradients = WeightGradients(self, need, halts, self.processes is not None)
        self.penalties: Buffer | None = None
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

    def contribution(self, value: Value, buffer: Buffer | None = None) -> tuple[Buffer, bool]:
        """Where a gradient of ``value`` goes, and whether it is added to what is there."""
        if value in self.gradients:
            into = self.gradients[value].buffer
            if self.weight_gradients.proof is not None:
                self.weight_gradients.proof.forget(into)
            return into, True
        buffer = buffer or self.buffers.of_value(f"d_{value.name}", value)
        self.gradients[value] = Gradient(buffer)
        return buffer, False

    def pass_on(self, value: Value, gradient: Buffer) -> None:
        """``gradient``, of what was made of ``value``, is one of ``value`` as well."""
        if len(value.readers) == 1 and value not in self.gradients:
            self.gradients[value] = Gradient(gradient)
            return
        dx, accumulate = self.contribution(value)
        self.affine(gradient, dx, value.features, accumulate=accumulate)

    def add_sum(self, name: str, rows: Buffer, lines: int = 1, times_rows: bool = False) -> None:
        """Have the rows' values, the mean over so many lines, summed when the step ends; several
        may go by one name.

        times_rows: The sum is the batch's value, which each row counts once.
        """
        if name not in self.sums:
            self.sums.append(name)
        number = self.sums.index(name)
        self.row_values.append(
            {"values": rows, "sum": number, "times_rows": times_rows, "lines": lines}
        )

    # Functions in Python

    def call(self, function: Callable[..., None], *arguments: Argument) -> None:
        """Call a function with arrays: of the batch's rows, or whole."""
        if self.failed is None:
            self.failed = Buffers.raw("failed", 4)
        op = make_op("call", failed=self.failed)
        op.function, op.arguments = function, arguments
        self.ops.append(op)

    def unpack(self, x: Buffer, value: Value) -> Buffer:
        """A copy in C order of ``x``, which has the value's shape."""
        y = self.buffers.rows(f"{x.name}/rows", value)
        self.emit("unpack", x=x, y=y, features=value.features, by_rows=True)
        return y

    def unpack_value(self, value: Value) -> Buffer:
        """A copy in C order, made once."""
        if value not in self.unpacked:
            self.unpacked[value] = self.unpack(self.values[value], value)
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
        y, accumulate = self.weight_gradients.store(variable)
        self.emit("pack", x=x, y=y, accumulate=accumulate, **_of_weight(variable))

    def pack(
        self, x: Buffer, y: Buffer, features: int, accumulate: bool = False, mean: bool = False
    ) -> None:
        """y [+]= x, which is (rows, features) in C order.

        mean: x is the gradient of a mean over the rows that this process has of the batch.
        """
        self.emit(
            "pack", x=x, y=y, features=features, by_rows=True, accumulate=accumulate, mean=mean
        )


def _of_weight(variable: Variable) -> dict[str, int]:
    """A weight's settings for ``pack`` and ``unpack``."""
    rows, features = variable.matrix_shape
    return {
        "rows": rows,
        "features": features,
        "stride": variable.storage.shape[1] * BLOCK,
    }
