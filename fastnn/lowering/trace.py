"""From a model's layers to what is to be computed: values, and the nodes that make them."""

from __future__ import annotations

from typing import Any

from fastnn.graph import SymbolicTensor
from fastnn.lowering.extents import as_matrix
from fastnn.lowering.nodes import InputNode
from fastnn.lowering.rules import LayerUse, lower_layer
from fastnn.lowering.values import Trace, Value


def trace(inputs: list[SymbolicTensor], outputs: list[SymbolicTensor], nodes: list[Any]) -> Trace:
    """The trace of a model's graph."""
    result = Trace()
    values: dict[SymbolicTensor, Value] = {}
    for source, tensor in enumerate(inputs):
        extent = as_matrix(tensor.extents)
        values[tensor] = result.add(InputNode, tensor.node.layer, [], extent, source=source)
    for node in nodes:
        arguments = [values[tensor] for tensor in node.inputs]
        shapes = [tensor.extents for tensor in node.inputs]
        shape = node.output.extents
        use = LayerUse(result, node.layer, arguments, shapes, shape)
        values[node.output] = lower_layer(node.layer, use)
    for tensor in outputs:
        values[tensor].is_output = True
        result.outputs.append(values[tensor])
    return result
