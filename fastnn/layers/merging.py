"""Layers that make one tensor of several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastnn.graph import Shape
from fastnn.layers.base import Layer


class Merge(Layer):
    """Base of the layers that are called on a list of two tensors or more."""

    takes_list = True

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        if len(input_shape) < 2:
            raise ValueError(
                f"layer {self.name!r} ({type(self).__name__}) merges at least two tensors, got "
                f"{len(input_shape)}"
            )
        return self._merged_shape(input_shape)

    def _merged_shape(self, input_shapes: Sequence[Shape]) -> Shape:
        """The output shape for two input shapes or more."""
        return input_shapes[0]


class Add(Merge):
    """The sum of tensors of one shape. Shapes are not broadcast, as they are in Keras."""

    def _merged_shape(self, input_shapes: Sequence[Shape]) -> Shape:
        if len(set(input_shapes)) > 1:
            raise ValueError(
                f"layer {self.name!r} (Add) takes tensors of one shape, got {list(input_shapes)}"
            )
        return input_shapes[0]


class Concatenate(Merge):
    """(batch, m), (batch, n), ... side by side: (batch, m + n + ...).

    Only tensors of rank 2 and the last axis (``axis`` -1 or 1) are taken; Keras takes others too.
    """

    def __init__(self, axis: int = -1, *, name: str | None = None, trainable: bool = True) -> None:
        if axis not in (-1, 1):
            raise ValueError(f"axis of Concatenate must be -1 or 1, the last one, got {axis!r}")
        super().__init__(name=name, trainable=trainable)
        self.axis = int(axis)

    def _merged_shape(self, input_shapes: Sequence[Shape]) -> Shape:
        width = 0
        for shape in input_shapes:
            if len(shape) != 2 or shape[1] is None:
                raise ValueError(
                    f"layer {self.name!r} (Concatenate) takes tensors of shape (None, features), "
                    f"got {list(input_shapes)}: add Flatten() before it"
                )
            width += shape[1]
        return (None, width)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis}
