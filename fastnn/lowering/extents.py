"""In which lines a value lies: what layers ask for before they read it.

A value keeps the extent that its maker gave it. It has its numbers in C order whatever the extent,
so a layer that treats all numbers alike takes it as it is.
"""

from __future__ import annotations

from math import prod

from fastnn.layers.base import Layer
from fastnn.lowering.graph import Extent, Trace, Value
from fastnn.lowering.nodes import RegroupNode

Extents = tuple[int, ...]
"""A shape without the batch."""


def as_matrix(shape: Extents) -> Extent:
    """All numbers of a row in one line."""
    return Extent(1, prod(shape))


def placed(shape: Extents) -> Extent:
    """The last axis are the features, all before it the positions."""
    return Extent(prod(shape[:-1]), shape[-1])


def with_extent(trace: Trace, layer: Layer, value: Value, extent: Extent) -> Value:
    """The value in lines of this extent, which has as many numbers, for ``layer`` to read."""
    if value.extent == extent:
        return value
    for reader in value.readers:
        if isinstance(reader, RegroupNode) and reader.output.extent == extent:
            return reader.output
    return trace.add(RegroupNode, layer, [value], extent)
