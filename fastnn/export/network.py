"""From a model's layers to ONNX's operators."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Protocol

from fastnn.export.graph import Graph
from fastnn.export.rules import LayerUse, element_read, export_layer
from fastnn.export.values import Element, Value, plain
from fastnn.graph import Network, SymbolicTensor


class NamedNetwork(Network, Protocol):
    """What is exported. ``Model`` is the class that has it."""

    @property
    def name(self) -> str:
        """The model's name."""

    @property
    def input_names(self) -> list[str]:
        """The names of the inputs."""

    @property
    def output_names(self) -> list[str]:
        """The names of the outputs."""


def graph_of(network: NamedNetwork, casts: bool = False) -> Graph:
    """The operators that predict as the model does.

    Args:
        casts: Whether inputs of real numbers come as something else than float32.

    Raises:
        ValueError: ONNX can't say what a layer does; the message names it.
    """
    graph = Graph([*network.input_names, *network.output_names])
    values: dict[SymbolicTensor, Value] = {}
    elements = input_elements(network)
    for tensor, name, element in zip(network.inputs, network.input_names, elements, strict=True):
        source = name
        if casts and element == Element.FLOAT:
            source = graph.add("Cast", [name], f"{name}/Cast", to=int(element))
        values[tensor] = plain(source, tensor.extents, element=element)
    readers = Counter(tensor for node in network.nodes for tensor in node.inputs)
    readers.update(network.outputs)
    for node in network.nodes:
        inputs = [values[tensor] for tensor in node.inputs]
        if element_read(node.layer) == Element.FLOAT:
            inputs = [graph.cast(value, Element.FLOAT, node.layer.name) for value in inputs]
        once = readers[node.output] == 1
        use = LayerUse(graph, node.layer, inputs, node.output.extents, once)
        values[node.output] = export_layer(node.layer, use)
    outputs = [
        graph.plain(graph.cast(values[tensor], Element.FLOAT, tensor.name), tensor.name).name
        for tensor in network.outputs
    ]
    graph.finish(outputs, network.output_names)
    return graph


def input_elements(network: NamedNetwork) -> list[Element]:
    """What comes to each input: texts or integers where a layer reads such, else real numbers."""
    read: defaultdict[SymbolicTensor, set[Element]] = defaultdict(set)
    for node in reversed(network.nodes):
        element = element_read(node.layer)
        for tensor in node.inputs:
            read[tensor] |= read[node.output] if element is None else {element}
    return [max(read[tensor], default=Element.FLOAT) for tensor in network.inputs]


def input_types(network: NamedNetwork, numbers: str = "float32") -> list[str]:
    """The type of each of the file's inputs: "string", "int64", or ``numbers`` for real ones."""
    names = {Element.FLOAT: numbers, Element.INT64: "int64", Element.STRING: "string"}
    return [names[element] for element in input_elements(network)]
