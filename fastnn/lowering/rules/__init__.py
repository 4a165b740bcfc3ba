"""Rules that turn layers into nodes, by concern: importing this registers all of them."""

from __future__ import annotations

from fastnn.lowering.rules import (  # noqa: F401
    augmentation,
    convolution,
    dense,
    elementwise,
    embedding,
    merging,
    noise,
    normalization,
    pooling,
    python,
    regrouping,
    resizing,
)
from fastnn.lowering.rules.base import LayerUse, lower_layer

__all__ = ["LayerUse", "lower_layer"]
