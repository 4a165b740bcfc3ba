"""The graph of layers that a user draws by calling them on symbolic tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from fastnn._checks import check_integer

if TYPE_CHECKING:
    from fastnn.layers.base import Layer

Shape = tuple["int | None", ...]
"""Extents of a tensor. The first is the batch, None; the others are known."""


def as_shape(value: Any, owner: str) -> Shape:
    """``value`` as a Shape, its batch set to None; TypeError or ValueError naming ``owner``."""
    if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__"):
        raise TypeError(f"{owner} takes a shape such as (None, 784), got {value!r}")
    extents = tuple(value)
    if not extents:
        raise ValueError(f"{owner} takes a shape that starts with the batch, got ()")
    if extents[0] is not None:
        check_integer(owner, "the batch in the shape", extents[0], at_least=1)
    return (None, *as_extents(extents[1:], owner))


def as_extents(value: Any, owner: str) -> tuple[int, ...]:
    """``value`` as a tuple of positive ints: a shape without the batch. Errors as as_shape."""
    if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__"):
        raise TypeError(f"{owner} takes a shape such as (784,), got {value!r}")
    return tuple(
        check_integer(owner, "every extent in the shape", extent, at_least=1) for extent in value
    )


def positive_axis(owner: str, axis: int, input_shape: Shape) -> int:
    """``axis``, which may count from the end, as an axis from 1 of ``input_shape``.

    Raises:
        ValueError: Naming ``owner``: there is no such axis, or it is the batch.
    """
    rank = len(input_shape)
    number = axis + rank if axis < 0 else axis
    if not 0 < number < rank:
        raise ValueError(
            f"{owner}: axis {axis} must be one of 1 to {rank - 1}, or -1 to {1 - rank}, for inputs "
            f"of shape {input_shape}"
        )
    return number


def without_batch(shape: Shape) -> tuple[int, ...]:
    """The extents of a shape but for the batch."""
    return tuple(extent for extent in shape[1:] if extent is not None)


class SymbolicTensor:
    """What will flow along one edge of the graph: a shape, and the node that makes it."""

    __slots__ = ("name", "node", "shape")

    def __init__(self, shape: Shape, node: Node, name: str) -> None:
        self.shape = shape
        self.node = node
        self.name = name

    @property
    def extents(self) -> tuple[int, ...]:
        """The shape without the batch."""
        return without_batch(self.shape)

    def __repr__(self) -> str:
        return f"<SymbolicTensor shape={self.shape}, name={self.name}>"


class Node:
    """One call of a layer. ``inputs`` is empty for an input of the graph."""

    __slots__ = ("inputs", "layer", "output")

    def __init__(
        self, layer: Layer, inputs: tuple[SymbolicTensor, ...], output_shape: Shape
    ) -> None:
        self.layer = layer
        self.inputs = inputs
        self.output = SymbolicTensor(output_shape, self, layer.name)

    def __repr__(self) -> str:
        return f"<Node of {self.layer.name}, output shape={self.output.shape}>"


class Network(Protocol):
    """Whatever has a graph of layers: a model, or a part of one."""

    @property
    def inputs(self) -> list[SymbolicTensor]:
        """The symbolic tensors that data is fed to."""

    @property
    def outputs(self) -> list[SymbolicTensor]:
        """The symbolic tensors that ``predict`` returns."""

    @property
    def nodes(self) -> list[Node]:
        """The calls of layers, each after those it depends on, without the inputs."""


def topological_order(
    inputs: Sequence[SymbolicTensor], outputs: Sequence[SymbolicTensor]
) -> list[Node]:
    """The nodes that compute ``outputs`` from ``inputs``, in the order in which Keras lists layers.

    A node comes after every node that it reads. The nodes that make ``inputs`` are left out.

    Raises:
        ValueError: An output needs an input that isn't in ``inputs``, or an input is needed by
            no output.
    """
    sources = {tensor.node for tensor in inputs}
    reached = _reached(inputs, outputs)
    for node in reached:
        if not node.inputs and node not in sources:
            raise ValueError(
                f"the graph is disconnected: its outputs need {node.layer.name!r}, which is not "
                f"among the inputs {[tensor.name for tensor in inputs]}"
            )
    for tensor in inputs:
        if tensor.node not in reached:
            raise ValueError(
                f"the graph is disconnected: no output in {[t.name for t in outputs]} "
                f"needs the input {tensor.name!r}"
            )
    return [node for node in reached if node not in sources]


def ordered_layers(
    inputs: Sequence[SymbolicTensor], outputs: Sequence[SymbolicTensor]
) -> list[Layer]:
    """The layers of the graph, those of ``inputs`` included, each once, in Keras's order."""
    return list(dict.fromkeys(node.layer for node in _reached(inputs, outputs)))


def _reached(inputs: Sequence[SymbolicTensor], outputs: Sequence[SymbolicTensor]) -> list[Node]:
    """Every node that ``outputs`` need, those of ``inputs`` included, in Keras's order.

    Keras sorts by depth, the longest way to an output, and within a depth by the first visit of
    a depth-first walk from the outputs (keras/src/ops/function.py, ``map_graph``).
    """
    sources = {tensor.node for tensor in inputs}
    first_visit: dict[Layer, int] = {}
    postorder: dict[Node, None] = {}
    # Each entry is a node and how many of its inputs were walked already. The walk is a loop, not
    # a recursion, because a net may be deeper than Python's stack.
    stack: list[tuple[Node, int]] = []
    for tensor in outputs:
        stack.append((tensor.node, 0))
        while stack:
            node, walked = stack.pop()
            if node in postorder:
                continue
            first_visit.setdefault(node.layer, len(first_visit))
            if node not in sources and walked < len(node.inputs):
                stack.append((node, walked + 1))
                stack.append((node.inputs[walked].node, 0))
            else:
                postorder[node] = None

    depths: dict[Node, int] = dict.fromkeys(postorder, 0)
    layer_depths: dict[Layer, int] = {}
    for node in reversed(postorder):
        # Every call of a shared layer is at least as deep as the calls seen before.
        depth = max(depths[node], layer_depths.get(node.layer, 0))
        depths[node] = layer_depths[node.layer] = depth
        if node not in sources:
            for tensor in node.inputs:
                depths[tensor.node] = max(depths[tensor.node], depth + 1)
    return sorted(postorder, key=lambda node: (-depths[node], first_visit[node.layer]))


def replay(
    nodes: Sequence[Node], values: Mapping[SymbolicTensor, SymbolicTensor]
) -> dict[SymbolicTensor, SymbolicTensor]:
    """Call the layers of ``nodes`` again, with the tensors in ``values`` replaced.

    Returns the tensor that stands for each one of the first graph.
    """
    replaced = dict(values)
    for node in nodes:
        arguments = [replaced[tensor] for tensor in node.inputs]
        replaced[node.output] = node.layer(arguments if node.layer.takes_list else arguments[0])
    return replaced
