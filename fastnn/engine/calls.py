"""A function of the user's, bound to the memory of one executable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Memory(Protocol):
    """Memory as an array in C order.

    Attributes:
        buffer: With an ``array`` of its own, or an ``offset`` in the arena.
        by_rows: Whether ``shape`` is of one row: the argument has as many rows as the batch.
        writes: Whether the function writes it.
    """

    buffer: Any
    shape: tuple[int, ...]
    dtype: type
    by_rows: bool
    writes: bool


class BoundFunction:
    """What the engine calls with a batch's number of rows. Nothing is copied."""

    __slots__ = ("_arguments", "_function")

    def __init__(
        self,
        function: Callable[..., None],
        arguments: Sequence[Memory],
        arena: NDArray[np.uint8],
        capacity: int,
    ) -> None:
        self._function = function
        self._arguments = [(view(each, arena, capacity), each.by_rows) for each in arguments]

    def __call__(self, rows: int) -> None:
        self._function(*(view[:rows] if by_rows else view for view, by_rows in self._arguments))


def view(argument: Memory, arena: NDArray[np.uint8], capacity: int) -> NDArray[Any]:
    """The memory as an array."""
    buffer = argument.buffer
    if buffer.array is None:
        memory = arena[buffer.offset :]
    else:
        memory = buffer.array.reshape(-1).view(np.uint8)
    shape = (capacity, *argument.shape) if argument.by_rows else argument.shape
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(argument.dtype).itemsize
    view: NDArray[Any] = memory[:size].view(argument.dtype).reshape(shape)
    view.flags.writeable = argument.writes
    return view
