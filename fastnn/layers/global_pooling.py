"""The largest or the mean value of each channel."""

from __future__ import annotations

from typing import Any

from fastnn._checks import check_flag
from fastnn.graph import Shape
from fastnn.layers.spatial import Spatial


class GlobalPooling(Spatial):
    """Base: (batch, ..., channels) to (batch, channels).

    Args:
        data_format: None or "channels_last".
        keepdims: Whether the axes between stay, with extent 1.
    """

    def __init__(
        self,
        data_format: str | None = None,
        keepdims: bool = False,
        *,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        self.keepdims = check_flag(type(self).__name__, "keepdims", keepdims)
        super().__init__(data_format, name=name, trainable=trainable)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        self.extents(input_shape)
        between = (1,) * self.rank if self.keepdims else ()
        return (None, *between, input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "keepdims": self.keepdims}


class GlobalMaxPooling2D(GlobalPooling):
    """The largest value of each channel: (batch, height, width, channels) to (batch, channels).

    Args:
        data_format: None or "channels_last".
        keepdims: Whether the output is (batch, 1, 1, channels) instead.
    """

    rank = 2


class GlobalMaxPooling1D(GlobalPooling):
    """The largest value of each channel: (batch, steps, channels) to (batch, channels).

    Args:
        data_format: None or "channels_last".
        keepdims: Whether the output is (batch, 1, channels) instead.
    """

    rank = 1


class GlobalAveragePooling2D(GlobalPooling):
    """The mean of each channel: (batch, height, width, channels) to (batch, channels).

    Args:
        data_format: None or "channels_last".
        keepdims: Whether the output is (batch, 1, 1, channels) instead.
    """

    rank = 2


class GlobalAveragePooling1D(GlobalPooling):
    """The mean of each channel: (batch, steps, channels) to (batch, channels).

    Keras's ``mask`` isn't there.

    Args:
        data_format: None or "channels_last".
        keepdims: Whether the output is (batch, 1, channels) instead.
    """

    rank = 1
