"""Rules of layers for tables."""

from __future__ import annotations

import numpy as np

from fastnn import layers
from fastnn.export.rules.base import LayerUse, element_read, export_layer
from fastnn.export.rules.categories import within
from fastnn.export.values import Element, Value
from fastnn.layers.standardization import EPSILON

_EXACT = 2**24
"""Up to here float32, in which values are handed on, has every integer."""


@export_layer.register
def _(layer: layers.Normalization, use: LayerUse) -> Value:
    x = use.plain(use.inputs[0])
    kept = layer.kept_axes((None, *use.shape))
    broadcast = [n if axis in kept else 1 for axis, n in enumerate(use.shape, start=1)]
    deviation = np.maximum(np.sqrt(layer.variance), np.float32(EPSILON)).reshape(broadcast)
    tensors = [
        use.tensor("mean", layer.mean.reshape(broadcast)), use.tensor("deviation", deviation)
    ]  # fmt: skip
    kinds = ("Sub", "Div")
    if layer.invert:
        tensors, kinds = tensors[::-1], ("Mul", "Add")
    y = x.name
    for kind, tensor in zip(kinds, tensors, strict=True):
        y = use.add(kind, y, tensor)
    return use.made_plain(y)


@element_read.register
def _(layer: layers.Embedding) -> Element:
    return Element.INT64


@export_layer.register
def _(layer: layers.Embedding, use: LayerUse) -> Value:
    x = use.plain(use.inputs[0])
    if x.element == Element.FLOAT and layer.input_dim > _EXACT:
        raise ValueError(
            f"layer {layer.name!r} (Embedding) can't be exported: integers up to {layer.input_dim} "
            f"come to it as float32, which has all up to {_EXACT}"
        )
    rows = within(use, use.cast(x, Element.INT64).name, layer.input_dim)
    return use.made_plain(
        use.add("Gather", use.tensor("embeddings", layer.embeddings.numpy()), rows)
    )
