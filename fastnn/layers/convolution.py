"""Convolutions in which every output channel reads every input channel of its group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from fastnn import activations, constraints, initializers, regularizers
from fastnn._checks import check_flag, check_integer
from fastnn.activations import Activation
from fastnn.constraints import Constraint, ConstraintLike
from fastnn.graph import Shape
from fastnn.initializers import LSUV, InitializerLike
from fastnn.layers.windowed import Windowed
from fastnn.regularizers import RegularizerLike
from fastnn.variables import Variable


class Convolution(Windowed):
    """Base of all convolutions: what they do to the sums of their windows.

    Attributes:
        kernel_size, strides, dilation_rate : tuple of int: One for each axis.
        padding : str
        activation : fastnn.activations.Activation
        bias : Variable of shape (channels of the output,), or None
    """

    paddings: ClassVar[Sequence[str]] = ("valid", "same")

    def __init__(
        self,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int],
        padding: str,
        data_format: str | None,
        dilation_rate: int | Sequence[int],
        activation: str | Activation | dict[str, Any] | None,
        use_bias: bool,
        bias_initializer: InitializerLike,
        bias_regularizer: RegularizerLike,
        activity_regularizer: RegularizerLike,
        bias_constraint: ConstraintLike,
        name: str | None,
        trainable: bool,
    ) -> None:
        owner = type(self).__name__
        super().__init__(
            "kernel_size", kernel_size, strides, padding, data_format, dilation_rate,
            self.paddings, name=name, trainable=trainable,
        )  # fmt: skip
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError(
                f"{owner}: strides above 1 don't go with dilation_rate above 1, got strides="
                f"{self.strides} and dilation_rate={self.dilation_rate}"
            )
        self.activation = activations.get(activation)
        self.use_bias = check_flag(owner, "use_bias", use_bias)
        self.bias_initializer = initializers.get(bias_initializer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.activity_regularizer = regularizers.get(activity_regularizer)
        self.bias_constraint = constraints.get(bias_constraint)
        self.bias: Variable | None = None

    @property
    def kernel_size(self) -> tuple[int, ...]:
        """The window's size along each axis."""
        return self.window

    def _check_channels(self, input_shape: Shape) -> int:
        """The input's channels; ValueError if the layer was built for another number."""
        channels: int = input_shape[-1]  # type: ignore[assignment]
        if self.built and channels != self._built_channels():
            raise ValueError(
                f"layer {self.name!r} ({type(self).__name__}) was built for inputs of "
                f"{self._built_channels()} channels, got {input_shape}"
            )
        return channels

    def _built_channels(self) -> int:
        """The channels that the layer was built for."""
        raise NotImplementedError

    def _add_bias(self, channels: int) -> None:
        if self.use_bias:
            self.bias = self.add_weight(
                (channels,), self.bias_initializer, "bias",
                regularizer=self.bias_regularizer, constraint=self.bias_constraint,
            )  # fmt: skip

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "kernel_size": list(self.kernel_size),
            "dilation_rate": list(self.dilation_rate),
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "bias_regularizer": regularizers.serialize(self.bias_regularizer),
            "activity_regularizer": regularizers.serialize(self.activity_regularizer),
            "bias_constraint": constraints.serialize(self.bias_constraint),
        }


def window_initializer(owner: str, argument: str, initializer: InitializerLike) -> Any:
    """The initializer of a convolution's kernel; ValueError for LSUV, which knows Dense only."""
    made = initializers.get(initializer)
    if isinstance(made, LSUV):
        raise ValueError(
            f"{owner}: {argument} can't be LSUV, which scales kernels of Dense layers only; "
            "HeNormal is the usual choice before ReLU"
        )
    return made


class FullConvolution(Convolution):
    """Base of Conv1D and Conv2D.

    Attributes:
        kernel : Variable of shape (*kernel_size, in / groups, filters): There once the layer is
            built.
    """

    kernel: Variable

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: int | Sequence[int] = 1,
        groups: int = 1,
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
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        owner = type(self).__name__
        self.filters = check_integer(owner, "filters", filters, at_least=1)
        self.groups = check_integer(owner, "groups", groups, at_least=1)
        if self.filters % self.groups:
            raise ValueError(
                f"{owner}: filters must be a multiple of groups, got filters={self.filters} and "
                f"groups={self.groups}"
            )
        self.kernel_initializer = window_initializer(
            owner, "kernel_initializer", kernel_initializer
        )
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.kernel_constraint: Constraint | None = constraints.get(kernel_constraint)
        super().__init__(
            kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias,
            bias_initializer, bias_regularizer, activity_regularizer, bias_constraint, name,
            trainable,
        )  # fmt: skip

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        windows = self.windows(input_shape)
        channels = self._check_channels(input_shape)
        if channels % self.groups:
            raise ValueError(
                f"layer {self.name!r} ({type(self).__name__}): the input's channels must be a "
                f"multiple of groups={self.groups}, got {input_shape}"
            )
        return (None, *windows, self.filters)

    def _built_channels(self) -> int:
        return self.kernel.shape[-2] * self.groups

    def create_weights(self, input_shape: Shape) -> None:
        channels: int = input_shape[-1]  # type: ignore[assignment]
        self.kernel = self.add_weight(
            (*self.kernel_size, channels // self.groups, self.filters), self.kernel_initializer,
            "kernel", regularizer=self.kernel_regularizer, constraint=self.kernel_constraint,
        )  # fmt: skip
        self._add_bias(self.filters)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "groups": self.groups,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "kernel_regularizer": regularizers.serialize(self.kernel_regularizer),
            "kernel_constraint": constraints.serialize(self.kernel_constraint),
        }


class Conv2D(FullConvolution):
    """``activation(sum of window * kernel + bias)`` at each position of pictures.

    Takes (batch, height, width, in), makes (batch, new height, new width, filters). As in every
    framework the kernel is not turned: this is a cross-correlation.

    ::

        layers.Conv2D(32, 3, padding="same", activation="relu")

    Keras's ``data_format="channels_first"`` is a ValueError.

    Args:
        filters: Channels of the output; a multiple of ``groups``.
        kernel_size: (height, width) of the window, or one number for both.
        strides: How far the window moves. Not above 1 together with ``dilation_rate``.
        padding: "valid": windows lie inside of the picture. "same": the picture is surrounded by
            zeros so that there are ceil(extent / stride) windows along an axis; of an odd number of
            zeros the greater part comes after.
        data_format: None or "channels_last".
        dilation_rate: How far apart the taps of a window are.
        groups: The channels are split in so many groups, and each filter reads one group. A divisor
            of the input's channels.
        activation: A name, an activation of ``fastnn.activations``, or None for none.
        use_bias: Whether there is a bias.
        kernel_initializer, bias_initializer: As ``fastnn.initializers.get`` takes them; a kernel's
            fans are its channels in and out, times the size of the window. LSUV is a ValueError.
        kernel_regularizer, bias_regularizer: As ``fastnn.regularizers.get`` takes them.
        activity_regularizer: Likewise, of the layer's output; its penalty is divided by the number
            of examples in the batch.
        kernel_constraint, bias_constraint: As ``fastnn.constraints.get`` takes them.

    Attributes:
        kernel : Variable of shape (height, width, in / groups, filters)
        bias : Variable of shape (filters,), or None
    """

    rank = 2


class Conv1D(FullConvolution):
    """:class:`Conv2D` along one axis: takes (batch, steps, in), makes (batch, new steps, filters).

    Args:
        padding: Also "causal": zeros come before only, so that no output depends on later inputs.
        kernel_size, strides, dilation_rate: One integer, or a tuple of one.

    The others are those of Conv2D; the kernel has shape (size, in / groups, filters).
    """

    rank = 1
    paddings = ("valid", "same", "causal")
