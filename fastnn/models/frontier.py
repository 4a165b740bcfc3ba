"""Where NumPy ends and the engine begins.

Layers that work on texts or make integers come first: what they make is what the engine reads.
"""

from __future__ import annotations

from typing import NamedTuple

from fastnn.graph import Network, Node, SymbolicTensor
from fastnn.layers.preprocessing import PreprocessingLayer
from fastnn.lowering.trace import trace
from fastnn.lowering.values import Trace


class Frontier(NamedTuple):
    """A network in two parts.

    Attributes:
        steps: The calls of layers that are done in NumPy when rows are fed, in order.
        sources: What the engine's program reads, the network's inputs first, then what ``steps``
            make. If there are no steps, the inputs.
        nodes: The engine's calls of layers.
    """

    steps: list[Node]
    sources: list[SymbolicTensor]
    nodes: list[Node]


def frontier(network: Network) -> Frontier:
    """The parts of a network.

    Raises:
        ValueError: A layer that must come before the engine reads what only that computes.
    """
    inputs, nodes = network.inputs, network.nodes
    waiting = [node for node in nodes if _on_host(node)]
    if not waiting:
        return Frontier([], inputs, nodes)
    found: dict[Node, None] = {}
    while waiting:
        node = waiting.pop()
        found[node] = None
        for tensor in node.inputs:
            if tensor in inputs or tensor.node in found:
                continue
            if not isinstance(tensor.node.layer, PreprocessingLayer):
                raise ValueError(
                    f"layer {node.layer.name!r} ({type(node.layer).__name__}) takes an input of "
                    "the model, or what other preprocessing layers make of it, but it comes after "
                    f"layer {tensor.node.layer.name!r} ({type(tensor.node.layer).__name__})"
                )
            waiting.append(tensor.node)
    steps = [node for node in nodes if node in found]
    rest = [node for node in nodes if node not in found]
    read = {tensor for node in rest for tensor in node.inputs} | set(network.outputs)
    made = [node.output for node in steps]
    return Frontier(steps, [tensor for tensor in [*inputs, *made] if tensor in read], rest)


def trace_of(network: Network) -> Trace:
    """A fresh trace of the engine's part."""
    _, sources, nodes = frontier(network)
    return trace(sources, network.outputs, nodes)


def _on_host(node: Node) -> bool:
    return isinstance(node.layer, PreprocessingLayer) and node.layer.on_host
