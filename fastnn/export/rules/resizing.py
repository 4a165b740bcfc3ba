"""Rules of layers that give a picture another size."""

from __future__ import annotations

from typing import Any

from fastnn.export.rules.base import LayerUse, export_layer
from fastnn.export.values import Extents, Value
from fastnn.layers.padding import Cropping, ZeroPadding
from fastnn.layers.upsampling import UpSampling


@export_layer.register
def _(layer: ZeroPadding, use: LayerUse) -> Value:
    (x,) = use.inputs
    amounts = [*layer.amounts, (0, 0)]
    begins, ends = ([amounts[axis][side] for axis in x.order] for side in (0, 1))
    made = use.add("Pad", x.name, use.extents(0, *begins, 0, *ends))
    return Value(made, use.shape, x.order, use.shape)


@export_layer.register
def _(layer: Cropping, use: LayerUse) -> Value:
    return cut(use, tuple(before for before, _ in layer.amounts), use.shape[:-1])


def cut(use: LayerUse, begins: Extents, extents: Extents) -> Value:
    """The part of a picture that begins there and has these extents."""
    (x,) = use.inputs
    ends = [begin + extent for begin, extent in zip(begins, extents, strict=True)]
    axes = [x.axis(axis) for axis in range(len(begins))]
    made = use.add("Slice", x.name, use.extents(*begins), use.extents(*ends), use.extents(*axes))
    return Value(made, use.shape, x.order, use.shape)


@export_layer.register
def _(layer: UpSampling, use: LayerUse) -> Value:
    x = use.channels_first(use.inputs[0])
    modes: dict[str, Any] = {
        "nearest": {
            "mode": "nearest",
            "coordinate_transformation_mode": "asymmetric",
            "nearest_mode": "floor",
        },
        "bilinear": {"mode": "linear", "coordinate_transformation_mode": "half_pixel"},
    }
    scales = use.tensor("scales", [1, 1, *layer.size])
    return use.made_first(use.add("Resize", x.name, "", scales, **modes[layer.interpolation]))
