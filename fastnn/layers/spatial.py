"""Spatial: the base of the layers of signals and pictures, channels last."""

from __future__ import annotations

from typing import Any, ClassVar

from fastnn.graph import Shape
from fastnn.layers.base import Layer

EXTENTS = {1: ("steps",), 2: ("height", "width")}
"""What the axes between batch and channels are called, by their number."""


def check_data_format(owner: str, data_format: object) -> str:
    """ "channels_last", which None means too; ValueError for anything else."""
    if data_format not in (None, "channels_last"):
        raise ValueError(
            f"{owner}: data_format must be 'channels_last', the only one there is, got "
            f"{data_format!r}; Permute((2, 3, 1)) brings (batch, channels, height, width) to it"
        )
    return "channels_last"


def check_spatial(layer: Layer, rank: int, input_shape: Shape) -> tuple[int, ...]:
    """The extents between batch and channels; ValueError if there aren't ``rank`` of them."""
    if len(input_shape) != rank + 2:
        # Pictures of one channel often come without an axis for it.
        hint = "; Reshape((..., 1)) gives it channels" if len(input_shape) == rank + 1 else ""
        raise ValueError(
            f"layer {layer.name!r} ({type(layer).__name__}) takes inputs of shape (None, "
            f"{', '.join(EXTENTS[rank])}, channels), got {input_shape}{hint}"
        )
    return input_shape[1:-1]  # type: ignore[return-value]


class Spatial(Layer):
    """Base of layers that take (batch, steps, channels) or (batch, height, width, channels).

    Attributes:
        data_format : str: "channels_last".
    """

    rank: ClassVar[int]
    """How many axes lie between batch and channels."""

    def __init__(
        self, data_format: str | None = None, *, name: str | None = None, trainable: bool = True
    ) -> None:
        self.data_format = check_data_format(type(self).__name__, data_format)
        super().__init__(name=name, trainable=trainable)

    def extents(self, input_shape: Shape) -> tuple[int, ...]:
        """``input_shape`` without batch and channels; ValueError if its rank is wrong."""
        return check_spatial(self, self.rank, input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "data_format": self.data_format}
