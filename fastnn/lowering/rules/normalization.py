"""Rules of layers that normalize."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn import layers
from fastnn.activations import Activation
from fastnn.layers.normalization import NormalizationLayer
from fastnn.layers.standardization import EPSILON
from fastnn.lowering.extents import from_axis
from fastnn.lowering.nodes import (
    BatchNormalizationNode,
    GroupNormalizationNode,
    LayerNormalizationNode,
    StandardizeNode,
)
from fastnn.lowering.rules.base import LayerUse, lower_layer
from fastnn.lowering.values import Value


@lower_layer.register
def _(layer: layers.BatchNormalization, use: LayerUse) -> Value:
    (axis,) = layer.feature_axes((None, *use.shape))
    return use.along(
        axis - 1, BatchNormalizationNode, **_affine_settings(layer),
        moving_mean=layer.moving_mean, moving_variance=layer.moving_variance,
        momentum=layer.momentum, frozen=not layer.trainable,
    )  # fmt: skip


@lower_layer.register
def _(layer: layers.LayerNormalization, use: LayerUse) -> Value:
    first = layer.feature_axes((None, *use.shape))[0] - 1
    x = use.with_extent(use.inputs[0], from_axis(use.shape, first))
    return use.add(LayerNormalizationNode, [x], x.extent, **_affine_settings(layer))


@lower_layer.register
def _(layer: layers.GroupNormalization, use: LayerUse) -> Value:
    shape = (None, *use.shape)
    (axis,) = layer.feature_axes(shape)
    return use.along(
        axis - 1,
        GroupNormalizationNode,
        **_affine_settings(layer),
        groups=layer.n_groups(shape),
    )


@lower_layer.register
def _(layer: layers.Normalization, use: LayerUse) -> Value:
    kept = [axis - 1 for axis in layer.kept_axes((None, *use.shape))]
    order = [*(axis for axis in range(len(use.shape)) if axis not in kept), *kept]
    x, made = use.permuted(use.inputs[0], use.shape, order)
    if kept:
        x = use.with_extent(x, from_axis(made, len(made) - len(kept)))
    mean, variance = layer.variables
    y = use.add(
        StandardizeNode, [x], x.extent, mean=mean, variance=variance, invert=layer.invert,
        one_for_all=not kept, epsilon=EPSILON,
    )  # fmt: skip
    return use.permuted(y, made, np.argsort(order).tolist())[0]


def _affine_settings(layer: NormalizationLayer) -> dict[str, Any]:
    return {
        "gamma": layer.gamma, "beta": layer.beta, "epsilon": layer.epsilon,
        "activation": Activation("linear"),
    }  # fmt: skip
