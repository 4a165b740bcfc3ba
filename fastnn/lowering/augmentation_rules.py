"""The rules of the layers that change pictures at random."""

from __future__ import annotations

from typing import Any

from fastnn import layers
from fastnn.kernels.augmentation import FLIPS, WINDOWS
from fastnn.layers.augmentation import Augmentation, Warp
from fastnn.lowering.extents import Extents, placed, with_extent
from fastnn.lowering.graph import Trace, Value
from fastnn.lowering.nodes import CropNode, FlipNode, Move, PictureNode, TintNode, WarpNode
from fastnn.lowering.rule import lower_layer


@lower_layer.register
def _(
    layer: layers.RandomFlip,
    trace: Trace,
    inputs: list[Value],
    shapes: list[Extents],
    shape: Extents,
) -> Value:
    return _move(FlipNode, layer, trace, inputs, shapes, shape, FLIPS[layer.mode])


@lower_layer.register
def _(
    layer: layers.RandomCrop,
    trace: Trace,
    inputs: list[Value],
    shapes: list[Extents],
    shape: Extents,
) -> Value:
    return _move(CropNode, layer, trace, inputs, shapes, shape, WINDOWS["random"])


@lower_layer.register
def _(
    layer: layers.RandomTranslation,
    trace: Trace,
    inputs: list[Value],
    shapes: list[Extents],
    shape: Extents,
) -> Value:
    ranges = [layer.height_factor, layer.width_factor]
    return _warp(layer, trace, inputs, shapes, "translation", ranges)


@lower_layer.register
def _(
    layer: layers.RandomRotation,
    trace: Trace,
    inputs: list[Value],
    shapes: list[Extents],
    shape: Extents,
) -> Value:
    return _warp(layer, trace, inputs, shapes, "rotation", [layer.factor])


@lower_layer.register
def _(
    layer: layers.RandomZoom,
    trace: Trace,
    inputs: list[Value],
    shapes: list[Extents],
    shape: Extents,
) -> Value:
    if layer.width_factor is None:
        return _warp(layer, trace, inputs, shapes, "zoom_alike", [layer.height_factor])
    ranges = [layer.height_factor, layer.width_factor]
    return _warp(layer, trace, inputs, shapes, "zoom", ranges)


@lower_layer.register
def _(
    layer: layers.RandomContrast,
    trace: Trace,
    inputs: list[Value],
    shapes: list[Extents],
    shape: Extents,
) -> Value:
    lower, upper = layer.factor
    return _change(
        TintNode, layer, trace, inputs, shapes, tint="contrast", stream=trace.stream(layer.seed),
        range=(1 - lower, 1 + upper), value_range=layer.value_range,
    )  # fmt: skip


@lower_layer.register
def _(
    layer: layers.RandomBrightness,
    trace: Trace,
    inputs: list[Value],
    shapes: list[Extents],
    shape: Extents,
) -> Value:
    return _change(
        TintNode, layer, trace, inputs, shapes, tint="brightness", stream=trace.stream(layer.seed),
        range=layer.factor, value_range=layer.value_range,
    )  # fmt: skip


def _move(
    node_class: type[CropNode],
    layer: Augmentation,
    trace: Trace,
    inputs: list[Value],
    shapes: list[Extents],
    shape: Extents,
    move: int,
) -> Value:
    (rows, columns, _), (height, width, _) = shapes[0], shape
    moves = [Move(move, trace.stream(layer.seed), (rows, columns), (height, width))]
    return _change(node_class, layer, trace, inputs, shapes, shape, moves=moves)


def _warp(
    layer: Warp,
    trace: Trace,
    inputs: list[Value],
    shapes: list[Extents],
    warp: str,
    ranges: list[tuple[float, float]],
) -> Value:
    return _change(
        WarpNode, layer, trace, inputs, shapes, warp=warp, stream=trace.stream(layer.seed),
        ranges=ranges, fill_mode=layer.fill_mode, fill_value=layer.fill_value,
        bilinear=layer.interpolation == "bilinear",
    )  # fmt: skip


def _change(
    node_class: type[PictureNode],
    layer: Augmentation,
    trace: Trace,
    inputs: list[Value],
    shapes: list[Extents],
    shape: Extents | None = None,
    **settings: Any,
) -> Value:
    """Pictures of ``shape``, by default of that which they had."""
    x = with_extent(trace, layer, inputs[0], placed(shapes[0]))
    return trace.add(
        node_class, layer, [x], placed(shape or shapes[0]), picture=shapes[0], **settings
    )
