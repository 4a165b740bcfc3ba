"""A shortcut around some layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastnn._registry import resolve, serialize
from fastnn.graph import Shape
from fastnn.layers.base import Layer
from fastnn.layers.convolution import Conv1D, Conv2D, FullConvolution
from fastnn.layers.dense import Dense
from fastnn.layers.input import InputLayer
from fastnn.layers.windowed import Windowed
from fastnn.variables import Variable


class Residual(Layer):
    """``x + f(x)``, f being ``layers`` one after the other (He et al. 2016, eq. 1 and 2).

    Makes what f makes. Where that has another shape than x, x is brought to it by a layer without
    activation and bias, called "NAME_projection": of (batch, features) a Dense; of signals and
    pictures a convolution of window 1 that moves as far as the strides of ``layers`` together.
    Keras has no such layer: there one writes ``Add()([x, f(x)])``.

    ::

        layers.Residual([layers.Dense(64, "relu"), layers.Dense(64)])
        layers.Residual([
            layers.Conv2D(64, 3, strides=2, padding="same", activation="relu"),
            layers.Conv2D(64, 3, padding="same"),
        ])

    Args:
        layers: Layers of one input; another Residual may be among them, a model may not. Extents
            between batch and channels must come from strides alone: padding "same", say.

    Attributes:
        layers : list of Layer
        projection : Dense, Conv1D, Conv2D, or None: There, if need be, once the layer is built.

    Raises:
        TypeError: ``layers`` isn't a list of layers.
        ValueError: It is empty, has a layer twice, or one that merges tensors.
    """

    def __init__(
        self, layers: Sequence[Layer], *, name: str | None = None, trainable: bool = True
    ) -> None:
        self.layers = _checked_layers(layers)
        self.projection: Dense | FullConvolution | None = None
        super().__init__(name=name, trainable=trainable)
        if not trainable:
            self._set_trainable(False)

    @property
    def inner_layers(self) -> list[Layer]:
        return [*self.layers, *([] if self.projection is None else [self.projection])]

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        shape = input_shape
        for layer in self.layers:
            shape = layer.compute_output_shape(shape)
        if self.projection is not None:
            made = self.projection.compute_output_shape(input_shape)
        elif self.built:
            made = input_shape
        else:
            made = self._projected_shape(input_shape, shape)
        if made != shape:
            raise ValueError(
                f"layer {self.name!r} (Residual) can't add inputs of shape {input_shape}"
                f"{'' if made == input_shape else f', projected to {made},'} to what its layers "
                f"make of them, {shape}"
            )
        return shape

    def _projected_shape(self, input_shape: Shape, shape: Shape) -> Shape:
        """What a projection for ``shape`` would make of the inputs; their own without one."""
        if shape == input_shape or len(shape) != len(input_shape) or len(shape) not in (2, 3, 4):
            return input_shape
        strides = self.total_strides(len(shape) - 2)
        extents = (
            -(-extent // stride)  # type: ignore[operator]
            for extent, stride in zip(input_shape[1:-1], strides, strict=True)
        )
        return (None, *extents, shape[-1])

    def total_strides(self, rank: int) -> tuple[int, ...]:
        """The product of the strides of ``layers``, for each of ``rank`` axes."""
        totals = [1] * rank
        for layer in self.layers:
            if isinstance(layer, Windowed):
                strides = layer.strides
            elif isinstance(layer, Residual):
                strides = layer.total_strides(rank)
            else:
                continue
            totals = [total * stride for total, stride in zip(totals, strides, strict=True)]
        return tuple(totals)

    def create_weights(self, input_shape: Shape) -> None:
        shape = input_shape
        for layer in self.layers:
            layer.build(shape)
            shape = layer.compute_output_shape(shape)
        if shape != input_shape:
            self.projection = self._made_projection(len(shape) - 2, shape[-1])  # type: ignore[arg-type]
            self.projection.build(input_shape)

    def _made_projection(self, rank: int, width: int) -> Dense | FullConvolution:
        name = f"{self.name}_projection"
        if not rank:
            return Dense(width, use_bias=False, name=name, trainable=self.trainable)
        convolution = Conv1D if rank == 1 else Conv2D
        return convolution(
            width, 1, self.total_strides(rank), use_bias=False, name=name,
            trainable=self.trainable,
        )  # fmt: skip

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
