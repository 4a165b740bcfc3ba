"""Rules of the layers that change pictures at random."""

from __future__ import annotations

from typing import Any

from fastnn import layers
from fastnn.kernels.augmentation import FLIPS, WINDOWS
from fastnn.layers.augmentation import Augmentation, Warp
from fastnn.lowering.extents import Extents, placed
from fastnn.lowering.nodes import CropNode, FlipNode, Move, PictureNode, TintNode, WarpNode
from fastnn.lowering.rules.base import LayerUse, lower_layer
from fastnn.lowering.values import Value


@lower_layer.register
def _(layer: layers.RandomFlip, use: LayerUse) -> Value:
    return _move(FlipNode, layer, use, FLIPS[layer.mode])


@lower_layer.register
def _(layer: layers.RandomCrop, use: LayerUse) -> Value:
    return _move(CropNode, layer, use, WINDOWS["random"])


@lower_layer.register
def _(layer: layers.RandomTranslation, use: LayerUse) -> Value:
    return _warp(layer, use, "translation", [layer.height_factor, layer.width_factor])


@lower_layer.register
def _(layer: layers.RandomRotation, use: LayerUse) -> Value:
    return _warp(layer, use, "rotation", [layer.factor])


@lower_layer.register
def _(layer: layers.RandomZoom, use: LayerUse) -> Value:
    if layer.width_factor is None:
        return _warp(layer, use, "zoom_alike", [layer.height_factor])
    return _warp(layer, use, "zoom", [layer.height_factor, layer.width_factor])


@lower_layer.register
def _(layer: layers.RandomContrast, use: LayerUse) -> Value:
    lower, upper = layer.factor
    return _change(
        TintNode, use, use.shapes[0], tint="contrast", stream=use.stream(layer.seed),
        range=(1 - lower, 1 + upper), value_range=layer.value_range,
    )  # fmt: skip


@lower_layer.register
def _(layer: layers.RandomBrightness, use: LayerUse) -> Value:
    return _change(
        TintNode, use, use.shapes[0], tint="brightness", stream=use.stream(layer.seed),
        range=layer.factor, value_range=layer.value_range,
    )  # fmt: skip


def _move(kind: type[CropNode], layer: Augmentation, use: LayerUse, move: int) -> Value:
    (rows, columns, _), (height, width, _) = use.shapes[0], use.shape
    moves = [Move(move, use.stream(layer.seed), (rows, columns), (height, width))]
    return _change(kind, use, use.shape, moves=moves)


def _warp(layer: Warp, use: LayerUse, warp: str, ranges: list[tuple[float, float]]) -> Value:
    return _change(
        WarpNode, use, use.shapes[0], warp=warp, stream=use.stream(layer.seed), ranges=ranges,
        fill_mode=layer.fill_mode, fill_value=layer.fill_value,
        bilinear=layer.interpolation == "bilinear",
    )  # fmt: skip


def _change(kind: type[PictureNode], use: LayerUse, shape: Extents, **settings: Any) -> Value:
    """Pictures of this shape."""
    x = use.placed_input()
    return use.add(kind, [x], placed(shape), picture=use.shapes[0], **settings)
