"""Layers that models are made from: called by nobody, with weights, or unbuilt to be drawn anew."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any, TypeVar

from fastnn.graph import Shape
from fastnn.layers import Residual
from fastnn.layers.base import Layer

SEED = 0x6F2A_91C3
"""Of the first thing that a change draws. The next has the next one: so the weights depend on the
model's form alone, and the user's random numbers are not touched."""

L = TypeVar("L", bound=Layer)


def copied(layers: Iterable[Layer]) -> dict[Layer, Layer]:
    """Each layer -> a copy with its weights that is in no graph. What layers share, copies share.

    Raises:
        ValueError: A layer holds something that can't be copied.
    """
    unique = list(dict.fromkeys(layers))
    # A node leads to all layers before it, and a copy of them all needs a stack of that depth.
    nowhere = object()
    called = [layer for layer in with_inner(unique) if layer._first_node is not None]
    memo: dict[int, Any] = {id(layer._first_node): nowhere for layer in called}
    result: dict[Layer, Layer] = {}
    for layer in unique:
        try:
            result[layer] = copy.deepcopy(layer, memo)
        except TypeError as error:
            raise ValueError(f"layer {layer.name!r} can't be copied: {error}") from error
    for each in with_inner(result.values()):
        each._first_node = None
    return result


def changed(layer: L, **attributes: Any) -> L:
    """The layer with other settings and the same weights."""
    other = copy.copy(layer)
    other.__dict__.update(attributes)
    return other


def renamed(layer: L, name: str) -> L:
    """The layer and its weights under another name."""
    other = copy.deepcopy(layer)
    other._name = name
    for variable in other.weights:
        owner, _, own = variable.path.rpartition("/")
        if owner == layer.name:
            variable.path = f"{name}/{own}"
    return other


def drawn_anew(layer: L, **attributes: Any) -> L:
    """The layer with other settings, if any, and weights yet to be made."""
    return changed(layer, _trained=[], _untrained=[], built=False, **attributes)


def build_inner(layer: Layer, shape: Shape) -> None:
    """Build what is to be drawn anew inside of a Residual, which is built itself already."""
    if isinstance(layer, Residual) and layer.built:
        if layer.projection is not None:
            layer.projection.build(shape)
        for inner in layer.layers:
            build_inner(inner, shape)
            inner.build(shape)
            shape = inner.compute_output_shape(shape)


def with_inner(layers: Iterable[Layer]) -> Iterable[Layer]:
    """Each layer, those inside of it right after it."""
    for layer in layers:
        yield layer
        yield from with_inner(layer.inner_layers)
