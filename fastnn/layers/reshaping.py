"""Layers that only change the shape. Values keep their C order."""

from __future__ import annotations

import math
from typing import Any

from fastnn._checks import check_integer
from fastnn.graph import Shape
from fastnn.layers.base import Layer


def _features(input_shape: Shape) -> int:
    """Number of values in one example."""
    return math.prod(extent for extent in input_shape if extent is not None)


class Flatten(Layer):
    """(batch, ...) to (batch, product of the rest)."""

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (None, _features(input_shape))


class Reshape(Layer):
    """(batch, ...) to (batch, \\*target_shape).

    Args:
        target_shape: Without the batch. One extent may be -1: it takes what is left.
    """

    def __init__(
        self, target_shape: tuple[int, ...], *, name: str | None = None, trainable: bool = True
    ) -> None:
        if isinstance(target_shape, (str, bytes)) or not hasattr(target_shape, "__iter__"):
            raise TypeError(f"target_shape of Reshape must be a tuple, got {target_shape!r}")
        extents = tuple(
            check_integer("Reshape", "every extent of target_shape", extent, at_least=-1)
            for extent in target_shape
        )
        if 0 in extents or extents.count(-1) > 1:
            raise ValueError(
                "target_shape of Reshape must have positive extents and at most one -1, got "
                f"{extents}"
            )
        super().__init__(name=name, trainable=trainable)
        self.target_shape = extents

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        features = _features(input_shape)
        known = math.prod(extent for extent in self.target_shape if extent != -1)
        inferred, rest = divmod(features, known)
        if rest or (inferred != 1 and -1 not in self.target_shape):
            raise ValueError(
                f"layer {self.name!r} (Reshape) can't make target_shape {self.target_shape} from "
                f"{input_shape}, which has {features} values"
            )
        return (None, *(inferred if extent == -1 else extent for extent in self.target_shape))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "target_shape": list(self.target_shape)}
