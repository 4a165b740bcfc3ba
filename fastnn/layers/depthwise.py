"""Convolutions of each channel by itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from fastnn import constraints, initializers, regularizers
from fastnn._checks import check_integer
from fastnn.activations import Activation
from fastnn.constraints import ConstraintLike
from fastnn.graph import Shape
from fastnn.initializers import InitializerLike
from fastnn.layers.convolution import Convolution, window_initializer
from fastnn.regularizers import RegularizerLike
from fastnn.variables import Variable


class Depthwise(Convolution):
    """Base of DepthwiseConv1D and DepthwiseConv2D.

    Attributes:
        kernel : Variable of shape (*kernel_size, in, depth_multiplier): There once the layer is
            built.
    """

    kernel: Variable

    def __init__(
        self,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: str = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: int | Sequence[int] = 1,
        activation: str | Activation | dict[str, Any] | None = None,
        use_bias: bool = True,
        depthwise_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        depthwise_regularizer: RegularizerLike = None,
        bias_regularizer: RegularizerLike = None,
        activity_regularizer: RegularizerLike = None,
        depthwise_constraint: ConstraintLike = None,
        bias_constraint: ConstraintLike = None,
        *,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        owner = type(self).__name__
        self.depth_multiplier = check_integer(
            owner, "depth_multiplier", depth_multiplier, at_least=1
        )
        self.depthwise_initializer = window_initializer(
            owner, "depthwise_initializer", depthwise_initializer
        )
        self.depthwise_regularizer = regularizers.get(depthwise_regularizer)
        self.depthwise_constraint = constraints.get(depthwise_constraint)
        super().__init__(
            kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias,
            bias_initializer, bias_regularizer, activity_regularizer, bias_constraint, name,
            trainable,
        )  # fmt: skip

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        windows = self.windows(input_shape)
        return (None, *windows, self._check_channels(input_shape) * self.depth_multiplier)

    def _built_channels(self) -> int:
        return self.kernel.shape[-2]

    def create_weights(self, input_shape: Shape) -> None:
        channels: int = input_shape[-1]  # type: ignore[assignment]
        self.kernel = self.add_weight(
            (*self.kernel_size, channels, self.depth_multiplier), self.depthwise_initializer,
            "kernel", regularizer=self.depthwise_regularizer,
            constraint=self.depthwise_constraint,
            matrix_shape=(math.prod(self.kernel_size), channels * self.depth_multiplier),
        )  # fmt: skip
        self._add_bias(channels * self.depth_multiplier)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "depth_multiplier": self.depth_multiplier,
            "depthwise_initializer": initializers.serialize(self.depthwise_initializer),
            "depthwise_regularizer": regularizers.serialize(self.depthwise_regularizer),
            "depthwise_constraint": constraints.serialize(self.depthwise_constraint),
        }


class DepthwiseConv2D(Depthwise):
    """A convolution of each channel by itself, with ``depth_multiplier`` filters for each.

    Takes (batch, height, width, in), makes (batch, new height, new width, in * depth_multiplier):
    first the filters of channel 0, then those of channel 1.

    Args:
        depth_multiplier: Filters for each channel.
        depthwise_initializer, depthwise_regularizer, depthwise_constraint: Of the kernel. A
            constraint's axis may be [0, 1], a norm for each filter; [2, 3]; or [0, 1, 2, 3].

    The others are those of :class:`fastnn.layers.Conv2D`.

    Attributes:
        kernel : Variable of shape (height, width, in, depth_multiplier)
        bias : Variable of shape (in * depth_multiplier,), or None
    """

    rank = 2


class DepthwiseConv1D(Depthwise):
    """:class:`DepthwiseConv2D` along one axis: takes (batch, steps, in), makes (batch, new steps,
    in * depth_multiplier). The kernel has shape (size, in, depth_multiplier)."""

    rank = 1
