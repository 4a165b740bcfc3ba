"""A graph of layers as lowering takes it."""

from __future__ import annotations

from collections.abc import Sequence

from fastnn.graph import SymbolicTensor, topological_order


class Graph:
    """Layers between some tensors, without the ceremony of a model."""

    def __init__(self, inputs: Sequence[SymbolicTensor], outputs: Sequence[SymbolicTensor]) -> None:
        self.inputs = list(inputs)
        self.outputs = list(outputs)
        self.nodes = topological_order(self.inputs, self.outputs)
