"""Layers that make one tensor of several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastnn._checks import check_integer
from fastnn.graph import Shape, positive_axis
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
        raise NotImplementedError


class Elementwise(Merge):
    """Base of the layers that merge tensors of one shape, number by number. Output shape = input
    shape. Shapes are not broadcast, as they are in Keras."""

    def _merged_shape(self, input_shapes: Sequence[Shape]) -> Shape:
        if len(set(input_shapes)) > 1:
            raise ValueError(
                f"layer {self.name!r} ({type(self).__name__}) takes tensors of one shape, got "
                f"{list(input_shapes)}"
            )
        return input_shapes[0]


class Add(Elementwise):
    """The sum of tensors of one shape. Shapes are not broadcast, as they are in Keras."""


class Subtract(Elementwise):
    """The first tensor minus the second, both of one shape. Shapes are not broadcast."""

    def _merged_shape(self, input_shapes: Sequence[Shape]) -> Shape:
        if len(input_shapes) != 2:
            raise ValueError(
                f"layer {self.name!r} (Subtract) takes two tensors, got {len(input_shapes)}"
            )
        return super()._merged_shape(input_shapes)


class Multiply(Elementwise):
    """The product of tensors of one shape, number by number. Shapes are not broadcast."""


class Average(Elementwise):
    """The mean of tensors of one shape, number by number. Shapes are not broadcast.

    *Element-wise average pooling* over several feature maps is this layer::

        layers.Average()([layers.Conv2D(16, 3, padding="same")(x),
                          layers.Conv2D(16, 5, padding="same")(x)])
    """


class Maximum(Elementwise):
    """The largest of tensors of one shape, number by number. Shapes are not broadcast.

    *Element-wise max pooling* over several feature maps (a maxout unit, Goodfellow et al. 2013) is
    this layer::

        layers.Maximum()([layers.Conv2D(16, 3, padding="same")(x),
                          layers.Conv2D(16, 3, padding="same")(x)])
    """


class Minimum(Elementwise):
    """The smallest of tensors of one shape, number by number. Shapes are not broadcast."""


class Concatenate(Merge):
    """Tensors one after the other along ``axis``; their other extents are equal.

    Args:
        axis: Any but the batch; by default the last, the features or channels.
    """

    def __init__(self, axis: int = -1, *, name: str | None = None, trainable: bool = True) -> None:
        self.axis = check_integer("Concatenate", "axis", axis)
        if not self.axis:
            raise ValueError("Concatenate: axis must not be 0, the batch")
        super().__init__(name=name, trainable=trainable)

    def _merged_shape(self, input_shapes: Sequence[Shape]) -> Shape:
        owner = f"layer {self.name!r} (Concatenate)"
        axis = positive_axis(owner, self.axis, input_shapes[0])
        others = {(*shape[:axis], *shape[axis + 1 :]) for shape in input_shapes}
        if len(others) > 1 or len({len(shape) for shape in input_shapes}) > 1:
            raise ValueError(
                f"{owner} takes tensors whose extents differ along axis {self.axis} only, got "
                f"{list(input_shapes)}"
            )
        length = sum(shape[axis] for shape in input_shapes)  # type: ignore[misc]
        return (*input_shapes[0][:axis], length, *input_shapes[0][axis + 1 :])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis}
