"""Rules of layers that make integers of texts and numbers, and columns of integers."""

from __future__ import annotations

import numpy as np

from fastnn import layers
from fastnn.export.rules.base import LayerUse, element_read, export_layer
from fastnn.export.values import Element, Value
from fastnn.layers.lookup import IndexLookup


@element_read.register
def _(layer: layers.StringLookup) -> Element:
    return Element.STRING


@export_layer.register
def _(layer: layers.StringLookup, use: LayerUse) -> Value:
    if layer.num_oov_indices > 1:
        raise ValueError(
            f"layer {layer.name!r} (StringLookup) can't be exported: its num_oov_indices is "
            f"{layer.num_oov_indices}, and ONNX has no FarmHash to spread unknown strings; 1 and 0 "
            "can be exported"
        )
    x = use.plain(use.cast(use.inputs[0], Element.STRING))
    return _looked_up(layer, use, x, _places(layer, use, x.name, "keys_strings"))


@element_read.register(layers.IntegerLookup)
@element_read.register(layers.CategoryEncoding)
def _(layer: layers.IntegerLookup | layers.CategoryEncoding) -> Element:
    return Element.INT64


@export_layer.register
def _(layer: layers.IntegerLookup, use: LayerUse) -> Value:
    if layer.num_oov_indices > 1 and layer.oov_method != "floormod":
        raise ValueError(
            f"layer {layer.name!r} (IntegerLookup) can't be exported: its oov_method is "
            f"{layer.oov_method!r}, which ONNX does not have; 'floormod' can be exported"
        )
    x = use.plain(use.cast(use.inputs[0], Element.INT64))
    return _looked_up(layer, use, x, _places(layer, use, x.name, "keys_int64s"))


@export_layer.register
def _(layer: layers.CategoryEncoding, use: LayerUse) -> Value:
    x = use.plain(use.cast(use.inputs[0], Element.INT64))
    known = use.tensor("categories", np.arange(layer.num_tokens), np.int64)
    found = use.add("Gather", known, within(use, x.name, layer.num_tokens))
    return _encoded(use, x, found, layer.output_mode)


@export_layer.register
def _(layer: layers.Discretization, use: LayerUse) -> Value:
    x = use.plain(use.inputs[0])
    column = use.add("Unsqueeze", x.name, use.extents(-1))
    passed = use.add("GreaterOrEqual", column, use.tensor("boundaries", layer.boundaries()))
    ones = use.add("Cast", passed, to=int(Element.INT64))
    bins = use.add("ReduceSum", ones, use.extents(-1), keepdims=0)
    return _encoded(use, x, bins, layer.output_mode)


def within(use: LayerUse, indices: str, count: int) -> str:
    """Integers as a Gather of ``count`` rows takes them, where it refuses negative ones, too; by
    itself it counts those from the end."""
    negative = use.add("Less", indices, use.extents(0))
    return use.add("Where", negative, use.extents(count), indices)


def _places(layer: IndexLookup, use: LayerUse, x: str, keys: str) -> str:
    """The index of each token; the number of columns for one that counts for nothing."""
    layer.check_has_vocabulary()
    tokens = layer.get_vocabulary(include_special_tokens=False)
    first = layer.vocabulary_size() - len(tokens)
    places = {token: first + number for number, token in enumerate(tokens)}
    if layer.mask_token is not None:
        places[layer.mask_token] = 0 if layer.output_mode == "int" else use.shape[-1]
    buckets = layer.num_oov_indices
    if buckets == 0:
        # Where no index is for what is unknown, a Gather refuses it.
        numbers = {token: number for number, token in enumerate(places)}
        number = _labelled(use, x, keys, numbers, len(places))
        return use.add("Gather", use.tensor("places", [*places.values()], np.int64), number)
    if buckets == 1:
        return _labelled(use, x, keys, places, first - 1)
    found = _labelled(use, x, keys, places, -1)
    bucket = use.add("Mod", x, use.extents(buckets))
    if first > buckets:
        bucket = use.add("Add", bucket, use.extents(first - buckets))
    return use.add("Where", use.add("Less", found, use.extents(0)), bucket, found)


def _looked_up(layer: IndexLookup, use: LayerUse, x: Value, indices: str) -> Value:
    weights = layer.idf_weights
    if weights is None:
        return _encoded(use, x, indices, layer.output_mode)
    counts = _encoded(use, x, indices, "count")
    return use.made_plain(use.add("Mul", counts.name, use.tensor("idf_weights", weights)))


def _labelled(use: LayerUse, x: str, keys: str, labels: dict[str | int, int], default: int) -> str:
    return use.add(
        "LabelEncoder", x, domain="ai.onnx.ml", values_int64s=[*labels.values()],
        default_int64=default, **{keys: [*labels]},
    )  # fmt: skip


def _encoded(use: LayerUse, x: Value, indices: str, mode: str) -> Value:
    """The layer's output, of the indices that it found for ``x``; one beyond the columns counts
    for nothing."""
    if mode == "int":
        return use.made_plain(indices, Element.INT64)
    off_on = use.graph.tensor("off_on", [0, 1])
    y = use.add("OneHot", indices, use.extents(use.shape[-1]), off_on)
    if mode == "multi_hot":
        y = use.add("ReduceMax", y, axes=[1], keepdims=0)
    elif mode == "count":
        y = use.add("ReduceSum", y, use.extents(1), keepdims=0)
    elif len(use.shape) == len(x.shape):
        y = use.reshaped(y, use.shape)
    return use.made_plain(y)
