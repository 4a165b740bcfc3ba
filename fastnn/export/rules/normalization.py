"""Rules of layers that normalize."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fastnn import layers
from fastnn.export.rules.base import LayerUse, export_layer
from fastnn.export.values import Value
from fastnn.layers.normalization import NormalizationLayer


@export_layer.register
def _(layer: layers.BatchNormalization, use: LayerUse) -> Value:
    (axis,) = layer.feature_axes((None, *use.shape))
    (x,) = use.inputs
    mean, variance = layer.moving_mean.numpy(), layer.moving_variance.numpy()
    gamma, beta = _factor(layer, mean.shape), _summand(layer, mean.shape)
    place = 1 if x.is_flattened else x.axis(axis - 1)
    if x.is_flattened:
        gamma, beta, mean, variance = map(x.arranged, (gamma, beta, mean, variance))
    if place == 1:
        tensors = [
            use.tensor(name, values)
            for name, values in {
                "gamma": gamma, "beta": beta, "moving_mean": mean, "moving_variance": variance,
            }.items()
        ]  # fmt: skip
        y = use.add("BatchNormalization", x.name, *tensors, epsilon=layer.epsilon)
        return x.named(y)
    shape = [1] * (len(x.shape) + 1)
    shape[place] = -1
    factor = gamma / np.sqrt(variance + np.float32(layer.epsilon))
    y = use.add("Sub", x.name, use.tensor("moving_mean", mean.reshape(shape)))
    y = use.add("Mul", y, use.tensor("factor", factor.reshape(shape)))
    return x.named(use.add("Add", y, use.tensor("beta", beta.reshape(shape))))


@export_layer.register
def _(layer: layers.LayerNormalization, use: LayerUse) -> Value:
    first = layer.feature_axes((None, *use.shape))[0]
    x, shape = use.inputs[0], use.shape[first - 1 :]
    gamma, beta = _factor(layer, shape), _summand(layer, shape)
    if first > 1:
        x = use.plain(x)
    else:
        # Mean and variance are those of all numbers, in any order.
        gamma, beta = x.arranged(gamma), x.arranged(beta)
    tensors = [use.tensor("gamma", gamma), use.tensor("beta", beta)]
    y = use.add("LayerNormalization", x.name, *tensors, axis=first, epsilon=layer.epsilon)
    return x.named(y)


@export_layer.register
def _(layer: layers.GroupNormalization, use: LayerUse) -> Value:
    shape = (None, *use.shape)
    (axis,) = layer.feature_axes(shape)
    groups = layer.n_groups(shape)
    x = use.inputs[0]
    x = use.along(use.plain(x) if x.is_flattened else x, axis - 1)
    channels = use.shape[axis - 1]
    ones, zeros = np.ones(groups, np.float32), np.zeros(groups, np.float32)
    y = use.reshaped(x.name, (groups, math.prod(use.shape) // groups))
    y = use.add(
        "InstanceNormalization", y, use.tensor("ones", ones), use.tensor("zeros", zeros),
        epsilon=layer.epsilon,
    )  # fmt: skip
    y = use.reshaped(y, x.stored)
    places = (channels, *(1,) * (len(use.shape) - 1))
    if layer.gamma is not None:
        y = use.add("Mul", y, use.tensor("gamma", layer.gamma.numpy().reshape(places)))
    if layer.beta is not None:
        y = use.add("Add", y, use.tensor("beta", layer.beta.numpy().reshape(places)))
    return x.named(y)


def _factor(layer: NormalizationLayer, shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.ones(shape, np.float32) if layer.gamma is None else layer.gamma.numpy()


def _summand(layer: NormalizationLayer, shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.zeros(shape, np.float32) if layer.beta is None else layer.beta.numpy()
