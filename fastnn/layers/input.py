"""Where data comes into the graph."""

from __future__ import annotations

from typing import Any

from fastnn.graph import Shape, SymbolicTensor, as_extents
from fastnn.layers.base import Layer


class InputLayer(Layer):
    """An input of the graph, made by :func:`Input`. Its one node is there from the start.

    Args:
        shape: The shape of one example, without the batch.
    """

    def __init__(self, shape: tuple[int, ...], *, name: str | None = None) -> None:
        extents = as_extents(shape, "Input")
        super().__init__(name=name)
        self.shape: Shape = (None, *extents)
        self.built = True
        self._record((), self.shape)

    @property
    def output(self) -> SymbolicTensor:
        """The tensor that stands for the input."""
        return self._called().output

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        if input_shape != self.shape:
            raise ValueError(f"input {self.name!r} has shape {self.shape}, got {input_shape}")
        return input_shape

    def __call__(self, inputs: Any) -> SymbolicTensor:
        raise TypeError(f"input {self.name!r} is where a graph begins: it can't be called")

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "shape": list(self.shape[1:])}


def Input(shape: tuple[int, ...], *, name: str | None = None) -> SymbolicTensor:
    """A symbolic tensor for data of this shape.

    Args:
        shape: The shape of one example, without the batch: ``Input((28, 28))``. Every extent is
            known and positive; Keras's None for an unknown extent isn't there.
        name: By default "input_layer", "input_layer_1", ...

    Raises:
        TypeError, ValueError: ``shape`` isn't a tuple of positive integers.
    """
    return InputLayer(shape, name=name).output
