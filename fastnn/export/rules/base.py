"""What a rule is that turns a layer into operators, and what rules have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import singledispatch
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastnn.export.graph import Graph
from fastnn.export.values import Element, Extents, Value, channels_first, lying_first, plain
from fastnn.layers.base import Layer


@dataclass(frozen=True)
class LayerUse:
    """A layer in its place among the others: what its rule goes by, and adds operators to.

    Attributes:
        inputs: The values that the layer reads, as they lie.
        shape: Of its output in the model, without the batch.
        read_once: Whether one other layer reads the output, and the user doesn't.
    """

    graph: Graph
    layer: Layer
    inputs: list[Value]
    shape: Extents
    read_once: bool

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """The output of a new operator."""
        return self.graph.add(kind, inputs, f"{self.layer.name}/{kind}", **attributes)

    def tensor(self, name: str, values: ArrayLike, dtype: type = np.float32) -> str:
        """The name of a tensor of the layer's."""
        return self.graph.tensor(f"{self.layer.name}/{name}", values, dtype)

    def number(self, value: float) -> str:
        """The name of a tensor that is one number."""
        return self.graph.tensor(f"{np.float32(value)}", value)

    def extents(self, *values: int) -> str:
        """The name of a tensor of int64."""
        return self.graph.extents(*values)

    def reshaped(self, tensor: str, shape: Extents) -> str:
        """The tensor with the extents ``shape`` after the batch."""
        return self.graph.reshaped(tensor, shape, self.layer.name)

    def plain(self, value: Value) -> Value:
        """The value as it lies in the model."""
        return self.graph.plain(value, self.layer.name)

    def cast(self, value: Value, element: Element) -> Value:
        """The value with such elements."""
        return self.graph.cast(value, element, self.layer.name)

    def channels_first(self, value: Value) -> Value:
        """The value, which is not flattened, with its last axis first."""
        return self.graph.arranged(value, channels_first(len(value.shape)), self.layer.name)

    def along(self, value: Value, axis: int) -> Value:
        """The value, not flattened, with this axis first; the others in the order of the model."""
        others = [each for each in range(len(value.shape)) if each != axis]
        return self.graph.arranged(value, (axis, *others), self.layer.name)

    def alike(self) -> list[Value]:
        """The inputs, which have one shape, all lying as the first of them that isn't plain."""
        first = next((value for value in self.inputs if not value.is_plain), self.inputs[0])
        return [self._like(value, first) for value in self.inputs]

    def _like(self, value: Value, other: Value) -> Value:
        if value.grid != other.grid:
            value = self.plain(value)
            if other.is_flattened:
                value = replace(value, order=tuple(range(len(other.grid))), grid=other.grid)
                return self.graph.arranged(value, other.order, self.layer.name)
        return self.graph.arranged(value, other.order, self.layer.name)

    def made_plain(self, tensor: str, element: Element = Element.FLOAT) -> Value:
        """The layer's output, lying as in the model."""
        return plain(tensor, self.shape, element=element)

    def made_first(self, tensor: str) -> Value:
        """The layer's output, with its channels first."""
        return lying_first(tensor, self.shape)


@singledispatch
def export_layer(layer: Layer, use: LayerUse) -> Value:
    """Add the layer's operators to the graph, and return its output; one rule a layer class."""
    raise ValueError(
        f"layer {layer.name!r} ({type(layer).__name__}) can't be exported: a file of ONNX holds "
        "ONNX's own operators, no code in Python"
    )


@singledispatch
def element_read(layer: Layer) -> Element | None:
    """What the elements are that a layer reads; None if it hands on whatever comes.

    A rule gets inputs of FLOAT cast already; with others it sees what comes, and casts itself.
    """
    return Element.FLOAT


def export_chain(layers: Sequence[Layer], use: LayerUse) -> Value:
    """Layers inside of another, one after the other, from its first input on."""
    value = replace(use.inputs[0], deviation=None)
    for number, layer in enumerate(layers):
        (extents,) = [layer.compute_output_shape((None, *value.shape))[1:]]
        inner = LayerUse(use.graph, layer, [value], extents, number < len(layers) - 1)  # type: ignore[arg-type]
        value = export_layer(layer, inner)
    return value
