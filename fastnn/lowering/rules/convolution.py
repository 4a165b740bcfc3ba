"""Rules of convolutions: full, depthwise, and one after the other."""

from __future__ import annotations

from collections.abc import Sequence

from fastnn.activations import Activation
from fastnn.layers.convolution import FullConvolution
from fastnn.layers.depthwise import Depthwise
from fastnn.layers.geometry import Axis
from fastnn.layers.separable import Separable
from fastnn.lowering.algorithms import ALGORITHMS
from fastnn.lowering.nodes import ConvolutionNode, DepthwiseNode, RepeatNode
from fastnn.lowering.rules.base import LayerUse, lower_layer
from fastnn.lowering.values import Extent, Value
from fastnn.variables import Variable


@lower_layer.register
def _(layer: FullConvolution, use: LayerUse) -> Value:
    x = use.placed_input()
    axes = layer.axes((None, *use.shapes[0]))
    if layer.groups == x.features > 1:
        value = _depthwise(use, x, axes, layer.kernel, layer.bias, use.extent)
    else:
        value = use.add(
            ConvolutionNode, [x], use.extent, kernel=layer.kernel, bias=layer.bias,
            activation=Activation("linear"), axes=axes, groups=layer.groups,
            algorithm=ALGORITHMS.convolution,
        )  # fmt: skip
    return use.end(layer, value)


@lower_layer.register
def _(layer: Depthwise, use: LayerUse) -> Value:
    axes = layer.axes((None, *use.shapes[0]))
    x = use.placed_input()
    return use.end(layer, _depthwise(use, x, axes, layer.kernel, layer.bias, use.extent))


@lower_layer.register
def _(layer: Separable, use: LayerUse) -> Value:
    x = use.placed_input()
    between = Extent(use.extent.positions, layer.depthwise_kernel.matrix_shape[1])
    axes = layer.axes((None, *use.shapes[0]))
    x = _depthwise(use, x, axes, layer.depthwise_kernel, None, between)
    value = use.add(
        ConvolutionNode, [x], use.extent, kernel=layer.pointwise_kernel, bias=layer.bias,
        activation=Activation("linear"), axes=[Axis(x.positions, 1, 1, 1, 0, 0, x.positions)],
    )  # fmt: skip
    return use.end(layer, value)


def _depthwise(
    use: LayerUse,
    x: Value,
    axes: Sequence[Axis],
    kernel: Variable,
    bias: Variable | None,
    extent: Extent,
) -> Value:
    """Each channel of x by itself, as often as it has filters."""
    times = extent.features // x.features
    if times > 1:
        x = use.add(RepeatNode, [x], Extent(x.positions, extent.features), times=times)
    return use.add(
        DepthwiseNode, [x], extent, kernel=kernel, bias=bias, axes=axes,
        activation=Activation("linear"),
    )  # fmt: skip
