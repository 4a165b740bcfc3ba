"""Fusion, decided here and nowhere else. Each pass turns a pair of nodes into one."""

from __future__ import annotations

from fastnn.activations import Activation
from fastnn.kernels.augmentation import MOST_CHANNELS
from fastnn.kernels.layout import BLOCK
from fastnn.lowering.nodes import (
    ActivatedNode,
    ActivationNode,
    AffineNode,
    CropNode,
    DenseNode,
    DropoutNode,
    InputNode,
    PictureNode,
    RegroupNode,
)
from fastnn.lowering.values import Trace


def fuse(trace: Trace) -> None:
    """All passes, in place."""
    for node in list(trace.nodes):
        if isinstance(node, AffineNode):
            _affine_into_pictures(trace, node)
        elif isinstance(node, CropNode):
            _moves_into_maker(trace, node)
        elif isinstance(node, RegroupNode):
            _regrouping_into_input(trace, node)
            _regrouping_into_dense(trace, node)
        elif isinstance(node, ActivationNode):
            _activation_into_maker(trace, node)
    for node in list(trace.nodes):
        if isinstance(node, DropoutNode):
            _dropout_into_rectifier(trace, node)


def _affine_into_pictures(trace: Trace, node: AffineNode) -> None:
    """A data set is scaled while its rows are gathered, a picture while it is in cache."""
    value = node.inputs[0]
    maker = value.maker
    if isinstance(maker, (InputNode, PictureNode)) and trace.only_for(value, node):
        maker.scale *= node.scale
        maker.offset = maker.offset * node.scale + node.offset
        _hand_over(trace, node, maker)


def _moves_into_maker(trace: Trace, node: CropNode) -> None:
    """Pixels are moved once, if they can while they are gathered."""
    value = node.inputs[0]
    maker = value.maker
    if not trace.only_for(value, node):
        return
    if isinstance(maker, InputNode) and node.picture[2] <= MOST_CHANNELS:
        if not maker.moves:
            maker.picture = node.picture
    elif not isinstance(maker, CropNode):
        return
    maker.moves += node.moves
    _hand_over(trace, node, maker)


def _regrouping_into_input(trace: Trace, node: RegroupNode) -> None:
    """Rows are gathered into lines of any length."""
    value = node.inputs[0]
    maker = value.maker
    if isinstance(maker, InputNode) and trace.only_for(value, node):
        _hand_over(trace, node, maker)


def _regrouping_into_dense(trace: Trace, node: RegroupNode) -> None:
    """A product reads the positions of a picture one after another, where they lie. Where channels
    end within a block, blocks of the kernel's rows would begin within one."""
    x, y = node.inputs[0], node.output
    if (
        node in trace.nodes
        and x.features % BLOCK == 0
        and x.positions % y.positions == 0
        and y.readers
        and all(isinstance(reader, DenseNode) for reader in y.readers)
        and not (y.is_output or y.penalty)
    ):
        trace.bypass(node)


def _activation_into_maker(trace: Trace, node: ActivationNode) -> None:
    """The activation is applied to a block of what it is of while that is in cache."""
    value = node.inputs[0]
    maker = value.maker
    if (
        isinstance(maker, ActivatedNode)
        and maker.activation.kind == "linear"
        and trace.only_for(value, node)
    ):
        maker.activation = node.activation
        _hand_over(trace, node, maker)


def _dropout_into_rectifier(trace: Trace, node: DropoutNode) -> None:
    """What rectifies drops, too: y > 0 tells that neither did, so the derivative needs no mask."""
    value = node.inputs[0]
    maker = value.maker
    if (
        isinstance(maker, ActivatedNode)
        and maker.can_drop
        and maker.activation.kind == "relu"
        and trace.only_for(value, node)
    ):
        maker.activation = Activation("scaled_relu", (node.mask.scale, 0.0, 0.0))
        maker.mask = node.mask
        _hand_over(trace, node, maker)


def _hand_over(
    trace: Trace,
    node: ActivationNode | AffineNode | CropNode | DropoutNode | RegroupNode,
    maker: ActivatedNode | InputNode | PictureNode,
) -> None:
    """``maker`` makes what ``node`` made."""
    trace.remove(node)
    maker.output = node.output
    node.output.maker = maker
