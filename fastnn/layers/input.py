"""Where data comes into the graph."""

from __future__ import annotations

from typing import Any

from fastnn._checks import check_choice
from fastnn.graph import Shape, SymbolicTensor, as_extents
from fastnn.layers.base import Layer

DTYPES = ("float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool", "string")


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


def Input(
    shape: tuple[int, ...], *, dtype: str | None = None, name: str | None = None
) -> SymbolicTensor:
    """A symbolic tensor for data of this shape.

    Args:
        shape: The shape of one example, without the batch: ``Input((28, 28))``. Every extent is
            known and positive; Keras's None for an unknown extent isn't there.
        dtype: None, or as Keras has it: "float32", "int32", "int64", "string" ... It changes
            nothing: data are taken in the type that they have, and it is the layers which say what
            they take.
        name: By default "input_layer", "input_layer_1", ...

    Raises:
        TypeError, ValueError: ``shape`` isn't a tuple of positive integers.
    """
    if dtype is not None:
        check_choice("Input", "dtype", dtype, DTYPES)
    return InputLayer(shape, name=name).output
