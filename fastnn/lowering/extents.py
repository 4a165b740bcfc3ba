"""In which lines a value lies, and in which order: what layers ask for before they read it.

A value keeps the extent that its maker gave it. It has its numbers in C order whatever the extent,
so a layer that treats all numbers alike takes it as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from fastnn.layers.base import Layer
from fastnn.lowering.nodes import PermuteNode, RegroupNode
from fastnn.lowering.values import Extent, Node, Trace, Value

Extents = tuple[int, ...]
"""A shape without the batch."""


def as_matrix(shape: Extents) -> Extent:
    """All numbers of a row in one line."""
    return Extent(1, prod(shape))


def placed(shape: Extents) -> Extent:
    """The last axis are the features, all before it the positions."""
    *positions, features = shape or (1,)
    return Extent(prod(positions), features)


def from_axis(shape: Extents, axis: int) -> Extent:
    """The axes before this one are the positions, it and all after it the features."""
    return Extent(prod(shape[:axis]), prod(shape[axis:]))


def with_extent(trace: Trace, layer: Layer | Node, value: Value, extent: Extent) -> Value:
    """The value in lines of this extent, which has as many numbers, for ``layer`` to read."""
    if value.extent == extent:
        return value
    for reader in value.readers:
        if isinstance(reader, RegroupNode) and reader.output.extent == extent:
            return reader.output
    return trace.add(RegroupNode, layer, [value], extent)


def alike(trace: Trace, layer: Layer, values: Sequence[Value], shape: Extents) -> list[Value]:
    """The values, which all have this shape, with one extent."""
    extents = {value.extent for value in values}
    extent = extents.pop() if len(extents) == 1 else placed(shape)
    return [with_extent(trace, layer, value, extent) for value in values]


def permuted(
    trace: Trace, layer: Layer, value: Value, shape: Extents, order: Sequence[int]
) -> tuple[Value, Extents]:
    """The value, which has this shape, with its axes in another order, as ``numpy.transpose`` has
    it; and the shape that it has then."""
    made = tuple(shape[axis] for axis in order)
    sources = np.arange(prod(shape)).reshape(shape).transpose(order).ravel()
    if (np.diff(sources) == 1).all():  # only axes of extent 1 move
        return value, made
    return trace.add(PermuteNode, layer, [value], placed(made), sources=sources), made
