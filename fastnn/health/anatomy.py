"""Which layers of a model are hidden, which make the outputs, and which activation follows each."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from fastnn import activations
from fastnn.activations import Activation
from fastnn.health.blueprint import Blueprint
from fastnn.layers import Dense, Flatten, Reshape, Residual
from fastnn.layers.activation import ActivationLayer
from fastnn.layers.base import Layer
from fastnn.layers.convolution import FullConvolution
from fastnn.layers.depthwise import Depthwise
from fastnn.layers.global_pooling import GlobalPooling
from fastnn.layers.noise import Noise
from fastnn.layers.normalization import NormalizationLayer
from fastnn.layers.pooling import Pooling
from fastnn.layers.separable import Separable

__all__ = ["Product", "Step", "Unit", "hidden_units", "output_layers", "readers_of", "steps_of"]

Product = Dense | FullConvolution | Depthwise | Separable
"""Layers whose outputs are sums of what they read, each with a weight of its own."""

_PASSING = (Noise, Flatten, Reshape, Pooling, GlobalPooling)
"""What may stand between a layer and its activation or normalization."""


@dataclass(frozen=True, eq=False)
class Step:
    """A layer reads tensors and makes one. That of a Residual comes after those of its layers: it
    reads x and f(x)."""

    layer: Layer
    inputs: tuple[int, ...]
    output: int


@dataclass(frozen=True, eq=False)
class Unit:
    """A Dense layer or a convolution with what follows it.

    Attributes:
        layer: The Dense layer or convolution.
        activation: In it or after it; linear if there is none.
        activation_layer: The layer of its own in which the activation is, if it is.
        normalized: Whether a normalization comes before the next such layer.
    """

    layer: Product
    activation: Activation
    activation_layer: ActivationLayer | None
    normalized: bool

    @property
    def last(self) -> Layer:
        """The layer whose output is the activated one."""
        return self.activation_layer or self.layer


def steps_of(blueprint: Blueprint) -> tuple[list[Step], list[int]]:
    """What the model does, with Residuals taken apart, and the tensors that are its outputs."""
    steps: list[Step] = []
    count = len(blueprint.inputs)
    numbers = list(range(count))

    def add(layer: Layer, inputs: tuple[int, ...]) -> int:
        nonlocal count
        if isinstance(layer, Residual):
            number = inputs[0]
            for inner in layer.layers:
                number = add(inner, (number,))
            inputs = (inputs[0], number)
        steps.append(Step(layer, inputs, count))
        count += 1
        return count - 1

    for call in blueprint.calls:
        numbers.append(add(call.layer, tuple(numbers[number] for number in call.inputs)))
    return steps, [numbers[number] for number in blueprint.outputs]


def readers_of(steps: list[Step]) -> dict[int, list[Step]]:
    """Tensor -> the steps that read it."""
    readers: dict[int, list[Step]] = defaultdict(list)
    for step in steps:
        for number in step.inputs:
            readers[number].append(step)
    return readers


def output_layers(blueprint: Blueprint) -> list[Product]:
    """The last Dense layers and convolutions on the ways to the outputs."""
    steps, waiting = steps_of(blueprint)
    makers = {step.output: step for step in steps}
    found: dict[Product, None] = {}
    seen: set[int] = set()
    while waiting:
        number = waiting.pop()
        if number in seen or number not in makers:
            continue
        seen.add(number)
        step = makers[number]
        if isinstance(step.layer, Product):
            found[step.layer] = None
        else:
            waiting.extend(step.inputs)
    return list(found)


def hidden_units(blueprint: Blueprint) -> list[Unit]:
    """The Dense layers and convolutions that make no output, in the model's order."""
    steps, outputs = steps_of(blueprint)
    readers = readers_of(steps)
    skipped: set[Layer] = set(output_layers(blueprint))
    units = []
    for step in steps:
        if isinstance(step.layer, Product) and step.layer not in skipped:
            skipped.add(step.layer)
            units.append(_unit(step.layer, step.output, readers, outputs))
    return units


def _unit(owner: Product, number: int, readers: dict[int, list[Step]], outputs: list[int]) -> Unit:
    activation, where, normalized = owner.activation, None, False
    while number not in outputs and len(readers[number]) == 1:
        step = readers[number][0]
        layer = step.layer
        if isinstance(layer, ActivationLayer):
            if layer.activation == activations.linear:
                pass
            elif activation == activations.linear:
                activation, where = layer.activation, layer
            else:
                break
        elif isinstance(layer, NormalizationLayer):
            normalized = True
        elif not isinstance(layer, _PASSING):
            break
        number = step.output
    return Unit(owner, activation, where, normalized)
