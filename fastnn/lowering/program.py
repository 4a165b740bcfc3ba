"""A program: a flat list of ops over one arena, which can be printed and read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastnn.engine.processes import Processes
from fastnn.kernels.layout import ALIGNMENT, BLOCK, activation_rows, n_blocks
from fastnn.lowering.ops import EXAMPLES, LINES, OPS, ROWS, TASKS, OpSpec
from fastnn.lowering.record import Record

if TYPE_CHECKING:
    from fastnn.lowering.values import Value


@dataclass(eq=False)
class Buffer:
    """Memory of an op's operand: a place in the arena, or an array that outlives the program.

    dtype: Of its elements, as in ``ops.Tensor``.
    positions, stride: Where the batch lies in blocks of 16 features: lines of each row, floats
        from block to block. The stride is 0 for all other memory.
    passing: Of an array: no step needs what another one has written.
    """

    name: str
    n_bytes: int
    array: NDArray[Any] | None = None
    dtype: str = "f4"
    offset: int = -1
    positions: int = 1
    stride: int = 0
    passing: bool = False

    def span(self) -> tuple[bool, int, int]:
        """(in the arena, first byte, byte after the last)."""
        if self.array is None:
            return True, self.offset, self.offset + self.n_bytes
        first = self.array.ctypes.data
        return False, first, first + self.array.nbytes


Operands = dict[str, Buffer | float | None]
"""Operands of an op, by name."""


@dataclass
class Argument:
    """An argument of a function: memory as an array in C order, of ``shape``; or with as many rows
    of this shape as the batch has."""

    buffer: Buffer
    shape: tuple[int, ...]
    writes: bool = False
    by_rows: bool = True
    dtype: type = np.float32


@dataclass
class Op:
    """An op with its operands, in the order of its row in the table.

    function: What a ``call`` calls, in Python, or whom an ``exchange`` meets; ``arguments``: with
        what.
    """

    name: str
    tensors: list[Buffer | None]
    integers: list[int]
    numbers: list[float]
    positions: int = 1
    """Lines that each row of the batch has in the tensors; where an op takes ``segments`` of them
    for one, what is left of them."""
    wait: bool = False
    """The whole team waits for its last member before this op."""
    band: int = 0
    """Ops from this one on that are gone through together, ..."""
    band_rows: int = 1
    """... so many rows of the batch at a time."""
    function: Callable[..., None] | Processes | None = None
    arguments: Sequence[Argument] = ()

    @property
    def spec(self) -> OpSpec:
        return OPS[self.name]

    @property
    def observing(self) -> bool:
        return self.spec.observing

    @property
    def unit(self) -> int:
        """Rows of the batch that a member takes together, always the same one; 0 if it takes other
        shares."""
        shared = self.spec.shared
        if (
            "by_rows" in self.spec.integers
            and not self.integers[self.spec.integers.index("by_rows")]
        ):
            shared = TASKS
        if shared == EXAMPLES or (shared == ROWS and self.positions > 1):
            return 1
        return BLOCK if shared in (ROWS, LINES) and self.positions == 1 else 0

    def accesses(self) -> Iterator[tuple[Buffer, bool]]:
        """(buffer, whether it is written) for each tensor."""
        for buffer, tensor in zip(self.tensors, self.spec.tensors.values(), strict=True):
            if buffer is not None:
                yield buffer, tensor.writes
        for argument in self.arguments:
            yield argument.buffer, argument.writes

    def dtypes(self) -> Iterator[tuple[Buffer, str]]:
        """(buffer, the type that its elements must have) for each tensor that has one type."""
        for buffer, tensor in zip(self.tensors, self.spec.tensors.values(), strict=True):
            if buffer is not None and tensor.dtype is not None:
                yield buffer, tensor.dtype
        for argument in self.arguments:
            yield argument.buffer, _code(np.dtype(argument.dtype))

    def __str__(self) -> str:
        operands = [
            f"{name}={buffer.name}"
            for name, buffer in zip(self.spec.tensors, self.tensors, strict=True)
            if buffer is not None
        ]
        operands += [argument.buffer.name for argument in self.arguments]
        settings = [
            f"{name}={value:g}"
            for names, values in (
                (self.spec.integers, self.integers),
                (self.spec.numbers, self.numbers),
            )
            for name, value in zip(names, values, strict=True)
        ]
        return f"{'wait' if self.wait else '    '} {self.name:30s} {' '.join(operands + settings)}"


def make_op(name: str, **operands: Buffer | float | None) -> Op:
    """An op by the names of its row; tensors that are left out are None, settings 0, segments 1."""
    spec = OPS[name]
    known = {*spec.tensors, *spec.integers, *spec.numbers}
    if not operands.keys() <= known:
        raise ValueError(f"op {name} has no operand {sorted(operands.keys() - known)}")
    tensors: list[Buffer | None] = [operands.get(key) for key in spec.tensors]  # type: ignore[misc]
    batch = [buffer.positions for buffer in tensors if buffer is not None and buffer.stride]
    settings = {"segments": 1, **operands}
    return Op(
        name,
        tensors,
        [int(settings.get(key, 0)) for key in spec.integers],  # type: ignore[arg-type]
        [float(settings.get(key, 0.0)) for key in spec.numbers],  # type: ignore[arg-type]
        batch[0] // int(settings["segments"]) if batch else 1,  # type: ignore[arg-type]
    )


@dataclass
class Program:
    """What the engine runs for each batch of at most ``capacity`` rows.

    sums: names of what each step adds to, in order: losses and metrics, summed over rows.
    norms: of each stored gradient, squared, as the last step left them.
    gradients: those that are stored, packed, by the path of the weight; in the order of norms.
    record: the columns of what it writes down of a step whose statistics are taken.
    leavable: for each op, whether a step may be left there, see ``places_to_leave``.
    """

    ops: list[Op]
    capacity: int
    sums: list[str] = field(default_factory=list)
    arena_bytes: int = 0
    norms: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    gradients: dict[str, NDArray[Any]] = field(default_factory=dict)
    record: Record = field(default_factory=Record)
    leavable: list[bool] = field(default_factory=list)

    def __str__(self) -> str:
        head = f"program for {self.capacity} rows, arena of {self.arena_bytes / 2**20:.2f} MiB"
        return "\n".join([head, *map(str, self.ops)])


class Buffers:
    """Makes the buffers of a program for ``capacity`` rows."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity

    def activation(self, name: str, features: int, positions: int = 1) -> Buffer:
        """(rows * positions, features) in blocks of 16 features."""
        stride = activation_rows(self.capacity * positions) * BLOCK
        buffer = self.raw(name, 4 * n_blocks(features) * stride)
        buffer.positions, buffer.stride = positions, stride
        return buffer

    def pixels(self, name: str, row: int, positions: int) -> Buffer:
        """(rows, row) as they lie, a whole block from row to row; a vector beyond the end may be
        read."""
        buffer = self.raw(name, 4 * (self.capacity * row + BLOCK))
        buffer.positions, buffer.stride = positions, BLOCK
        return buffer

    def of_value(self, name: str, value: Value) -> Buffer:
        """Room for the value, or for what has its shape."""
        return self.activation(name, value.features, value.positions)

    def transposed(self, name: str, value: Value) -> Buffer:
        """Room for the value in blocks of 16 lines."""
        blocks = n_blocks(self.capacity * value.positions) * n_blocks(value.features)
        return self.raw(name, 4 * blocks * BLOCK * BLOCK)

    def values(self, name: str, lines: int = 1, dtype: str = "f4") -> Buffer:
        """(rows, lines) of 4 bytes each."""
        return self.raw(name, 4 * self.capacity * lines, dtype)

    def rows(self, name: str, value: Value) -> Buffer:
        """Room for the value in C order, for functions in Python."""
        return self.raw(name, 4 * self.capacity * value.positions * value.features)

    @staticmethod
    def raw(name: str, n_bytes: int, dtype: str = "f4") -> Buffer:
        return Buffer(name, -(-n_bytes // ALIGNMENT) * ALIGNMENT, dtype=dtype)

    @staticmethod
    def of_array(name: str, array: NDArray[Any], *, passing: bool = False) -> Buffer:
        return Buffer(name, array.nbytes, array, _code(array.dtype), passing=passing)


def _code(dtype: np.dtype[Any]) -> str:
    return f"{dtype.kind}{dtype.itemsize}"


def places_to_leave(ops: Sequence[Op]) -> list[bool]:
    """For each op, whether the team may leave the step there and meet at the next wait, and nothing
    has changed but what the step itself needs: no weight, nothing that the optimizer keeps, no sum.
    Nor after the exchange with other processes: they don't leave the step.

    Of steps whose statistics are taken it does not hold.
    """
    lasting = len(ops)
    for number, op in enumerate(ops):
        kept = [buffer for buffer, writes in op.accesses() if writes and buffer.array is not None]
        adds = op.spec.closing and not kept  # to the sums, which are no operand
        if adds or op.spec.meets or any(not buffer.passing for buffer in kept):
            lasting = number
            break
    found, wait = [], len(ops)
    for number in range(len(ops) - 1, -1, -1):
        found.append(wait <= lasting)
        if ops[number].wait and not ops[number].observing:
            wait = number
    return found[::-1]
