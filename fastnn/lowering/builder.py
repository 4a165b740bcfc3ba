"""A program in the making: what the nodes add their ops to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fastnn.kernels.dense import PANEL
from fastnn.kernels.layout import BLOCK, aligned_zeros
from fastnn.lowering.program import Argument, Buffer, Buffers, Op, make_op
from fastnn.lowering.proof import ONE, Proof, units
from fastnn.lowering.values import Trace, Value
from fastnn.optimizers.muon import Muon
from fastnn.variables import Variable

if TYPE_CHECKING:
    from fastnn.lowering.observation import Observation


@dataclass
class Updates:
    """The optimizer as lowering sees it.

    Attributes:
        kernels: The kernel of each variable.
        slots: The slots of each variable.
        averages: The moving average of each variable, if such are kept.
        halts: A step stops before its updates if a gradient is not finite.
        clipnorm, clipvalue, global_clipnorm, adaptive_clip: As an optimizer takes them; 0 for none.
        apply: Update the weights; else only store the gradients.
        muon: The optimizer, if it has weights of the kernel "muon".
    """

    kernels: Mapping[Variable, str]
    slots: Mapping[Variable, Sequence[NDArray[np.float32]]]
    averages: Mapping[Variable, NDArray[np.float32]] = field(default_factory=dict)
    ema_momentum: float = 0.0
    overwrite_every: int = 0
    halts: bool = False
    clipnorm: float = 0.0
    clipvalue: float = 0.0
    global_clipnorm: float = 0.0
    adaptive_clip: float = 0.0
    apply: bool = True
    muon: Muon | None = None


@dataclass
class Gradient:
    """d(loss) / d(value); once ``through`` the activation that made the value, / d(its input)."""

    buffer: Buffer
    through: bool = False


Operands = dict[str, "Buffer | float | None"]
"""Operands of an op, by name."""


@dataclass(eq=False)
class WeightProduct(ABC):
    """The gradient of a kernel, and of the bias that goes with it, still to be computed.

    x, dz: What it is the product of.
    """

    kernel: Variable
    bias: Variable | None
    x: Value
    dz: Buffer

    @property
    def is_of_factors(self) -> bool:
        """Whether it is the matrix product x' dz and nothing else."""
        return False

    @abstractmethod
    def tiles(self, builder: Builder, role: str) -> int:
        """How many tiles the gradient of the kernel or the bias comes in."""

    def produce(self, builder: Builder) -> None:  # noqa: B027 -- a product may need none
        """Add the ops that must be done before ``finish``, for which the team waits once for all
        products."""

    @abstractmethod
    def finish(self, builder: Builder, operands: Operands) -> None:
        """Add the op that gives the gradients to the optimizer, or stores them: ``operands``."""


@dataclass
class Builder:
    """Ops, and the buffers that they meet in.

    Attributes:
        updates: To train; None to evaluate or predict.
        sparse: Inputs that come as nonzeros: input number -> nonzeros of the longest row.
        values: Where each value lies, once its node has been lowered.
        nonzeros: Sparse inputs: source, and the columns that the weight gradient reads.
        pixels: Pictures of few channels whose numbers lie as the data set has them: floats from
            row to row.
        gradients: Those of values, as far as they have been summed up.
        transposed: Gradients that also lie in blocks of 16 rows, and where.
        products: Weight gradients to be computed when all input gradients are there.
        stored: Gradients that are stored as a whole.
        after_guard: What else to do once it is known that all gradients are finite.
        proof: That gradients which are not stored are finite.
        sums: Names of what a step adds to.
    """

    trace: Trace
    capacity: int
    updates: Updates | None
    sparse: Mapping[int, int]
    stores: bool = False
    """All weight gradients are stored before the first update; ..."""
    norms_suffice: bool = False
    """... but not those of products, as far as only their norms must be known."""
    ops: list[Op] = field(default_factory=list)
    first: list[Op] = field(default_factory=list)
    """Ops that come before ``ops``."""
    sums: list[str] = field(default_factory=list)
    values: dict[Value, Buffer] = field(default_factory=dict)
    nonzeros: dict[Value, tuple[int, list[Buffer]]] = field(default_factory=dict)
    pixels: dict[Value, int] = field(default_factory=dict)
    gradients: dict[Value, Gradient] = field(default_factory=dict)
    transposed: dict[Buffer, Buffer] = field(default_factory=dict)
    products: list[WeightProduct] = field(default_factory=list)
    stored: dict[Variable, Buffer] = field(default_factory=dict)
    after_guard: list[Callable[[], None]] = field(default_factory=list)
    row_values: list[dict[str, Buffer | float | None]] = field(default_factory=list)
    """What to sum over rows: the operands of ``sum_rows``."""
    unpacked: dict[Value | Variable, Buffer] = field(default_factory=dict)
    """Copies in C order, for functions in Python."""
    failed: Buffer | None = None
    """Where functions in Python may fail: what they write and the guard of the updates reads."""

    observation: Observation | None = None
    """Statistics, if they are to be taken."""

    def __post_init__(self) -> None:
        self.buffers = Buffers(self.capacity)
        self.of_variable: dict[Variable, Buffer] = {}
        self.proof: Proof | None = None
        if self.updates is not None and self.updates.halts and not self.stores:
            values = [v for node in self.trace.nodes for v in (node.output, *node.inputs)]
            room = sum(
                (3 + -(-value.features // PANEL)) * units(self.capacity, value.positions)
                for value in values
            )
            self.proof = Proof(self.capacity, room)
        self.proved: set[Variable] = set()
        """Weights whose stored gradients nobody need look at."""
        self.norms: NDArray[np.float64] = np.zeros(0)
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
        if variable not in self.of_variable:
            self.of_variable[variable] = Buffers.of_array(variable.path, variable.storage)
        return self.of_variable[variable]

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

    def contribution(self, value: Value, buffer: Buffer | None = None) -> tuple[Buffer, bool]:
        """Where a gradient of ``value`` goes, and whether it is added to what is there."""
        if value in self.gradients:
            into = self.gradients[value].buffer
            if self.proof is not None:
                self.proof.forget(into)
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

    def store_gradient(self, variable: Variable) -> tuple[Buffer, bool]:
        """Where the gradient of a small weight goes, and whether it is added to what is there.

        It is packed as the weight is; its padding must stay 0, since the update reads it.
        """
        if variable in self.stored:
            return self.stored[variable], True
        # Not in the arena: nobody writes the padding.
        gradient = aligned_zeros(variable.storage.shape)
        self.stored[variable] = Buffers.of_array(f"d_{variable.path}", gradient)
        return self.stored[variable], False

    def prove_sums(self, variables: Iterable[Variable], dy: Buffer, features: int) -> None:
        """Have it proved that the gradients of these weights are finite: sums over rows of dy, or
        of its products with numbers that are about 1."""
        if self.proof is not None:
            self.proved.update(variables)
            self.prove(None, dy, features)

    def prove(self, x: Value | None, dz: Buffer, features: int) -> None:
        """Have it proved that x' dz, or the sum of dz over rows, is finite, before any update."""
        if self.proof is None:
            return
        of_x = ONE if x is None else self.proof.entry(x)
        if of_x is None:
            assert x is not None
            room = self.proof.room(x, x.positions)
            if x in self.nonzeros:
                self.emit("magnitude_sparse", magnitudes=room, source=self.nonzeros[x][0])
            else:
                self.emit(
                    "magnitude", x=self.values[x], magnitudes=room, features=x.features,
                    row=self.pixels.get(x, 0),
                )  # fmt: skip
            of_x = self.proof.entry(x)
        if self.proof.entry(dz) is None:
            room = self.proof.room(dz, dz.positions)
            self.emit("magnitude", x=dz, magnitudes=room, features=features)
        of_dz = self.proof.entry(dz)
        assert of_x is not None and of_dz is not None
        self.proof.product(of_x, of_dz)

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
        y, accumulate = self.store_gradient(variable)
        self.emit("pack", x=x, y=y, accumulate=accumulate, **_of_weight(variable))

    def pack(self, x: Buffer, y: Buffer, features: int, accumulate: bool = False) -> None:
        """y [+]= x, which is (rows, features) in C order."""
        self.emit("pack", x=x, y=y, features=features, by_rows=True, accumulate=accumulate)


def _of_weight(variable: Variable) -> dict[str, int]:
    """A weight's settings for ``pack`` and ``unpack``."""
    rows, features = variable.matrix_shape
    return {
        "rows": rows,
        "features": features,
        "stride": variable.storage.shape[1] * BLOCK,
    }
