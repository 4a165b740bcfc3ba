"""Layers that bring their inputs to mean 0 and variance 1."""

from __future__ import annotations

from typing import Any

from fastnn import constraints, initializers, regularizers
from fastnn._checks import check_flag, check_real
from fastnn.constraints import ConstraintLike
from fastnn.graph import Shape
from fastnn.initializers import InitializerLike
from fastnn.layers.base import Layer
from fastnn.regularizers import RegularizerLike
from fastnn.variables import Variable


class Normalization(Layer):
    """Base: (batch, features) in and out, with an optional factor and summand for each feature.

    Attributes:
        gamma : Variable of shape (features,), or None: The factor, with ``scale``.
        beta : Variable of shape (features,), or None: The summand, with ``center``.
    """

    def __init__(
        self,
        axis: int,
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
        if isinstance(axis, bool) or axis not in (-1, 1):
            raise ValueError(f"axis of {owner} must be -1 or 1, the last one, got {axis!r}")
        self.axis = int(axis)
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
        owner = f"layer {self.name!r} ({type(self).__name__})"
        if len(input_shape) != 2:
            raise ValueError(
                f"{owner} takes inputs of shape (None, features), got {input_shape}: add Flatten() "
                "before it"
            )
        if self.weights and input_shape[1] != self.weights[0].shape[0]:
            raise ValueError(
                f"{owner} was built for inputs of shape (None, {self.weights[0].shape[0]}), got "
                f"{input_shape}"
            )
        return input_shape

    def create_weights(self, input_shape: tuple[None, int]) -> None:
        shape = (input_shape[1],)
        if self.scale:
            self.gamma = self.add_weight(
                shape, self.gamma_initializer, "gamma",
                regularizer=self.gamma_regularizer, constraint=self.gamma_constraint,
            )  # fmt: skip
        if self.center:
            self.beta = self.add_weight(
                shape, self.beta_initializer, "beta",
                regularizer=self.beta_regularizer, constraint=self.beta_constraint,
            )  # fmt: skip

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "axis": self.axis,
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


class BatchNormalization(Normalization):
    """``gamma * (x - mean) / sqrt(variance + epsilon) + beta``, feature by feature (Ioffe and
    Szegedy 2015).

    While it trains, mean and variance are those of the batch, and the moving ones follow:
    ``moving = moving * momentum + of_the_batch * (1 - momentum)``; the variance is the biased one
    both times, as in Keras. To evaluate and predict, and always with ``trainable=False``, the
    moving ones are used and stay as they are. A step that is stopped for a gradient that isn't
    finite leaves them as they were.

    Takes and makes (batch, features). An input of higher rank is a ValueError, where Keras would
    normalize each index of ``axis``: put a Flatten before. Keras's ``renorm`` and
    ``synchronized`` are not there.

    Args:
        axis: -1 or 1, the features.
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

    def create_weights(self, input_shape: tuple[None, int]) -> None:
        super().create_weights(input_shape)
        shape = (input_shape[1],)
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


class LayerNormalization(Normalization):
    """``gamma * (x - mean) / sqrt(variance + epsilon) + beta``, mean and variance those of each
    row over its features (Ba et al. 2016).

    Takes and makes (batch, features). An input of higher rank is a ValueError, where Keras would
    normalize along ``axis``: put a Flatten before.

    Args:
        axis: -1 or 1, the features.
        epsilon: Above 0; added to the variance.
        center, scale: Whether there is a ``beta``, a ``gamma``.
        beta_initializer, gamma_initializer: As ``fastnn.initializers.get`` takes them.
        beta_regularizer, gamma_regularizer: As ``fastnn.regularizers.get`` takes them.
        beta_constraint, gamma_constraint: As ``fastnn.constraints.get`` takes them.
    """

    def __init__(
        self,
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
        super().__init__(
            axis, epsilon, center, scale, beta_initializer, gamma_initializer, beta_regularizer,
            gamma_regularizer, beta_constraint, gamma_constraint, name, trainable,
        )  # fmt: skip
