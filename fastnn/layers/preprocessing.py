"""Layers that prepare the data."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fastnn._checks import check_real
from fastnn.frames import as_plain
from fastnn.graph import SymbolicTensor
from fastnn.layers.base import Layer


class PreprocessingLayer(Layer):
    """Base: can be called on an array as well, or on a column or table of pandas, polars or Arrow;
    then it returns an array.

    In a model, what works on texts, or makes integers, is done in NumPy when rows are fed to it; so
    only an input of the model, or another preprocessing layer, may come before it. The rest is done
    by the engine.
    """

    on_host: ClassVar[bool] = False
    """True for a layer that the engine can't do."""

    def __call__(self, inputs: Any) -> Any:
        several = inputs if isinstance(inputs, (list, tuple)) else [inputs]
        if any(isinstance(each, SymbolicTensor) for each in several):
            return super().__call__(inputs)
        made = self.transform(as_array(inputs, f"layer {self.name!r}: the input"))
        # What goes on to the engine may be smaller.
        return made.astype(np.float32) if made.dtype == np.uint8 else made

    @abstractmethod
    def transform(self, x: NDArray[Any]) -> NDArray[Any]:
        """What the layer makes of an array whose first axis is the batch.

        Raises:
            TypeError, ValueError: It does not take such numbers or texts.
        """


class Rescaling(PreprocessingLayer):
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

    def transform(self, x: NDArray[Any]) -> NDArray[np.float32]:
        """x * scale + offset, float32."""
        x = as_float32(x, f"layer {self.name!r}")
        return x * np.float32(self.scale) + np.float32(self.offset)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": self.scale, "offset": self.offset}


def as_array(value: Any, name: str) -> NDArray[Any]:
    """``value`` as an array; ValueError if it is ragged or a value is missing."""
    try:
        return np.asarray(as_plain(value, name))
    except ValueError as error:
        if "inhomogeneous" in str(error):
            raise ValueError(f"{name} must be an array, got rows of different lengths") from error
        raise


def as_float32(x: NDArray[Any], owner: str) -> NDArray[np.float32]:
    """Real numbers, as float32.

    Raises:
        TypeError: They are no such numbers.
        ValueError: A number is not finite.
    """
    if x.dtype.kind not in "biuf":
        raise TypeError(f"{owner} takes real numbers, got an array of dtype {x.dtype}")
    numbers = x.astype(np.float32, copy=False)
    finite = np.isfinite(numbers)
    if not finite.all():
        row = int(np.argwhere(~finite)[0][0]) if numbers.ndim else 0
        raise ValueError(
            f"{owner} takes finite numbers, got {x[~finite][0]} in row {row}: fill gaps before"
        )
    return numbers
