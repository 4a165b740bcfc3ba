"""Layers that prepare the data."""

from __future__ import annotations

from typing import Any

from fastnn._checks import check_real
from fastnn.layers.base import Layer


class Rescaling(Layer):
    """``x * scale + offset``. Output shape = input shape.

    ``Rescaling(1 / 255)`` brings uint8 pixels to [0, 1].
    """

    def __init__(
        self,
        scale: float,
        offset: float = 0.0,
        *,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        self.scale = check_real("Rescaling", "scale", scale)
        self.offset = check_real("Rescaling", "offset", offset)
        super().__init__(name=name, trainable=trainable)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": self.scale, "offset": self.offset}
