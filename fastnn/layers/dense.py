"""The fully connected layer."""

from __future__ import annotations

from typing import Any

from fastnn import activations, constraints, initializers, regularizers
from fastnn._checks import check_flag, check_integer, check_real
from fastnn.activations import Activation
from fastnn.constraints import ConstraintLike
from fastnn.graph import Shape
from fastnn.initializers import InitializerLike
from fastnn.layers.base import Layer
from fastnn.layers.noise import noise_seed
from fastnn.regularizers import RegularizerLike
from fastnn.variables import Variable


class Dense(Layer):
    """``activation(x @ kernel + bias)``, along the last axis.

    Takes (batch, ..., in), makes (batch, ..., units).

    Args:
        units: Width of the output.
        activation: A name, an activation of ``fastnn.activations``, or None for none.
        use_bias: Whether there is a bias.
        kernel_initializer, bias_initializer: As ``fastnn.initializers.get`` takes them.
        kernel_regularizer, bias_regularizer: As ``fastnn.regularizers.get`` takes them: penalties
            of the weights that training adds to the loss.
        activity_regularizer: Likewise, of the layer's output; its penalty is divided by the number
            of rows in the batch.
        kernel_constraint, bias_constraint: As ``fastnn.constraints.get`` takes them: what the
            weights must be after each step of training.
        dropconnect: A rate in [0, 1): DropConnect (Wan et al. 2013, "Regularization of Neural
            Networks using DropConnect"). In training, each batch has one mask of the kernel, in
            which a weight is 0 with this probability; the others are multiplied by
            ``1 / (1 - rate)``. In inference the output is the expectation of the activation over
            the normal distribution that matches the masks' first two moments (their section 3.2):
            of mean ``x @ kernel + bias`` and variance ``rate / (1 - rate) * x^2 @ kernel^2``:
            exact for linear, relu and leaky_relu, else by Gauss and Hermite's quadrature of 16
            points (for a variance of 1, off by less than 1e-4 where the activation is smooth, by
            1e-2 where it has a kink). Softmax is of the mean. An activation that is a layer of its
            own counts, if nothing else reads the Dense layer. The bias is not dropped. Keras has no
            such argument.
        dropconnect_seed: Of the masks, from 0 to 2**63 - 1. By default one is drawn from the stream
            that ``set_random_seed`` fixes.

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
        kernel_regularizer: RegularizerLike = None,
        bias_regularizer: RegularizerLike = None,
        activity_regularizer: RegularizerLike = None,
        kernel_constraint: ConstraintLike = None,
        bias_constraint: ConstraintLike = None,
        *,
        dropconnect: float = 0.0,
        dropconnect_seed: int | None = None,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        self.units = check_integer("Dense", "units", units, at_least=1)
        self.activation = activations.get(activation)
        self.use_bias = check_flag("Dense", "use_bias", use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.activity_regularizer = regularizers.get(activity_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.dropconnect = check_real("Dense", "dropconnect", dropconnect, at_least=0, below=1)
        if self.dropconnect or dropconnect_seed is not None:
            dropconnect_seed = noise_seed("Dense", "dropconnect_seed", dropconnect_seed)
        self.dropconnect_seed = dropconnect_seed
        super().__init__(name=name, trainable=trainable)
        self.bias: Variable | None = None

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) < 2:
            raise ValueError(
                f"layer {self.name!r} (Dense) takes inputs of shape (None, ..., features), got "
                f"{input_shape}"
            )
        if self.built and input_shape[-1] != self.kernel.shape[0]:
            raise ValueError(
                f"layer {self.name!r} (Dense) was built for inputs of shape "
                f"(None, ..., {self.kernel.shape[0]}), got {input_shape}"
            )
        return (*input_shape[:-1], self.units)

    def create_weights(self, input_shape: Shape) -> None:
        inputs: int = input_shape[-1]  # type: ignore[assignment]
        shape = (inputs, self.units)
        self.kernel = self.add_weight(
            shape, self.kernel_initializer, "kernel",
            regularizer=self.kernel_regularizer, constraint=self.kernel_constraint,
        )  # fmt: skip
        if self.use_bias:
            self.bias = self.add_weight(
                (self.units,), self.bias_initializer, "bias",
                regularizer=self.bias_regularizer, constraint=self.bias_constraint,
            )  # fmt: skip

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "kernel_regularizer": regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": regularizers.serialize(self.bias_regularizer),
            "activity_regularizer": regularizers.serialize(self.activity_regularizer),
            "kernel_constraint": constraints.serialize(self.kernel_constraint),
            "bias_constraint": constraints.serialize(self.bias_constraint),
            "dropconnect": self.dropconnect,
            "dropconnect_seed": self.dropconnect_seed,
        }
