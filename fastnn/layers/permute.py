"""The axes in another order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastnn._checks import check_integer
from fastnn.graph import Shape
from fastnn.layers.base import Layer


class Permute(Layer):
    """The axes after the batch in another order: axis ``i`` of the output is axis ``dims[i - 1]``.

    ::

        layers.Permute((2, 3, 1))  # (batch, channels, height, width): channels last

    Args:
        dims: A permutation of 1, 2, ...; the batch is 0 and stays first.
    """

    def __init__(
        self, dims: Sequence[int], *, name: str | None = None, trainable: bool = True
    ) -> None:
        if not isinstance(dims, (tuple, list)):
            raise TypeError(f"Permute: dims must be a tuple, got {dims!r}")
        self.dims = tuple(check_integer("Permute", "dims", each) for each in dims)
        if not dims or sorted(self.dims) != list(range(1, len(dims) + 1)):
            raise ValueError(f"Permute: dims must be a permutation of 1, 2, ..., got {dims!r}")
        super().__init__(name=name, trainable=trainable)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != len(self.dims) + 1:
            raise ValueError(
                f"layer {self.name!r} (Permute) with dims {self.dims} takes inputs of rank "
                f"{len(self.dims) + 1}, got {input_shape}"
            )
        return (None, *(input_shape[axis] for axis in self.dims))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "dims": list(self.dims)}
