"""What weights go to: the layers of a model, and what each of them wants."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastnn._naming import snake_case
from fastnn.layers.base import Layer
from fastnn.models import Model
from fastnn.variables import Variable

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Part:
    """A weight, and how the source has it.

    Attributes:
        roles: What the source may call it.
        shape: That it has there.
        convert: Makes of that the weight's own.
    """

    variable: Variable
    roles: tuple[str, ...]
    shape: tuple[int, ...]
    convert: Callable[[Array], Array] = lambda values: values


@dataclass(frozen=True)
class Target:
    """A layer with weights, or a part of it that the source has as a layer of its own.

    Attributes:
        name: The layer's; "NAME.depthwise" and "NAME.pointwise" for the parts of one.
        counted: Its class and a number, as files of Keras name it; "" for layers within others.
    """

    name: str
    layer: Layer
    parts: list[Part]
    counted: str = ""

    @property
    def is_named(self) -> bool:
        """Whether a user chose the name; an automatic one says nothing."""
        prefix = snake_case(type(self.layer).__name__)
        return re.fullmatch(rf"{prefix}(_\d+)?(\..*)?", self.name) is None


def keras_targets(layers: Sequence[Layer]) -> list[Target]:
    """The layers with weights, as Keras has them: in fastnn's own names and shapes."""
    counted = _counted(layers)
    return [
        Target(layer.name, layer, _own_parts(layer), counted.get(layer, ""))
        for layer in with_weights(layers)
    ]


def with_weights(layers: Sequence[Layer]) -> list[Layer]:
    """The layers that have weights of their own, each once."""
    found = (layer for layer in with_inner(layers) if layer.weights and not _inner(layer))
    return list(dict.fromkeys(found))


def with_inner(layers: Sequence[Layer]) -> Iterator[Layer]:
    """The layers, and those that they are made of."""
    for layer in layers:
        yield layer
        yield from with_inner(_inner(layer))


def _inner(layer: Layer) -> list[Layer]:
    return layer.layers if isinstance(layer, Model) else layer.inner_layers


def _own_parts(layer: Layer) -> list[Part]:
    # DepthwiseConv2D's kernel had that name in Keras 2.
    return [Part(each, (each.name, f"depthwise_{each.name}"), each.shape) for each in layer.weights]


def _counted(layers: Sequence[Layer], within: str = "") -> dict[Layer, str]:
    """Class and number of each, "layers/dense_1"; in a model within, under that."""
    counts: dict[str, int] = {}
    found = {}
    for layer in layers:
        # Keras's name for the class of a functional model.
        name = "functional" if type(layer) is Model else snake_case(type(layer).__name__)
        number = counts.get(name, 0)
        counts[name] = number + 1
        found[layer] = f"{within}layers/{name}_{number}" if number else f"{within}layers/{name}"
        if isinstance(layer, Model):
            found |= _counted(layer.layers, f"{found[layer]}/")
    return found
