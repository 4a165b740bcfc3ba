"""Which features PyTorch has in another order: those of flattened pictures.

PyTorch has channels first, so its Flatten gives (channels, height, width) in one line, fastnn's
(height, width, channels). What reads the line must read it in PyTorch's order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fastnn import layers as _layers
from fastnn.graph import Node, SymbolicTensor
from fastnn.importing.target import with_inner
from fastnn.layers.activation import ActivationLayer
from fastnn.layers.base import Layer
from fastnn.layers.merging import Elementwise
from fastnn.layers.noise import Noise
from fastnn.layers.normalization import NormalizationLayer
from fastnn.layers.spatial import Spatial

Order = NDArray[np.intp]
"""Feature ``i`` of a line is PyTorch's ``order[i]``."""

_TO_CHANNELS_LAST = ((2, 1), (2, 3, 1))
"""What Permute does with what has its channels first; whatever else it does, no picture is left."""


class Lines:
    """The orders of the features that layers read; ValueError where they can't be known."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._turned: set[SymbolicTensor] = set()
        self._signals: set[SymbolicTensor] = set()
        self._orders: dict[SymbolicTensor, Order] = {}
        self._read: dict[Layer, list[Order | None]] = {}
        for node in nodes:
            self._follow(node)

    def order_of(self, layer: Layer) -> Order | None:
        """The order of what a layer reads; None if it is the same in both."""
        first, *others = self._read.get(layer, [None])
        if any(not _same(first, other) for other in others):
            raise ValueError(
                f"layer {layer.name!r} reads a flattened picture and something else, which are in "
                "different orders in PyTorch: its weights can't be brought from there"
            )
        return first

    def _follow(self, node: Node) -> None:
        layer, output = node.layer, node.output
        orders = [self._orders.get(tensor) for tensor in node.inputs]
        if isinstance(layer, Spatial) or any(self._is_picture(tensor) for tensor in node.inputs):
            self._signals.add(output)
        elif any(tensor in self._turned for tensor in node.inputs):
            self._turned.add(output)
        if isinstance(layer, _layers.Permute) and layer.dims not in _TO_CHANNELS_LAST:
            self._turned.add(output)
        for inner in with_inner([layer]):
            self._read.setdefault(inner, []).append(orders[0])
        made = self._made(node, orders)
        if made is not None:
            self._orders[output] = made

    def _made(self, node: Node, orders: list[Order | None]) -> Order | None:
        layer, first = node.layer, node.inputs[0]
        flattens = isinstance(layer, _layers.Flatten | _layers.Reshape)
        if flattens and len(node.output.shape) == 2 and len(first.shape) > 2:
            return _channels_first(first.shape[1:]) if self._is_picture(first) else None  # type: ignore[arg-type]
        if all(order is None for order in orders) or isinstance(layer, _layers.Dense):
            return None
        if isinstance(layer, _layers.Concatenate):
            return _one_after_the_other(node.inputs, orders)
        keeps = isinstance(layer, ActivationLayer | NormalizationLayer | Noise | _layers.Rescaling)
        alike = isinstance(layer, Elementwise) and all(_same(orders[0], each) for each in orders)
        if keeps or alike or (flattens and first.shape == node.output.shape):
            return orders[0]
        raise ValueError(
            f"layer {layer.name!r} ({type(layer).__name__}) reads a flattened picture, which is in "
            "another order in PyTorch: its net can't be brought over"
        )

    def _is_picture(self, tensor: SymbolicTensor) -> bool:
        """(height, width, channels); or (steps, channels), if a layer of signals made it."""
        if tensor in self._turned:
            return False
        return len(tensor.shape) == 4 or (len(tensor.shape) == 3 and tensor in self._signals)


def _channels_first(grid: tuple[int, ...]) -> Order:
    places = np.arange(int(np.prod(grid))).reshape(grid[-1], *grid[:-1])
    return np.moveaxis(places, 0, -1).ravel()


def _one_after_the_other(
    tensors: Sequence[SymbolicTensor], orders: Sequence[Order | None]
) -> Order:
    found, begin = [], 0
    for tensor, order in zip(tensors, orders, strict=True):
        width: int = tensor.shape[-1]  # type: ignore[assignment]
        found.append(begin + (np.arange(width) if order is None else order))
        begin += width
    return np.concatenate(found)


def _same(one: Order | None, other: Order | None) -> bool:
    if one is None or other is None:
        return one is other
    return np.array_equal(one, other)
