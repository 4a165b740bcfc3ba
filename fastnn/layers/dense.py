"""The fully connected layer."""

from __future__ import annotations

from typing import Any

from fastnn import activations, initializers
from fastnn._checks import check_flag, check_integer
from fastnn.activations import Activation
from fastnn.graph import Shape
from fastnn.initializers import InitializerLike
from fastnn.layers.base import Layer
from fastnn.variables import Variable


class Dense(Layer):
    """``activation(x @ kernel + bias)``.

    Takes (batch, in), makes (batch, units). An input of higher rank is a ValueError, where Keras
    would multiply along the last axis: put a Flatten before.

    Args:
        units: Width of the output.
        activation: A name, an activation of ``fastnn.activations``, or None for none.
        use_bias: Whether there is a bias.
        kernel_initializer, bias_initializer: As ``fastnn.initializers.get`` takes them.

    Attributes:
        kernel : Variable of shape (in, units): There once the layer is built.
        bias : Variable of shape (units,), or None
    """

    kernel: Variable

    def __init__(
        self,
        units: int,
        activation: str | Activation | dict[str, Any] | None = None,
        use_bias: bool = True,
        kernel_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        *,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        self.units = check_integer("Dense", "units", units, at_least=1)
        self.activation = activations.get(activation)
        self.use_bias = check_flag("Dense", "use_bias", use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        super().__init__(name=name, trainable=trainable)
        self.bias: Variable | None = None

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != 2:
            raise ValueError(
                f"layer {self.name!r} (Dense) takes inputs of shape (None, features), got "
                f"{input_shape}: add Flatten() before it"
            )
        if self.built and input_shape[1] != self.kernel.shape[0]:
            raise ValueError(
                f"layer {self.name!r} (Dense) was built for inputs of shape "
                f"(None, {self.kernel.shape[0]}), got {input_shape}"
            )
        return (None, self.units)

    def create_weights(self, input_shape: tuple[None, int]) -> None:
        shape = (input_shape[1], self.units)
        self.kernel = self.add_weight(shape, self.kernel_initializer, "kernel")
        if self.use_bias:
            self.bias = self.add_weight((self.units,), self.bias_initializer, "bias")

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
        }
