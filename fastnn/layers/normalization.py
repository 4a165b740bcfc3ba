"""Layers that bring their inputs to mean 0 and variance 1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from fastnn import constraints, initializers, regularizers
from fastnn._checks import check_flag, check_integer, check_real
from fastnn.constraints import ConstraintLike
from fastnn.graph import Shape, positive_axis
from fastnn.initializers import InitializerLike
from fastnn.layers.base import Layer
from fastnn.regularizers import RegularizerLike
from fastnn.variables import Variable


class NormalizationLayer(Layer):
    """Base: output shape = input shape, with an optional factor and summand for each feature.

    Attributes:
        gamma : Variable of the features' shape, or None: The factor, with ``scale``.
        beta : Variable of the features' shape, or None: The summand, with ``center``.
    """

    def __init__(
        self,
        epsilon: float,
        center: bool,
        scale: bool,
        beta_initializer: InitializerLike,
        gamma_initializer: InitializerLike,
        beta_regularizer: RegularizerLike,
        gamma_regularizer: RegularizerLike,
        beta_constraint: ConstraintLike,
        gamma_constraint: ConstraintLike,
        name: str | None,
        trainable: bool,
    ) -> None:
        owner = type(self).__name__
        self.epsilon = check_real(owner, "epsilon", epsilon, above=0)
        self.center = check_flag(owner, "center", center)
        self.scale = check_flag(owner, "scale", scale)
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.beta_constraint = constraints.get(beta_constraint)
        self.gamma_constraint = constraints.get(gamma_constraint)
        super().__init__(name=name, trainable=trainable)
        self.gamma: Variable | None = None
        self.beta: Variable | None = None

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        shape = self._feature_shape(input_shape)
        if self.weights and shape != self.weights[0].shape:
            raise ValueError(
                f"{self._described()} was built for features of shape {self.weights[0].shape}, got "
                f"inputs of shape {input_shape}"
            )
        return input_shape

    def feature_axes(self, input_shape: Shape) -> tuple[int, ...]:
        """The axes of the features, from 1, ascending; ValueError if the inputs lack one."""
        raise NotImplementedError

    def _feature_shape(self, input_shape: Shape) -> tuple[int, ...]:
        return tuple(input_shape[axis] for axis in self.feature_axes(input_shape))  # type: ignore[misc]

    def _described(self) -> str:
        return f"layer {self.name!r} ({type(self).__name__})"

    def create_weights(self, input_shape: Shape) -> None:
        shape = self._feature_shape(input_shape)
        one_line = (1, math.prod(shape))
        if self.scale:
            self.gamma = self.add_weight(
                shape, self.gamma_initializer, "gamma", matrix_shape=one_line,
                regularizer=self.gamma_regularizer, constraint=self.gamma_constraint,
            )  # fmt: skip
        if self.center:
            self.beta = self.add_weight(
                shape, self.beta_initializer, "beta", matrix_shape=one_line,
                regularizer=self.beta_regularizer, constraint=self.beta_constraint,
            )  # fmt: skip

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "epsilon": self.epsilon,
            "center": self.center,
            "scale": self.scale,
            "beta_initializer": initializers.serialize(self.beta_initializer),
            "gamma_initializer": initializers.serialize(self.gamma_initializer),
            "beta_regularizer": regularizers.serialize(self.beta_regularizer),
            "gamma_regularizer": regularizers.serialize(self.gamma_regularizer),
            "beta_constraint": constraints.serialize(self.beta_constraint),
            "gamma_constraint": constraints.serialize(self.gamma_constraint),
        }


class ChannelNormalization(NormalizationLayer):
    """Base of those with a factor and a summand for each index of one axis.

    Attributes:
        axis : int: As given.
    """

    def __init__(self, axis: int, *settings: Any) -> None:
        owner = type(self).__name__
        self.axis = check_integer(owner, "axis", axis)
        if not self.axis:
            raise ValueError(f"{owner}: axis must not be 0, the batch")
        super().__init__(*settings)

    def feature_axes(self, input_shape: Shape) -> tuple[int, ...]:
        return (positive_axis(self._described(), self.axis, input_shape),)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis}


class BatchNormalization(ChannelNormalization):
    """``gamma * (x - mean) / sqrt(variance + epsilon) + beta``, feature by feature (Ioffe and
    Szegedy 2015). Of pictures a feature is a channel, its mean that over batch, height and width.

    While it trains, mean and variance are those of the batch, and the moving ones follow:
    ``moving = moving * momentum + of_the_batch * (1 - momentum)``; the variance is the biased one
    both times, as in Keras. To evaluate and predict, and always with ``trainable=False``, the
    moving ones are used and stay as they are. A step that is stopped for a gradient that isn't
    finite leaves them as they were.

    Output shape = input shape, of any rank. Keras's ``renorm`` and ``synchronized`` are not there.

    Args:
        axis: The features or channels: any but the batch.
        momentum: 0 to 1: of the moving mean and variance.
        epsilon: Above 0; added to the variance.
        center, scale: Whether there is a ``beta``, a ``gamma``.
        beta_initializer, gamma_initializer, moving_mean_initializer,
        moving_variance_initializer: As ``fastnn.initializers.get`` takes them.
        beta_regularizer, gamma_regularizer: As ``fastnn.regularizers.get`` takes them.
        beta_constraint, gamma_constraint: As ``fastnn.constraints.get`` takes them.

    Attributes:
        moving_mean, moving_variance : Variable of shape (features,): There once the layer is
            built; not trainable.
    """

    moving_mean: Variable
    moving_variance: Variable

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: InitializerLike = "zeros",
        gamma_initializer: InitializerLike = "ones",
        moving_mean_initializer: InitializerLike = "zeros",
        moving_variance_initializer: InitializerLike = "ones",
        beta_regularizer: RegularizerLike = None,
        gamma_regularizer: RegularizerLike = None,
        beta_constraint: ConstraintLike = None,
        gamma_constraint: ConstraintLike = None,
        *,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        self.momentum = check_real(
            "BatchNormalization", "momentum", momentum, at_least=0, at_most=1
        )
        self.moving_mean_initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer)
        super().__init__(
            axis, epsilon, center, scale, beta_initializer, gamma_initializer, beta_regularizer,
            gamma_regularizer, beta_constraint, gamma_constraint, name, trainable,
        )  # fmt: skip

    def create_weights(self, input_shape: Shape) -> None:
        super().create_weights(input_shape)
        shape = self._feature_shape(input_shape)
        self.moving_mean = self.add_weight(
            shape, self.moving_mean_initializer, "moving_mean", trainable=False
        )
        self.moving_variance = self.add_weight(
            shape, self.moving_variance_initializer, "moving_variance", trainable=False
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "momentum": self.momentum,
            "moving_mean_initializer": initializers.serialize(self.moving_mean_initializer),
            "moving_variance_initializer": initializers.serialize(self.moving_variance_initializer),
        }


class LayerNormalization(NormalizationLayer):
    """``gamma * (x - mean) / sqrt(variance + epsilon) + beta``, mean and variance those over
    ``axis``, for each example and each position of the axes before (Ba et al. 2016).

    Output shape = input shape, of any rank; ``gamma`` and ``beta`` have the extents of ``axis``.

    Args:
        axis: The last axis, or a list of the last ones: [1, 2, 3] for whole pictures. Others, which
            Keras takes, are a ValueError when the layer is built.
        epsilon: Above 0; added to the variance.
        center, scale: Whether there is a ``beta``, a ``gamma``.
        beta_initializer, gamma_initializer: As ``fastnn.initializers.get`` takes them.
        beta_regularizer, gamma_regularizer: As ``fastnn.regularizers.get`` takes them.
        beta_constraint, gamma_constraint: As ``fastnn.constraints.get`` takes them.

    Attributes:
        axis : int or tuple of int: As given.
    """

    def __init__(
        self,
        axis: int | Sequence[int] = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: InitializerLike = "zeros",
        gamma_initializer: InitializerLike = "ones",
        beta_regularizer: RegularizerLike = None,
        gamma_regularizer: RegularizerLike = None,
        beta_constraint: ConstraintLike = None,
        gamma_constraint: ConstraintLike = None,
        *,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        several = isinstance(axis, (tuple, list))
        axes = tuple(
            check_integer("LayerNormalization", "axis", each)
            for each in (axis if several else [axis])  # type: ignore[union-attr]
        )
        if not axes or 0 in axes:
            raise ValueError(
                "LayerNormalization: axis must be an axis or a list of axes, without 0, the batch, "
                f"got {axis!r}"
            )
        self.axis: int | tuple[int, ...] = axes if several else axes[0]
        super().__init__(
            epsilon, center, scale, beta_initializer, gamma_initializer, beta_regularizer,
            gamma_regularizer, beta_constraint, gamma_constraint, name, trainable,
        )  # fmt: skip

    def feature_axes(self, input_shape: Shape) -> tuple[int, ...]:
        given = (self.axis,) if isinstance(self.axis, int) else self.axis
        axes = sorted(positive_axis(self._described(), axis, input_shape) for axis in given)
        if axes != list(range(len(input_shape) - len(axes), len(input_shape))):
            raise ValueError(
                f"{self._described()}: axis must be the last axes of the inputs, got {self.axis} "
                f"for inputs of shape {input_shape}"
            )
        return tuple(axes)

    def get_config(self) -> dict[str, Any]:
        axis = self.axis if isinstance(self.axis, int) else list(self.axis)
        return {**super().get_config(), "axis": axis}


class GroupNormalization(ChannelNormalization):
    """``gamma * (x - mean) / sqrt(variance + epsilon) + beta``, mean and variance those of each
    example over a group of channels and all positions (Wu and He 2018).

    Output shape = input shape, of any rank. It does the same in training and in inference, and
    needs no large batches.

    Args:
        groups: Into so many the channels are split: a divisor of their number; or -1 for as many
            as there are channels (instance normalization). As in Keras 32 by default.
        axis: The channels: any axis but the batch.
        epsilon: Above 0; added to the variance.
        center, scale: Whether there is a ``beta``, a ``gamma``.
        beta_initializer, gamma_initializer: As ``fastnn.initializers.get`` takes them.
        beta_regularizer, gamma_regularizer: As ``fastnn.regularizers.get`` takes them.
        beta_constraint, gamma_constraint: As ``fastnn.constraints.get`` takes them.
    """

    def __init__(
        self,
        groups: int = 32,
        axis: int = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: InitializerLike = "zeros",
        gamma_initializer: InitializerLike = "ones",
        beta_regularizer: RegularizerLike = None,
        gamma_regularizer: RegularizerLike = None,
        beta_constraint: ConstraintLike = None,
        gamma_constraint: ConstraintLike = None,
        *,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        self.groups = check_integer("GroupNormalization", "groups", groups, at_least=-1)
        if not self.groups:
            raise ValueError("GroupNormalization: groups must be -1 or an integer from 1, got 0")
        super().__init__(
            axis, epsilon, center, scale, beta_initializer, gamma_initializer, beta_regularizer,
            gamma_regularizer, beta_constraint, gamma_constraint, name, trainable,
        )  # fmt: skip

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        shape = super().compute_output_shape(input_shape)
        self.n_groups(input_shape)
        return shape

    def n_groups(self, input_shape: Shape) -> int:
        """How many groups there are; ValueError if the channels can't be split so."""
        (channels,) = self._feature_shape(input_shape)
        groups = channels if self.groups == -1 else self.groups
        if channels % groups:
            raise ValueError(
                f"{self._described()}: groups must divide the number of channels, got "
                f"groups={groups} for inputs of shape {input_shape}"
            )
        return groups

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "groups": self.groups}
