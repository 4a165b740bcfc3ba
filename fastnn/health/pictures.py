"""Nets that look at pictures or signals: where, and how a sound one does it."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from fastnn import layers
from fastnn.health.prototypes import with_inner
from fastnn.layers.convolution import Convolution

if TYPE_CHECKING:
    from fastnn.graph import SymbolicTensor
    from fastnn.models import Model

_FILTERS = (16, 32)
_WINDOW = 3

_LARGEST = 32
"""Positions along an axis: larger pictures are brought below that by average pooling first."""


def has_convolutions(model: Model) -> bool:
    """Whether one of its layers, or of those inside of them, is a convolution."""
    return any(isinstance(layer, Convolution) for layer in with_inner(model.layers))


def picture_of(model: Model, tensor: SymbolicTensor) -> tuple[int, ...] | None:
    """What the first convolution that looks at an input takes it for: (height, width, channels), or
    (steps, channels) of a signal; None if there is none, or layers between change how many numbers
    there are."""
    size, waiting, seen = prod(tensor.extents), [tensor], {tensor}
    while waiting:
        reached = waiting.pop(0)
        for node in model.nodes:
            if reached not in node.inputs or node.output in seen:
                continue
            first = next(
                (each for each in with_inner([node.layer]) if isinstance(each, Convolution)), None
            )
            if first is not None and len(reached.shape) == first.rank + 2:
                return reached.extents
            if len(node.inputs) == 1 and prod(node.output.extents) == size:
                seen.add(node.output)
                waiting.append(node.output)
    return None


def looked_at(flat: Any, picture: tuple[int, ...], name: str) -> Any:
    """Two convolutions of 3 with He initialization, batch normalization, ReLU and max pooling each,
    of channels brought to deviation 1, and what they find in one row.

    Args:
        flat: (batch, ...) of as many numbers as ``picture`` has.
        name: With which names of layers begin.
    """
    *extents, _ = picture
    x = layers.Reshape(picture, name=f"{name}_picture")(flat)
    x = layers.BatchNormalization(center=False, scale=False, name=name)(x)
    signal = not extents[1:]
    factors = tuple(-(-extent // _LARGEST) for extent in extents)
    if max(factors) > 1:
        mean = layers.AveragePooling1D if signal else layers.AveragePooling2D
        x = mean(factors, name=f"{name}_smaller")(x)
    for number, filters in enumerate(_FILTERS, start=1):
        own = f"{name}_convolution_{number}"
        convolution = layers.Conv1D if signal else layers.Conv2D
        largest = layers.MaxPooling1D if signal else layers.MaxPooling2D
        x = convolution(
            filters, _WINDOW, padding="same", use_bias=False, kernel_initializer="he_normal",
            name=own,
        )(x)  # fmt: skip
        x = layers.BatchNormalization(name=f"{own}_normalized")(x)
        x = layers.ReLU(name=f"{own}_relu")(x)
        x = largest(2, padding="same", name=f"{own}_pooled")(x)
    return layers.Flatten(name=f"{name}_flat")(x)
