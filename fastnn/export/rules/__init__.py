"""Rules that turn layers into operators, by concern: importing this registers all of them."""

from __future__ import annotations

from fastnn.export.rules import (  # noqa: F401
    activations,
    categories,
    convolution,
    dense,
    elementwise,
    merging,
    noise,
    normalization,
    pooling,
    regrouping,
    resizing,
    tables,
)
from fastnn.export.rules.base import LayerUse, element_read, export_layer

__all__ = ["LayerUse", "element_read", "export_layer"]
