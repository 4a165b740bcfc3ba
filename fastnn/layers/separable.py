"""A convolution of each channel by itself, then one of all channels at each position."""

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


class Separable(Convolution):
    """Base of SeparableConv1D and SeparableConv2D.

    Attributes:
        depthwise_kernel : Variable of shape (*kernel_size, in, depth_multiplier)
        pointwise_kernel : Variable of shape (1, ..., in * depth_multiplier, filters)
    """

    depthwise_kernel: Variable
    pointwise_kernel: Variable

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: int | Sequence[int] = 1,
        depth_multiplier: int = 1,
        activation: str | Activation | dict[str, Any] | None = None,
        use_bias: bool = True,
        depthwise_initializer: InitializerLike = "glorot_uniform",
        pointwise_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        depthwise_regularizer: RegularizerLike = None,
        pointwise_regularizer: RegularizerLike = None,
        bias_regularizer: RegularizerLike = None,
        activity_regularizer: RegularizerLike = None,
        depthwise_constraint: ConstraintLike = None,
        pointwise_constraint: ConstraintLike = None,
        bias_constraint: ConstraintLike = None,
        *,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        owner = type(self).__name__
        self.filters = check_integer(owner, "filters", filters, at_least=1)
        self.depth_multiplier = check_integer(
            owner, "depth_multiplier", depth_multiplier, at_least=1
        )
        self.depthwise_initializer = window_initializer(
            owner, "depthwise_initializer", depthwise_initializer
        )
        self.pointwise_initializer = window_initializer(
            owner, "pointwise_initializer", pointwise_initializer
        )
        self.depthwise_regularizer = regularizers.get(depthwise_regularizer)
        self.pointwise_regularizer = regularizers.get(pointwise_regularizer)
        self.depthwise_constraint = constraints.get(depthwise_constraint)
        self.pointwise_constraint = constraints.get(pointwise_constraint)
        super().__init__(
            kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias,
            bias_initializer, bias_regularizer, activity_regularizer, bias_constraint, name,
            trainable,
        )  # fmt: skip

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        windows = self.windows(input_shape)
        self._check_channels(input_shape)
        return (None, *windows, self.filters)

    def _built_channels(self) -> int:
        return self.depthwise_kernel.shape[-2]

    def create_weights(self, input_shape: Shape) -> None:
        channels: int = input_shape[-1]  # type: ignore[assignment]
        between = channels * self.depth_multiplier
        self.depthwise_kernel = self.add_weight(
            (*self.kernel_size, channels, self.depth_multiplier), self.depthwise_initializer,
            "depthwise_kernel", regularizer=self.depthwise_regularizer,
            constraint=self.depthwise_constraint,
            matrix_shape=(math.prod(self.kernel_size), between),
        )  # fmt: skip
        self.pointwise_kernel = self.add_weight(
            (*(1,) * self.rank, between, self.filters), self.pointwise_initializer,
            "pointwise_kernel", regularizer=self.pointwise_regularizer,
            constraint=self.pointwise_constraint,
        )  # fmt: skip
        self._add_bias(self.filters)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "depth_multiplier": self.depth_multiplier,
            "depthwise_initializer": initializers.serialize(self.depthwise_initializer),
            "pointwise_initializer": initializers.serialize(self.pointwise_initializer),
            "depthwise_regularizer": regularizers.serialize(self.depthwise_regularizer),
            "pointwise_regularizer": regularizers.serialize(self.pointwise_regularizer),
            "depthwise_constraint": constraints.serialize(self.depthwise_constraint),
            "pointwise_constraint": constraints.serialize(self.pointwise_constraint),
        }


class SeparableConv2D(Separable):
    """A depthwise convolution without bias and activation, then a 1x1 convolution (Chollet 2017,
    "Xception").

    Takes (batch, height, width, in), makes (batch, new height, new width, filters). ``strides`` and
    ``dilation_rate`` are those of the first one.

    Args:
        depth_multiplier: Filters of the first convolution for each channel.
        depthwise_initializer, depthwise_regularizer, depthwise_constraint: Of the first kernel.
        pointwise_initializer, pointwise_regularizer, pointwise_constraint: Of the second.

    The others are those of :class:`fastnn.layers.Conv2D`.

    Attributes:
        depthwise_kernel : Variable of shape (height, width, in, depth_multiplier)
        pointwise_kernel : Variable of shape (1, 1, in * depth_multiplier, filters)
        bias : Variable of shape (filters,), or None
    """

    rank = 2


class SeparableConv1D(Separable):
    """:class:`SeparableConv2D` along one axis: takes (batch, steps, in), makes (batch, new steps,
    filters)."""

    rank = 1
