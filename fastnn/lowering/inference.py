"""What is different when a model does not train."""

from __future__ import annotations

from fastnn.lowering.nodes import (
    ActivationNode,
    CropNode,
    DenseNode,
    DropConnectNode,
    ExpectationNode,
    NoiseNode,
)
from fastnn.lowering.values import Trace


def for_inference(trace: Trace) -> None:
    """Noise is left out, and the expectation takes its place where it is not just that; windows are
    in the middle. In place, before anything is fused."""
    for node in list(trace.nodes):
        if isinstance(node, NoiseNode):
            trace.bypass(node)
        elif isinstance(node, CropNode):
            node.in_the_middle()
    for node in list(trace.nodes):
        if isinstance(node, DropConnectNode):
            _take_expectation(trace, node)


def _take_expectation(trace: Trace, node: DropConnectNode) -> None:
    reader = node.output.readers[0] if node.output.readers else None
    if isinstance(reader, ActivationNode) and trace.only_for(node.output, reader):
        trace.remove(reader)
        expectation = ExpectationNode(
            node.name, node.inputs, reader.output, node.kernel, node.bias, reader.activation,
            node.weight_mask.rate,
        )  # fmt: skip
        trace.replace(node, expectation)
    else:
        dense = DenseNode(
            node.name, node.inputs, node.output, node.activation, node.kernel, node.bias
        )
        trace.replace(node, dense)
