"""How a tensor lies in the exported graph.

fastnn has channels last, most of ONNX's operators have them first. A value may lie with its axes in
another order than in the model; a layer that treats all numbers alike takes it as it lies, the
others ask for the order that they need. So a net of convolutions is turned where pictures come in,
and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Extents = tuple[int, ...]
"""A shape without the batch."""


class Element(IntEnum):
    """What a tensor's elements are, by onnx.TensorProto's numbers."""

    FLOAT = 1
    INT64 = 7
    STRING = 8


@dataclass(frozen=True)
class Value:
    """A tensor of the graph.

    Attributes:
        name: Of the tensor in the file.
        shape: In the model.
        order: Axis ``i`` of the tensor, the batch not counted, is axis ``order[i]`` of ``grid``.
        grid: ``shape``; of a flattened value, what was flattened: its numbers are in one line, but
            in the order that ``grid`` would have them.
        deviation: The tensor of standard deviations, if this is the mean of a DropConnect's
            normal distribution and nothing else reads it.
        element: What its elements are.
    """

    name: str
    shape: Extents
    order: tuple[int, ...]
    grid: Extents
    deviation: str | None = None
    element: Element = Element.FLOAT

    @property
    def is_plain(self) -> bool:
        """Whether its numbers lie as in the model."""
        return self.order == tuple(range(len(self.grid)))

    @property
    def is_flattened(self) -> bool:
        """Whether ``shape`` is not ``grid``."""
        return self.shape != self.grid

    @property
    def stored(self) -> Extents:
        """The extents of ``grid`` in the order of the tensor."""
        return tuple(self.grid[axis] for axis in self.order)

    def axis(self, axis: int) -> int:
        """Where in the tensor, which isn't flattened, an axis of ``shape`` is; the batch is 0."""
        return self.order.index(axis) + 1

    def arranged(self, numbers: NDArray[np.float32]) -> NDArray[np.float32]:
        """An array of ``shape`` as the tensor has its numbers."""
        turned = numbers.reshape(self.grid).transpose(self.order)
        return turned.reshape(-1) if self.is_flattened else turned

    def named(self, name: str) -> Value:
        """Another tensor that lies likewise."""
        return replace(self, name=name, deviation=None)


def plain(
    name: str,
    shape: Extents,
    deviation: str | None = None,
    element: Element = Element.FLOAT,
) -> Value:
    """A value that lies as in the model."""
    return Value(name, shape, tuple(range(len(shape))), shape, deviation, element)


def channels_first(rank: int) -> tuple[int, ...]:
    """The order of ONNX's pictures: the last axis, then the others."""
    return (rank - 1, *range(rank - 1))


def lying_first(name: str, shape: Extents) -> Value:
    """A value with its channels first, whose shape in the model is ``shape``."""
    return Value(name, shape, channels_first(len(shape)), shape)
