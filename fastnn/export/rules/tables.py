"""Rules of layers for tables."""

from __future__ import annotations

import numpy as np

from fastnn import layers
from fastnn.export.rules.base import LayerUse, export_layer
from fastnn.export.values import Value
from fastnn.layers.preprocessing import PreprocessingLayer
from fastnn.layers.standardization import EPSILON

_INT64 = 7
"""onnx.TensorProto.INT64"""

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


@export_layer.register
def _(layer: layers.Embedding, use: LayerUse) -> Value:
    if layer.input_dim > _EXACT:
        raise ValueError(
            f"layer {layer.name!r} (Embedding) can't be exported: integers up to {layer.input_dim} "
            f"are not exact in float32, which has all up to {_EXACT}"
        )
    x = use.plain(use.inputs[0])
    rows = use.add("Cast", x.name, to=_INT64)
    return use.made_plain(
        use.add("Gather", use.tensor("embeddings", layer.embeddings.numpy()), rows)
    )


@export_layer.register
def _(layer: PreprocessingLayer, use: LayerUse) -> Value:
    raise ValueError(
        f"layer {layer.name!r} ({type(layer).__name__}) can't be exported: it prepares texts or "
        "integers before the net has them. Export a model of the layers behind it, and give that "
        f"what model.get_layer({layer.name!r}) makes of an array"
    )
