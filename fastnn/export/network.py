"""From a model's layers to ONNX's operators."""

from __future__ import annotations

from collections import Counter
from typing import Protocol

from fastnn.export.graph import Graph
from fastnn.export.rules import LayerUse, export_layer
from fastnn.export.values import Extents, Value, plain
from fastnn.graph import Node, SymbolicTensor


class Network(Protocol):
    """What is exported. ``Model`` is the class that has it."""

    @property
    def name(self) -> str:
        """The model's name."""

    @property
    def inputs(self) -> list[SymbolicTensor]:
        """What data is fed to."""

    @property
    def outputs(self) -> list[SymbolicTensor]:
        """What ``predict`` returns."""

    @property
    def input_names(self) -> list[str]:
        """The names of the inputs."""

    @property
    def output_names(self) -> list[str]:
        """The names of the outputs."""

    @property
    def nodes(self) -> list[Node]:
        """The calls of layers, each after those it depends on, without the inputs."""


def graph_of(network: Network, casts: bool = False) -> Graph:
    """The operators that predict as the model does.

    Args:
        casts: Whether inputs come as something else than float32.

    Raises:
        ValueError: ONNX can't say what a layer does; the message names it.
    """
    graph = Graph([*network.input_names, *network.output_names])
    values: dict[SymbolicTensor, Value] = {}
    for tensor, name in zip(network.inputs, network.input_names, strict=True):
        source = graph.add("Cast", [name], f"{name}/Cast", to=_FLOAT) if casts else name
        values[tensor] = plain(source, extents(tensor))
    readers = Counter(tensor for node in network.nodes for tensor in node.inputs)
    readers.update(network.outputs)
    for node in network.nodes:
        inputs = [values[tensor] for tensor in node.inputs]
        once = readers[node.output] == 1
        use = LayerUse(graph, node.layer, inputs, extents(node.output), once)
        values[node.output] = export_layer(node.layer, use)
    outputs = [graph.plain(values[tensor], tensor.name).name for tensor in network.outputs]
    graph.finish(outputs, network.output_names)
    return graph


_FLOAT = 1
"""onnx.TensorProto.FLOAT"""


def extents(tensor: SymbolicTensor) -> Extents:
    """The shape without the batch."""
    return tuple(extent for extent in tensor.shape[1:] if extent is not None)
