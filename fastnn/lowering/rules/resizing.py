"""Rules of layers that give a picture another size: its positions are sums over windows."""

from __future__ import annotations

from typing import Any

from fastnn.layers.geometry import Axis
from fastnn.layers.padding import Border, Cropping, ZeroPadding
from fastnn.layers.upsampling import UpSampling
from fastnn.lowering.extents import Extents
from fastnn.lowering.nodes import WindowSumNode
from fastnn.lowering.rules.base import LayerUse, lower_layer
from fastnn.lowering.values import Value
from fastnn.lowering.windows import Table, bilinear_table, nearest_table, window_table


@lower_layer.register
def _(layer: ZeroPadding, use: LayerUse) -> Value:
    return _sums(use, _border_table(layer, use.shapes[0], 1))


@lower_layer.register
def _(layer: Cropping, use: LayerUse) -> Value:
    return _sums(use, _border_table(layer, use.shapes[0], -1))


@lower_layer.register
def _(layer: UpSampling, use: LayerUse) -> Value:
    positions = use.shapes[0][:-1]
    if layer.interpolation == "nearest":
        return _sums(use, nearest_table(positions, layer.size))
    table, weights = bilinear_table(positions, layer.size)
    return _sums(use, table, of_taps=weights)


def _sums(use: LayerUse, windows: Table, **factors: Any) -> Value:
    x = use.placed_input()
    return use.add(WindowSumNode, [x], use.extent, windows=windows, **factors)


def _border_table(layer: Border, shape: Extents, sign: int) -> Table:
    """Windows of one tap: those of padding reach out, those of cropping stay inside."""
    return window_table(
        tuple(
            Axis(length, 1, 1, 1, sign * before, sign * after, length + sign * (before + after))
            for length, (before, after) in zip(shape[:-1], layer.amounts, strict=True)
        )
    )
