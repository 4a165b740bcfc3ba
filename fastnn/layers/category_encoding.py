"""Integers that are categories, as rows of zeros and ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn._checks import check_choice, check_integer
from fastnn.graph import Shape
from fastnn.layers.preprocessing import PreprocessingLayer
from fastnn.preprocessing.encoding import MODES, encode, encoded_shape


class CategoryEncoding(PreprocessingLayer):
    """Integers from 0 to num_tokens - 1 as rows of zeros and ones.

    Args:
        num_tokens: How many categories there are.
        output_mode: "multi_hot": (N, k) -> (N, num_tokens), 1 where one of the k is. "count": how
            many of the k are. "one_hot": (N, ...) -> (N, ..., num_tokens), a last axis of extent 1
            dropped.
        sparse: False; fastnn finds the zeros of its data by itself.
    """

    on_host = True

    def __init__(
        self,
        num_tokens: int,
        output_mode: str = "multi_hot",
        sparse: bool = False,
        *,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        owner = "CategoryEncoding"
        self.num_tokens = check_integer(owner, "num_tokens", num_tokens, at_least=1)
        self.output_mode = check_choice(owner, "output_mode", output_mode, MODES)
        check_not_sparse(owner, sparse)
        super().__init__(name=name, trainable=trainable)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return shape_of_encoding(self.name, input_shape, self.output_mode, self.num_tokens)

    def transform(self, x: NDArray[Any]) -> NDArray[Any]:
        """uint8, or float32 of counts."""
        indices = as_indices(x, self.num_tokens, f"layer {self.name!r}")
        return encode(f"layer {self.name!r}", indices, self.output_mode, self.num_tokens)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_tokens": self.num_tokens,
            "output_mode": self.output_mode,
        }


def check_not_sparse(owner: str, sparse: object) -> None:
    """ValueError if a layer is asked for a sparse output."""
    if sparse is not False:
        raise ValueError(
            f"{owner}: sparse must be False, got {sparse!r}: there are no sparse tensors, and a "
            "net skips the zeros of its data by itself"
        )


def shape_of_encoding(name: str, input_shape: Shape, mode: str, depth: int) -> Shape:
    """The output's, of a layer that encodes indices."""
    plain = (1, *(extent or 1 for extent in input_shape[1:]))
    if len(plain) == 1 and mode != "one_hot":
        raise ValueError(f"layer {name!r} takes inputs of shape (None, k), got {input_shape}")
    return (None, *encoded_shape(f"layer {name!r}", plain, mode, depth)[1:])


def as_indices(x: NDArray[Any], count: int, owner: str) -> NDArray[np.int64]:
    """Whole numbers within 0 .. count - 1.

    Raises:
        TypeError: They are no numbers.
        ValueError: One has a fraction, or is out of range; the message names it and its row.
    """
    if x.dtype.kind not in "biuf":
        raise TypeError(f"{owner} takes integers, got an array of dtype {x.dtype}")
    wrong = ~((x >= 0) & (x < count))
    if x.dtype.kind == "f":
        wrong |= x != np.floor(x)
    if wrong.any():
        row = f" in row {np.argwhere(wrong)[0][0]}" if x.ndim else ""
        raise ValueError(f"{owner} takes integers within 0..{count - 1}, got {x[wrong][0]}{row}")
    return x.astype(np.int64, copy=False)
