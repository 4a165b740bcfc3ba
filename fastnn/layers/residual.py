"""A shortcut around some layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastnn._registry import resolve, serialize
from fastnn.graph import Shape
from fastnn.layers.base import Layer
from fastnn.layers.dense import Dense
from fastnn.layers.input import InputLayer
from fastnn.variables import Variable


class Residual(Layer):
    """``x + f(x)``, f being ``layers`` one after the other (He et al. 2016, eq. 1 and 2).

    Takes (batch, in), makes (batch, width of f's output). Where the two widths differ, x is brought
    to the other one by a Dense layer without activation and bias, called "NAME_projection".
    Keras has no such layer: there one writes ``Add()([x, f(x)])``.

    ::

        layers.Residual([layers.Dense(64, "relu"), layers.Dense(64)])

    Args:
        layers: Layers of one input, on tensors of rank 2; another Residual may be among them, a
            model may not.

    Attributes:
        layers : list of Layer
        projection : Dense, or None: There, if need be, once the layer is built.

    Raises:
        TypeError: ``layers`` isn't a list of layers.
        ValueError: It is empty, has a layer twice, or one that merges tensors.
    """

    def __init__(
        self, layers: Sequence[Layer], *, name: str | None = None, trainable: bool = True
    ) -> None:
        self.layers = _checked_layers(layers)
        self.projection: Dense | None = None
        super().__init__(name=name, trainable=trainable)
        if not trainable:
            self._set_trainable(False)

    @property
    def inner_layers(self) -> list[Layer]:
        return [*self.layers, *([] if self.projection is None else [self.projection])]

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        shape = input_shape
        for layer in self.layers:
            self._check_rank(shape)
            shape = layer.compute_output_shape(shape)
        self._check_rank(shape)
        if self.projection is not None:
            self.projection.compute_output_shape(input_shape)
        elif self.built and shape != input_shape:
            raise ValueError(
                f"layer {self.name!r} (Residual) was built without a projection, so it takes "
                f"inputs of shape {shape}, got {input_shape}"
            )
        return shape

    def _check_rank(self, shape: Shape) -> None:
        if len(shape) != 2:
            raise ValueError(
                f"layer {self.name!r} (Residual) takes tensors of shape (None, features), also "
                f"between its layers, got {shape}: add Flatten() before it"
            )

    def create_weights(self, input_shape: Shape) -> None:
        shape = input_shape
        for layer in self.layers:
            layer.build(shape)
            shape = layer.compute_output_shape(shape)
        if shape != input_shape:
            name = f"{self.name}_projection"
            projection = Dense(shape[1], use_bias=False, name=name, trainable=self.trainable)  # type: ignore[arg-type]
            projection.build(input_shape)
            self.projection = projection

    @property
    def weights(self) -> list[Variable]:
        """The weights of ``layers`` in their order, then the projection's kernel."""
        return [variable for layer in self.inner_layers for variable in layer.weights]

    def _set_trainable(self, value: bool) -> None:
        super()._set_trainable(value)
        for layer in self.inner_layers:
            layer.trainable = value

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "layers": [serialize(layer) for layer in self.layers]}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Residual:
        """An unbuilt layer with the settings that ``get_config`` returned.

        Raises:
            ValueError: The configuration is malformed.
        """
        # Here, because Residual is one of them.
        from fastnn.layers import CLASSES

        inner = config.get("layers")
        if not isinstance(inner, list) or not all(isinstance(each, dict) for each in inner):
            raise ValueError(f"'layers' of a Residual must be a list of configs, got {inner!r:.80}")
        return cls(
            **config | {"layers": [resolve("layer", Layer, CLASSES, each) for each in inner]}
        )


def _checked_layers(layers: Sequence[Layer]) -> list[Layer]:
    if not isinstance(layers, (list, tuple)):
        raise TypeError(f"layers of Residual must be a list of layers, got {layers!r:.80}")
    if not layers:
        raise ValueError("layers of Residual must be at least one layer, got an empty list")
    for layer in layers:
        if not isinstance(layer, Layer):
            raise TypeError(f"layers of Residual must be layers, got {layer!r:.80}")
        # A model isn't known here; it is what has nodes.
        if isinstance(layer, InputLayer) or hasattr(type(layer), "nodes"):
            raise TypeError(
                f"layers of Residual must be plain layers, got {layer.name!r}, a "
                f"{type(layer).__name__}"
            )
        if layer.takes_list:
            raise ValueError(
                f"layers of Residual must take one tensor each, but {layer.name!r} "
                f"({type(layer).__name__}) merges several"
            )
    names = [layer.name for layer in layers]
    if len(set(names)) != len(names):
        raise ValueError(f"layers of Residual must have different names, got {', '.join(names)}")
    return list(layers)
