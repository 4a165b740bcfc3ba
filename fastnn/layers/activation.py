"""Activation functions as layers of their own."""

from __future__ import annotations

import math
from typing import Any

from fastnn import activations
from fastnn._checks import check_integer, check_real
from fastnn.graph import Shape, positive_axis
from fastnn.layers.base import Layer


class ActivationLayer(Layer):
    """Base of the layers that apply one activation function.

    Attributes:
        activation : fastnn.activations.Activation: The function and its parameters.
    """

    def __init__(
        self,
        activation: activations.Activation,
        *,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name=name, trainable=trainable)
        self.activation = activation

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        if self.activation.kind == "softmax" and len(input_shape) < 2:
            raise ValueError(
                f"layer {self.name!r} (softmax) takes inputs of shape (None, ..., classes), got "
                f"{input_shape}"
            )
        return input_shape


class Activation(ActivationLayer):
    """The activation function that ``activation`` names. Output shape = input shape."""

    def __init__(
        self,
        activation: str | activations.Activation | dict[str, Any] | None,
        *,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(activations.get(activation), name=name, trainable=trainable)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "activation": activations.serialize(self.activation)}


class ReLU(ActivationLayer):
    """Rectifier: ``min(x, max_value)`` from ``threshold`` on, below it
    ``negative_slope * (x - threshold)``.

    Args:
        max_value: At least 0; None for no bound.
        negative_slope, threshold: At least 0.
    """

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        *,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        bound = max_value
        if bound is not None:
            bound = check_real("ReLU", "max_value", bound, at_least=0)
        slope = check_real("ReLU", "negative_slope", negative_slope, at_least=0)
        start = check_real("ReLU", "threshold", threshold, at_least=0)
        if bound is None and slope == 0 and start == 0:
            activation = activations.relu
        else:
            limit = math.inf if bound is None else bound
            activation = activations.Activation("relu_general", (slope, limit, start))
        super().__init__(activation, name=name, trainable=trainable)
        self.max_value = bound
        self.negative_slope = slope
        self.threshold = start

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "max_value": self.max_value,
            "negative_slope": self.negative_slope,
            "threshold": self.threshold,
        }


class LeakyReLU(ActivationLayer):
    """``x`` where positive, ``negative_slope * x`` elsewhere.

    As in Keras the layer's default slope is 0.3, that of the activation "leaky_relu" 0.2.
    """

    def __init__(
        self, negative_slope: float = 0.3, *, name: str | None = None, trainable: bool = True
    ) -> None:
        slope = check_real("LeakyReLU", "negative_slope", negative_slope, at_least=0)
        activation = activations.Activation("leaky_relu", (slope, 0.0, 0.0))
        super().__init__(activation, name=name, trainable=trainable)
        self.negative_slope = slope

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "negative_slope": self.negative_slope}


class ELU(ActivationLayer):
    """``x`` where positive, ``alpha * (exp(x) - 1)`` elsewhere (Clevert et al. 2016)."""

    def __init__(
        self, alpha: float = 1.0, *, name: str | None = None, trainable: bool = True
    ) -> None:
        self.alpha = check_real("ELU", "alpha", alpha)
        activation = activations.Activation("elu", (self.alpha, 0.0, 0.0))
        super().__init__(activation, name=name, trainable=trainable)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "alpha": self.alpha}


class Softmax(ActivationLayer):
    """Probabilities along one axis. Output shape = input shape.

    Keras's list of axes and its ``mask`` argument aren't there.

    Args:
        axis: Any but the batch; by default the last.
    """

    def __init__(self, axis: int = -1, *, name: str | None = None, trainable: bool = True) -> None:
        self.axis = check_integer("Softmax", "axis", axis)
        if not self.axis:
            raise ValueError("Softmax: axis must not be 0, the batch")
        super().__init__(activations.softmax, name=name, trainable=trainable)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        positive_axis(f"layer {self.name!r} (Softmax)", self.axis, input_shape)
        return super().compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis}
