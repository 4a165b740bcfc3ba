"""The largest or the mean value of each window, channel by channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastnn.graph import Shape
from fastnn.layers.windowed import Windowed


class Pooling(Windowed):
    """Base of pooling over windows.

    Attributes:
        pool_size, strides : tuple of int: One for each axis.
        padding : str: "valid" or "same".
    """

    def __init__(
        self,
        pool_size: int | Sequence[int],
        strides: int | Sequence[int] | None,
        padding: str,
        data_format: str | None,
        name: str | None,
        trainable: bool,
    ) -> None:
        super().__init__(
            "pool_size", pool_size, pool_size if strides is None else strides, padding,
            data_format, name=name, trainable=trainable,
        )  # fmt: skip

    @property
    def pool_size(self) -> tuple[int, ...]:
        """The window's size along each axis."""
        return self.window

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (None, *self.windows(input_shape), input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "pool_size": list(self.pool_size)}


class MaxPooling(Pooling):
    """Base of MaxPooling1D and MaxPooling2D."""

    def __init__(
        self,
        pool_size: int | Sequence[int] = 2,
        strides: int | Sequence[int] | None = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        *,
        trainable: bool = True,
    ) -> None:
        super().__init__(pool_size, strides, padding, data_format, name, trainable)


class AveragePooling(Pooling):
    """Base of AveragePooling1D and AveragePooling2D."""

    def __init__(
        self,
        pool_size: int | Sequence[int],
        strides: int | Sequence[int] | None = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        *,
        trainable: bool = True,
    ) -> None:
        super().__init__(pool_size, strides, padding, data_format, name, trainable)


class MaxPooling2D(MaxPooling):
    """The largest value of each window, for each channel; of equal ones, the first has the
    gradient.

    Takes (batch, height, width, channels), makes (batch, new height, new width, channels).

    Args:
        pool_size: (height, width) of the window, or one number for both.
        strides: How far the window moves; by default ``pool_size``.
        padding: "valid": windows lie inside of the picture, what is left at its end is not looked
            at. "same": ceil(extent / stride) windows along an axis, of which those at the edges are
            smaller.
        data_format: None or "channels_last".
    """

    rank = 2


class MaxPooling1D(MaxPooling):
    """:class:`MaxPooling2D` along one axis: takes (batch, steps, channels)."""

    rank = 1


class AveragePooling2D(AveragePooling):
    """The mean of each window, for each channel; with padding "same", of what is inside.

    Takes (batch, height, width, channels), makes (batch, new height, new width, channels). The
    arguments are those of :class:`MaxPooling2D`; ``pool_size`` has no default.

    *Moving-average pooling*, also called overlapping or sliding average pooling, is this layer with
    stride 1: each position becomes the mean of its surroundings::

        layers.AveragePooling2D(3, strides=1, padding="same")
    """

    rank = 2


class AveragePooling1D(AveragePooling):
    """:class:`AveragePooling2D` along one axis: takes (batch, steps, channels).

    The moving average of a series over 5 steps::

        layers.AveragePooling1D(5, strides=1, padding="same")
    """

    rank = 1
