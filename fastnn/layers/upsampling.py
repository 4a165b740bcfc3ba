"""Pictures made larger by a whole factor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastnn._checks import check_choice, check_integers
from fastnn.graph import Shape
from fastnn.layers.spatial import Spatial


class UpSampling(Spatial):
    """Base of UpSampling1D and UpSampling2D.

    Attributes:
        size : tuple of int: The factor along each axis.
        interpolation : str: "nearest" or "bilinear".
    """

    interpolation = "nearest"

    def __init__(
        self,
        size: int | Sequence[int],
        data_format: str | None = None,
        *,
        name: str | None,
        trainable: bool,
    ) -> None:
        self.size = check_integers(type(self).__name__, "size", size, self.rank, at_least=1)
        super().__init__(data_format, name=name, trainable=trainable)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        extents = self.extents(input_shape)
        larger = (extent * factor for extent, factor in zip(extents, self.size, strict=True))
        return (None, *larger, input_shape[-1])


class UpSampling2D(UpSampling):
    """(batch, height, width, channels) to (batch, height * size[0], width * size[1], channels).

    Args:
        size: The factor for (height, width), or one number for both.
        data_format: None or "channels_last".
        interpolation: "nearest": each pixel is repeated. "bilinear": with factor f, pixel i of the
            output is read at (i + 0.5) / f - 0.5, between the two pixels beside that, the nearest
            one at the edges. Keras's "bicubic" and "lanczos" are a ValueError.
    """

    rank = 2

    def __init__(
        self,
        size: int | Sequence[int] = (2, 2),
        data_format: str | None = None,
        interpolation: str = "nearest",
        *,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        self.interpolation = check_choice(
            "UpSampling2D", "interpolation", interpolation, ("nearest", "bilinear")
        )
        super().__init__(size, data_format, name=name, trainable=trainable)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "size": list(self.size),
            "interpolation": self.interpolation,
        }


class UpSampling1D(UpSampling):
    """Each step repeated: (batch, steps, channels) to (batch, steps * size, channels).

    Args:
        size: The factor.
    """

    rank = 1

    def __init__(self, size: int = 2, *, name: str | None = None, trainable: bool = True) -> None:
        super().__init__(size, name=name, trainable=trainable)

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), "size": self.size[0]}
        del config["data_format"]
        return config
