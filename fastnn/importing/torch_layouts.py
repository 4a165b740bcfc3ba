"""How PyTorch arranges the weights of each layer. A function here is one kind of layer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch

import numpy as np
from numpy.typing import NDArray

from fastnn import layers as _layers
from fastnn.importing.lines import Lines
from fastnn.importing.target import Array, Part, Target, with_weights
from fastnn.layers.base import Layer
from fastnn.layers.convolution import FullConvolution
from fastnn.layers.depthwise import Depthwise
from fastnn.layers.normalization import NormalizationLayer
from fastnn.layers.separable import Separable
from fastnn.variables import Variable


def torch_targets(layers: Sequence[Layer], lines: Lines) -> list[Target]:
    """The layers with weights, as PyTorch has them.

    Args:
        lines: What is known of flattened pictures.
    """
    return [
        target
        for layer in with_weights(layers)
        for target in targets_of(layer, lines.order_of(layer))
    ]


@singledispatch
def targets_of(layer: Layer, order: NDArray[np.intp] | None) -> list[Target]:
    """What PyTorch has in the place of a layer.

    Args:
        order: Of a layer that takes a flattened picture: feature ``i`` is PyTorch's ``order[i]``.
    """
    return [Target(layer.name, layer, [Part(v, (v.name,), v.shape) for v in layer.weights])]


@targets_of.register
def _(layer: _layers.Dense, order: NDArray[np.intp] | None) -> list[Target]:
    def turned(weight: Array) -> Array:
        return weight.T if order is None else weight.T[order]

    kernel = Part(layer.kernel, ("weight",), layer.kernel.shape[::-1], turned)
    return [Target(layer.name, layer, [kernel, *_bias(layer.bias)])]


@targets_of.register
def _(layer: _layers.Embedding, order: NDArray[np.intp] | None) -> list[Target]:
    table = Part(layer.embeddings, ("weight",), layer.embeddings.shape)
    return [Target(layer.name, layer, [table])]


@targets_of.register
def _(layer: FullConvolution, order: NDArray[np.intp] | None) -> list[Target]:
    return [Target(layer.name, layer, [_filters(layer.kernel), *_bias(layer.bias)])]


@targets_of.register
def _(layer: Depthwise, order: NDArray[np.intp] | None) -> list[Target]:
    return [Target(layer.name, layer, [_depthwise(layer.kernel), *_bias(layer.bias)])]


@targets_of.register
def _(layer: Separable, order: NDArray[np.intp] | None) -> list[Target]:
    pointwise = [_filters(layer.pointwise_kernel), *_bias(layer.bias)]
    return [
        Target(f"{layer.name}.depthwise", layer, [_depthwise(layer.depthwise_kernel)]),
        Target(f"{layer.name}.pointwise", layer, pointwise),
    ]


@targets_of.register
def _(layer: NormalizationLayer, order: NDArray[np.intp] | None) -> list[Target]:
    names = {"gamma": "weight", "beta": "bias"}
    names |= {"moving_mean": "running_mean", "moving_variance": "running_var"}
    return [Target(layer.name, layer, [_features(v, names[v.name], order) for v in layer.weights])]


def _bias(bias: Variable | None) -> list[Part]:
    return [] if bias is None else [Part(bias, ("bias",), bias.shape)]


def _filters(kernel: Variable) -> Part:
    """(out, in, ...) to (..., in, out)."""
    *window, inputs, filters = kernel.shape
    axes = (*range(2, 2 + len(window)), 1, 0)
    return Part(kernel, ("weight",), (filters, inputs, *window), lambda w: w.transpose(axes))


def _depthwise(kernel: Variable) -> Part:
    """(in * multiplier, 1, ...) to (..., in, multiplier)."""
    *window, channels, multiplier = kernel.shape
    axes = (*range(2, 2 + len(window)), 0, 1)
    return Part(
        kernel, ("weight",), (channels * multiplier, 1, *window),
        lambda w: w.reshape(channels, multiplier, *window).transpose(axes),
    )  # fmt: skip


def _features(variable: Variable, role: str, order: NDArray[np.intp] | None) -> Part:
    """A number for each feature; of whole pictures PyTorch has (channels, ...)."""
    if len(variable.shape) > 1:
        *others, channels = variable.shape
        return Part(variable, (role,), (channels, *others), lambda w: np.moveaxis(w, 0, -1))
    if order is not None:
        return Part(variable, (role,), variable.shape, lambda w: w[order])
    return Part(variable, (role,), variable.shape)
