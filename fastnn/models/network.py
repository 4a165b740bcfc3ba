"""A graph of layers as lowering takes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from fastnn.graph import Node, SymbolicTensor, topological_order


class Network(Protocol):
    """Whatever has such a graph: a ``Model``, or a ``Graph``."""

    @property
    def inputs(self) -> list[SymbolicTensor]:
        """The symbolic tensors that data is fed to."""

    @property
    def outputs(self) -> list[SymbolicTensor]:
        """The symbolic tensors that ``predict`` returns."""

    @property
    def nodes(self) -> list[Node]:
        """The calls of layers, each after those it depends on, without the inputs."""


class Graph:
    """Layers between some tensors, without the ceremony of a model."""

    def __init__(self, inputs: Sequence[SymbolicTensor], outputs: Sequence[SymbolicTensor]) -> None:
        self.inputs = list(inputs)
        self.outputs = list(outputs)
        self.nodes = topological_order(self.inputs, self.outputs)


def extents(tensor: SymbolicTensor) -> tuple[int, ...]:
    """The shape without the batch."""
    return tuple(extent for extent in tensor.shape[1:] if extent is not None)
