"""From a compiled model to another one with something changed."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fastnn.graph import Shape
from fastnn.health import prototypes
from fastnn.layers import InputLayer, Residual
from fastnn.layers.base import Layer
from fastnn.losses import Loss
from fastnn.models import Model, Sequential
from fastnn.models.compiled import Compiled
from fastnn.optimizers import Optimizer


@dataclass(frozen=True, eq=False)
class Call:
    """A layer, called on the tensors of these numbers."""

    layer: Layer
    inputs: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Blueprint:
    """All that it takes to make a compiled model; what it holds is never changed.

    Layers are held as copies with their weights, not as configurations: so those of the user's own
    and functions as losses, metrics or initializers are no exception, and a layer that no edit
    replaces keeps its weights to the last bit. A layer that is to be drawn anew is an unbuilt one.

    Tensors have numbers: first the inputs, then the outputs of ``calls``.

    Attributes:
        name: The model's.
        sequential: Whether it is a Sequential.
        trainable: The model's own flag; layers and weights have theirs.
        inputs: Name and shape, without the batch, of each.
        calls: Each after those that it depends on.
        outputs: Numbers of tensors.
        optimizer: At step 0.
        loss, loss_weights, metrics, weighted_metrics: Arguments of ``compile``.
    """

    name: str
    sequential: bool
    trainable: bool
    inputs: tuple[tuple[str, tuple[int, ...]], ...]
    calls: tuple[Call, ...]
    outputs: tuple[int, ...]
    optimizer: Optimizer
    loss: Any
    loss_weights: Any
    metrics: Any
    weighted_metrics: Any

    @classmethod
    def of(cls, model: Model) -> Blueprint:
        """The model as it is now. It is left as it is, and may train on.

        Models inside of it are taken apart into their layers, and a class derived from Model or
        Sequential is forgotten.

        Raises:
            ValueError: It isn't built or compiled, or one of its layers can't be copied.
        """
        if not model.built:
            raise ValueError(f"model {model.name!r} is not built: call build(input_shape) first")
        compiled: Compiled = model._check_compiled()
        numbers = {tensor: number for number, tensor in enumerate(model.inputs)}
        calls = []
        copies = prototypes.copied([node.layer for node in model.nodes])
        for node in model.nodes:
            inputs = tuple(numbers[tensor] for tensor in node.inputs)
            calls.append(Call(copies[node.layer], inputs))
            numbers[node.output] = len(numbers)
        return cls(
            name=model.name,
            sequential=isinstance(model, Sequential),
            trainable=model.trainable,
            inputs=tuple((t.name, t.shape[1:]) for t in model.inputs),  # type: ignore[misc]
            calls=tuple(calls),
            outputs=tuple(numbers[tensor] for tensor in model.outputs),
            optimizer=_at_step_0(compiled.optimizer),
            loss=compiled.loss,
            loss_weights=compiled.loss_weights,
            metrics=compiled.metrics,
            weighted_metrics=compiled.weighted_metrics,
        )

    def make(self) -> Model:
        """A built and compiled model, whose optimizer begins anew.

        Weights that are not kept are drawn by their initializers.

        Raises:
            ValueError: Layers, loss and metrics do not fit each other.
        """
        copies = prototypes.copied([call.layer for call in self.calls])
        inputs = [InputLayer(shape, name=name) for name, shape in self.inputs]
        model: Model
        if self.sequential:
            model = Sequential([inputs[0]], name=self.name)
            for call in self.calls:
                layer = copies[call.layer]
                prototypes.build_inner(layer, model.outputs[0].shape)
                model.add(layer)
        else:
            tensors = [layer.output for layer in inputs]
            for call in self.calls:
                layer = copies[call.layer]
                arguments = [tensors[number] for number in call.inputs]
                prototypes.build_inner(layer, arguments[0].shape)
                tensors.append(layer(arguments if layer.takes_list else arguments[0]))
            outputs = [tensors[number] for number in self.outputs]
            model = Model([layer.output for layer in inputs], outputs, name=self.name)
        model._trainable = self.trainable
        model.compile(
            _at_step_0(self.optimizer),
            self.loss,
            self.loss_weights,
            self.metrics,
            self.weighted_metrics,
        )
        return model

    # To read

    @property
    def layers(self) -> list[Layer]:
        """Every layer once, those inside of others right after them."""
        return list(dict.fromkeys(prototypes.with_inner(call.layer for call in self.calls)))

    @property
    def output_names(self) -> list[str]:
        """As ``Model.output_names``."""
        names: list[str] = []
        for number in self.outputs:
            own = self.calls[number - len(self.inputs)].layer.name
            name, count = own, 0
            while name in names:
                count += 1
                name = f"{own}_{count}"
            names.append(name)
        return names

    @property
    def shapes(self) -> list[Shape]:
        """Of each tensor."""
        shapes: list[Shape] = [(None, *shape) for _, shape in self.inputs]
        for call in self.calls:
            given: Any = [shapes[number] for number in call.inputs]
            shapes.append(
                call.layer.compute_output_shape(given if call.layer.takes_list else given[0])
            )
        return shapes

    @property
    def chain(self) -> list[Layer] | None:
        """The layers, if each reads the one before and nothing else, and none is there twice."""
        follows = all(call.inputs == (number,) for number, call in enumerate(self.calls))
        layers = [call.layer for call in self.calls]
        if follows and self.outputs == (len(layers),) and len(set(layers)) == len(layers):
            return layers
        return None

    def loss_of(self, output: int) -> Loss | None:
        """The loss of one output."""
        if isinstance(self.loss, dict):
            return self.loss.get(self.output_names[output])
        loss: Loss | None = self.loss[output] if isinstance(self.loss, list) else self.loss
        return loss

    def free_name(self, name: str) -> str:
        """``name``, or if a layer has it, with a number behind."""
        taken = {layer.name for layer in self.layers} | {name for name, _ in self.inputs}
        free, count = name, 0
        while free in taken:
            count += 1
            free = f"{name}_{count}"
        return free

    # To edit

    def with_chain(self, layers: Iterable[Layer]) -> Blueprint:
        """These layers in the place of ``chain``."""
        calls = tuple(Call(layer, (number,)) for number, layer in enumerate(layers))
        return replace(self, calls=calls, outputs=(len(calls),))

    def mapped(self, edit: Callable[[Layer], Sequence[Layer]]) -> Blueprint:
        """Each layer, those inside of a Residual too, becomes a sequence of layers.

        What no input or output depends on stays the very same object. An empty sequence takes a
        layer of one input out.
        """
        return self._rebuilt(_Edited(edit))

    def replaced(self, layers: dict[Layer, Layer]) -> Blueprint:
        """Some layers with others in their places."""
        return self.mapped(lambda layer: [layers.get(layer, layer)])

    def preceded(self, layer: Layer) -> Blueprint:
        """With ``layer`` between the first input and all that reads it."""
        return self._rebuilt(lambda each: [each], layer)

    def _rebuilt(
        self, edit: Callable[[Layer], Sequence[Layer]], first: Layer | None = None
    ) -> Blueprint:
        calls: list[Call] = []
        numbers = {number: number for number in range(len(self.inputs))}
        if first is not None:
            calls.append(Call(first, (0,)))
            numbers[0] = len(self.inputs)
        for old, call in enumerate(self.calls, len(self.inputs)):
            inputs = tuple(numbers[number] for number in call.inputs)
            for layer in edit(call.layer):
                calls.append(Call(layer, inputs))
                inputs = (len(self.inputs) + len(calls) - 1,)
            numbers[old] = inputs[0]
        outputs = tuple(numbers[number] for number in self.outputs)
        return replace(self, calls=tuple(calls), outputs=outputs)


class _Edited:
    """An edit that goes into Residuals, and does the same to a layer wherever it meets it."""

    def __init__(self, edit: Callable[[Layer], Sequence[Layer]]) -> None:
        self._edit = edit
        self._done: dict[Layer, Sequence[Layer]] = {}

    def __call__(self, layer: Layer) -> Sequence[Layer]:
        if layer not in self._done:
            self._done[layer] = (
                self._residual(layer) if isinstance(layer, Residual) else self._edit(layer)
            )
        return self._done[layer]

    def _residual(self, layer: Residual) -> Sequence[Layer]:
        inner = [each for old in layer.layers for each in self(old)]
        if inner != layer.layers:
            layer = prototypes.changed(layer, layers=inner)
        return self._edit(layer)


def _at_step_0(optimizer: Optimizer) -> Optimizer:
    fresh = copy.deepcopy(optimizer)
    fresh.iterations = 0
    return fresh
