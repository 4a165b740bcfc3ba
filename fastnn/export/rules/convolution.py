"""Rules of convolutions."""

from __future__ import annotations

from typing import Any

from fastnn.export.rules.activations import activated
from fastnn.export.rules.base import LayerUse, export_layer
from fastnn.export.values import Value
from fastnn.layers.convolution import Convolution, FullConvolution
from fastnn.layers.depthwise import Depthwise
from fastnn.layers.separable import Separable
from fastnn.layers.windowed import Windowed
from fastnn.variables import Variable


@export_layer.register
def _(layer: FullConvolution, use: LayerUse) -> Value:
    taps = window_attributes(layer, use) | {"dilations": list(layer.dilation_rate)}
    tensors = [_filters(use, layer.kernel), *_bias(layer, use)]
    x = use.channels_first(use.inputs[0])
    return _ended(layer, use, use.add("Conv", x.name, *tensors, group=layer.groups, **taps))


@export_layer.register
def _(layer: Depthwise, use: LayerUse) -> Value:
    return _ended(layer, use, _depthwise(layer, use, layer.kernel, *_bias(layer, use)))


@export_layer.register
def _(layer: Separable, use: LayerUse) -> Value:
    between = _depthwise(layer, use, layer.depthwise_kernel)
    filters = _filters(use, layer.pointwise_kernel)
    return _ended(layer, use, use.add("Conv", between, filters, *_bias(layer, use)))


def window_attributes(layer: Windowed, use: LayerUse) -> dict[str, Any]:
    """Where the windows lie, as ONNX has it."""
    axes = layer.axes((None, *use.inputs[0].shape))
    return {
        "kernel_shape": [axis.window for axis in axes],
        "strides": [axis.stride for axis in axes],
        "pads": [*(axis.before for axis in axes), *(axis.after for axis in axes)],
    }


def _filters(use: LayerUse, kernel: Variable) -> str:
    """(..., in, out) as (out, in, ...)."""
    rank = len(kernel.shape) - 2
    return use.tensor(kernel.name, kernel.numpy().transpose(rank + 1, rank, *range(rank)))


def _depthwise(layer: Depthwise | Separable, use: LayerUse, kernel: Variable, *bias: str) -> str:
    """A convolution of each channel by itself: (..., in, multiplier) becomes (in * multiplier, 1,
    ...)."""
    x = use.channels_first(use.inputs[0])
    *window, channels, multiplier = kernel.shape
    rank = len(window)
    turned = kernel.numpy().transpose(rank, rank + 1, *range(rank))
    taps = use.tensor(kernel.name, turned.reshape(channels * multiplier, 1, *window))
    return use.add(
        "Conv", x.name, taps, *bias, group=channels, dilations=list(layer.dilation_rate),
        **window_attributes(layer, use),
    )  # fmt: skip


def _bias(layer: Convolution, use: LayerUse) -> list[str]:
    return [] if layer.bias is None else [use.tensor("bias", layer.bias.numpy())]


def _ended(layer: Convolution, use: LayerUse, sums: str) -> Value:
    return activated(use, use.made_first(sums), layer.activation)
