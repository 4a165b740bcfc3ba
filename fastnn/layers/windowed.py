"""Windowed: what convolutions and pooling share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastnn._checks import check_choice, check_integers
from fastnn.graph import Shape
from fastnn.layers import geometry
from fastnn.layers.spatial import Spatial

_FURTHEST = 2**31 - 1
"""Positions are int32."""


class Windowed(Spatial):
    """Base of layers that move a window over the axes between batch and channels.

    Attributes:
        window : tuple of int: Its size along each axis.
        strides : tuple of int: How far it moves.
        dilation_rate : tuple of int: How far apart its taps are.
        padding : str: "valid", "same" or "causal".
    """

    def __init__(
        self,
        window_name: str,
        window: int | Sequence[int],
        strides: int | Sequence[int],
        padding: str,
        data_format: str | None,
        dilation_rate: int | Sequence[int] = 1,
        paddings: Sequence[str] = ("valid", "same"),
        *,
        name: str | None,
        trainable: bool,
    ) -> None:
        owner = type(self).__name__
        self.window = check_integers(owner, window_name, window, self.rank, at_least=1)
        self.strides = check_integers(owner, "strides", strides, self.rank, at_least=1)
        self.dilation_rate = check_integers(
            owner, "dilation_rate", dilation_rate, self.rank, at_least=1
        )
        lower = padding.lower() if isinstance(padding, str) else padding
        self.padding = check_choice(owner, "padding", lower, paddings)
        super().__init__(data_format, name=name, trainable=trainable)

    def axes(self, input_shape: Shape) -> tuple[geometry.Axis, ...]:
        """Where the windows lie for inputs of this shape.

        Raises:
            ValueError: None fits, or they reach further than the engine's tables can say.
        """
        axes = geometry.axes(
            self.extents(input_shape), self.window, self.strides, self.padding, self.dilation_rate
        )
        if any(axis.windows < 1 for axis in axes):
            spans = tuple(geometry.span(axis.window, axis.dilation) for axis in axes)
            raise ValueError(
                f"layer {self.name!r} ({type(self).__name__}): a window of {spans} does not fit "
                f"into inputs of shape {input_shape} with padding 'valid'"
            )
        for axis in axes:
            reach = max(axis.before + axis.length + axis.after, axis.stride, axis.dilation)
            if reach > _FURTHEST:
                raise ValueError(
                    f"layer {self.name!r} ({type(self).__name__}): for inputs of shape "
                    f"{input_shape}, its windows reach over {reach} positions, more than "
                    f"{_FURTHEST}"
                )
        return axes

    def windows(self, input_shape: Shape) -> tuple[int, ...]:
        """The output's extents between batch and channels."""
        return tuple(axis.windows for axis in self.axes(input_shape))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "strides": list(self.strides), "padding": self.padding}
