"""Zeros around pictures, pictures cut at their edges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastnn._checks import check_integer
from fastnn.graph import Shape
from fastnn.layers.spatial import Spatial

Amounts = int | Sequence[int] | Sequence[Sequence[int]]


class Border(Spatial):
    """Base of padding and cropping.

    Attributes:
        amounts : tuple of pairs: (before, after) of each axis.
    """

    def __init__(
        self,
        argument: str,
        amounts: Amounts,
        data_format: str | None = None,
        *,
        name: str | None,
        trainable: bool,
    ) -> None:
        self.amounts = _checked_amounts(type(self).__name__, argument, amounts, self.rank)
        super().__init__(data_format, name=name, trainable=trainable)

    def _plain_amounts(self) -> Any:
        """As the constructor takes them."""
        pairs = [list(pair) for pair in self.amounts]
        return pairs if self.rank > 1 else pairs[0]


class ZeroPadding(Border):
    """Base of ZeroPadding1D and ZeroPadding2D."""

    def __init__(
        self,
        padding: Amounts = 1,
        data_format: str | None = None,
        *,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        super().__init__("padding", padding, data_format, name=name, trainable=trainable)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        extents = self.extents(input_shape)
        padded = (
            before + extent + after
            for extent, (before, after) in zip(extents, self.amounts, strict=True)
        )
        return (None, *padded, input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "padding": self._plain_amounts()}


class Cropping(Border):
    """Base of Cropping1D and Cropping2D."""

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        extents = self.extents(input_shape)
        left = tuple(
            extent - before - after
            for extent, (before, after) in zip(extents, self.amounts, strict=True)
        )
        if min(left) < 1:
            raise ValueError(
                f"layer {self.name!r} ({type(self).__name__}): cropping {self._plain_amounts()} "
                f"leaves nothing of inputs of shape {input_shape}"
            )
        return (None, *left, input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "cropping": self._plain_amounts()}


class ZeroPadding2D(ZeroPadding):
    """Zeros around pictures: (batch, height, width, channels) to (batch, top + height + bottom,
    left + width + right, channels).

    Args:
        padding: One number for all four sides; (height, width), each for both sides; or
            ((top, bottom), (left, right)).
        data_format: None or "channels_last".
    """

    rank = 2


class ZeroPadding1D(ZeroPadding):
    """Zeros before and after: (batch, steps, channels) to (batch, before + steps + after,
    channels).

    Args:
        padding: One number for both ends, or (before, after).
        data_format: None or "channels_last".
    """

    rank = 1


class Cropping2D(Cropping):
    """Pictures without their edges: (batch, height, width, channels) to (batch, height - top -
    bottom, width - left - right, channels).

    Args:
        cropping: One number for all four sides; (height, width), each for both sides; or
            ((top, bottom), (left, right)).
        data_format: None or "channels_last".
    """

    rank = 2

    def __init__(
        self,
        cropping: Amounts = ((0, 0), (0, 0)),
        data_format: str | None = None,
        *,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        super().__init__("cropping", cropping, data_format, name=name, trainable=trainable)


class Cropping1D(Cropping):
    """Without the first and the last steps: (batch, steps, channels) to (batch, steps - before -
    after, channels).

    Args:
        cropping: One number for both ends, or (before, after).
    """

    rank = 1

    def __init__(
        self, cropping: Amounts = (1, 1), *, name: str | None = None, trainable: bool = True
    ) -> None:
        super().__init__("cropping", cropping, name=name, trainable=trainable)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["data_format"]
        return config


def _checked_amounts(
    owner: str, argument: str, amounts: object, rank: int
) -> tuple[tuple[int, int], ...]:
    if rank == 1 and isinstance(amounts, (tuple, list)):
        amounts = [amounts]
    each = amounts if isinstance(amounts, (tuple, list)) else [amounts] * rank
    pairs = [side if isinstance(side, (tuple, list)) else (side, side) for side in each]
    if len(pairs) != rank or any(len(pair) != 2 for pair in pairs):
        wanted = "((top, bottom), (left, right))" if rank == 2 else "(before, after)"
        raise ValueError(f"{owner}: {argument} must be an integer or {wanted}, got {amounts!r}")
    checked = [[check_integer(owner, argument, side, at_least=0) for side in p] for p in pairs]
    return tuple((before, after) for before, after in checked)
