"""The rule of Embedding."""

from __future__ import annotations

from fastnn import layers
from fastnn.lowering.nodes import EmbeddingNode
from fastnn.lowering.nodes.embedding import source_of
from fastnn.lowering.rules.base import LayerUse, lower_layer
from fastnn.lowering.values import Value


@lower_layer.register
def _(layer: layers.Embedding, use: LayerUse) -> Value:
    x = use.inputs[0]
    source = source_of(x)
    if source is None:
        raise ValueError(
            f"layer {layer.name!r} (Embedding) takes integers of an input of the model, or of a "
            f"preprocessing layer, not what layer {x.name!r} computes"
        )
    return use.add(EmbeddingNode, [x], use.extent, embeddings=layer.embeddings, source=source)
