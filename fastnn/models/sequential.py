"""Sequential: a stack of layers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastnn import layers as _layers
from fastnn._registry import resolve, serialize
from fastnn.graph import Shape, SymbolicTensor, as_shape
from fastnn.layers.base import Layer
from fastnn.layers.input import InputLayer
from fastnn.models.model import Model, _check_keys, _listed, check_unique_names


class Sequential(Model):
    """Layers, each called on the output of the one before.

    ::

        model = fastnn.Sequential(
            [layers.Input((784,)), layers.Dense(512, "relu"), layers.Dense(10, "softmax")]
        )

    Without an Input at its beginning the model is built from the first data that it meets, or by
    ``build((None, 784))``.

    Args:
        layers: layers, or models with one input and one output.
        name: by default "sequential", "sequential_1", ...

    Raises:
        TypeError, ValueError: see ``add``.
    """

    def __init__(
        self, layers: Iterable[Layer | SymbolicTensor] | None = None, name: str | None = None
    ) -> None:
        self._begin(name)
        # The input and what each layer made of it; empty until the input's shape is known.
        self._tensors: list[SymbolicTensor] = []
        for layer in layers or ():
            self.add(layer)

    def add(self, layer: Layer | SymbolicTensor) -> None:
        """Put ``layer`` on top of the stack.

        Raises:
            TypeError: it isn't a layer.
            ValueError: it has the name of another layer, merges several inputs, doesn't take the
                shape of the output before it, or is an Input but not the first. The model is as
                it was.
        """
        if isinstance(layer, SymbolicTensor):
            layer = layer.node.layer
            if not isinstance(layer, InputLayer):
                raise TypeError(
                    f"model {self.name!r} takes layers, got the output of layer {layer.name!r}"
                )
        if not isinstance(layer, Layer):
            raise TypeError(f"model {self.name!r} takes layers, got {layer!r}")
        if isinstance(layer, InputLayer):
            self._add_input(layer)
            return
        if layer.takes_list or (isinstance(layer, Model) and not layer._is_chainable()):
            raise ValueError(
                f"model {self.name!r} is a stack: layer {layer.name!r} doesn't have one input and "
                "one output; use fastnn.Model"
            )
        check_unique_names(self.name, [*_flat(self._layers), *_flat([layer])])
        if self._tensors:
            self._tensors.append(layer(self._tensors[-1]))
        self._layers.append(layer)
        self._set_graph()

    def _add_input(self, layer: InputLayer) -> None:
        if self._layers or self._tensors:
            raise ValueError(f"model {self.name!r}: an Input must come first, got {layer.name!r}")
        self._tensors = [layer.output]
        self._set_graph()

    def pop(self) -> Layer:
        """Take the last layer off the stack and return it; ValueError if there is none."""
        if not self._layers:
            raise ValueError(f"model {self.name!r} has no layers")
        layer = self._layers.pop()
        if self._tensors:
            self._tensors.pop()
        self._set_graph()
        return layer

    def build(self, input_shape: Any = None) -> None:
        """Make all weights for inputs of this shape, (None, 784) say.

        Raises:
            TypeError, ValueError: a layer doesn't take the shape that comes to it, or the model is
                built for another one. It is as it was.
        """
        shape = as_shape(input_shape, f"model {self.name!r}")
        self.compute_output_shape(shape)
        if self._tensors:
            return
        tensors = [InputLayer(shape[1:]).output]  # type: ignore[arg-type]
        for layer in self._layers:
            tensors.append(layer(tensors[-1]))
        self._tensors = tensors
        self._set_graph()

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The output's shape; TypeError or ValueError if a layer doesn't take what comes to it."""
        shape: Shape = as_shape(input_shape, f"model {self.name!r}")
        if not self._layers:
            raise ValueError(f"model {self.name!r} has no layers: add some")
        if self._tensors:
            self._check_input_shapes([shape])
        for layer in self._layers:
            shape = layer.compute_output_shape(shape)
        return shape

    def __call__(self, inputs: SymbolicTensor | Any) -> Any:
        """Put the model's layers into another graph, as ``Model.__call__``; builds it first."""
        if isinstance(inputs, SymbolicTensor):
            self.build(inputs.shape)
        return super().__call__(inputs)

    def _set_graph(self) -> None:
        self.built = len(self._tensors) > 1
        self._inputs, self._outputs = self._tensors[:1], self._tensors[-1:]
        self._nodes = None
        self._graph_changed()

    def _is_chainable(self) -> bool:
        return True

    def _check_has_graph(self) -> None:
        if not self._tensors:
            raise ValueError(
                f"model {self.name!r} is not built: it has no inputs and outputs until "
                "build(input_shape) is called, or data comes"
            )

    def get_config(self) -> dict[str, Any]:
        """The layers, the Input before them if there is one, as JSON values."""
        first = [tensor.node.layer for tensor in self._tensors[:1]]
        return {
            "name": self.name,
            "layers": [serialize(layer) for layer in [*first, *self._layers]],
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Sequential:
        """A model with fresh weights, as ``get_config`` described it; ValueError if malformed."""
        _check_keys(config, ("name", "layers"), "a Sequential")
        model = cls(name=config["name"])
        made: list[tuple[Any, Layer]] = []
        for layer_config in _listed(config["layers"], f"'layers' of model {model.name!r}"):
            if not isinstance(layer_config, dict):
                raise ValueError(
                    f"a layer of model {model.name!r} must be a dict, got {layer_config!r:.80}"
                )
            # Equal configurations have equal names: that is one layer, used again.
            layer = next((layer for seen, layer in made if seen == layer_config), None)
            if layer is None:
                layer = resolve("layer", Layer, CLASSES, layer_config)
                made.append((layer_config, layer))
            model.add(layer)
        return model


CLASSES: dict[str, type[Layer]] = {**_layers.CLASSES, "Model": Model, "Sequential": Sequential}
"""What may be in a Sequential."""


def _flat(layers: Iterable[Layer]) -> list[Layer]:
    """The layers, with those of models in the place of the models."""
    flat: list[Layer] = []
    for layer in layers:
        if isinstance(layer, Model):
            flat += [inner for inner in _flat(layer.layers) if not isinstance(inner, InputLayer)]
        else:
            flat.append(layer)
    return flat
