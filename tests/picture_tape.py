"""The float64 tape, for layers of pictures and signals: their arithmetic is ``window_twins``'s."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import window_twins as twins
from tape import Array, Node, Tape

from fastnn import layers
from fastnn.layers.convolution import Convolution, FullConvolution
from fastnn.layers.depthwise import Depthwise
from fastnn.layers.geometry import Axis
from fastnn.layers.global_pooling import GlobalPooling
from fastnn.layers.padding import Cropping, ZeroPadding
from fastnn.layers.pooling import AveragePooling, MaxPooling
from fastnn.layers.separable import Separable
from fastnn.layers.upsampling import UpSampling
from fastnn.variables import Variable


class PictureTape(Tape):
    """Values have the shapes of the graph.

    Attributes:
        penalty: Of activities, as far as the tape has come.
    """

    penalty = 0.0

    def _layer(self, layer: Any, inputs: list[Node]) -> Node:
        x = inputs[0]
        shape = (None, *x.value.shape[1:])
        if isinstance(layer, Convolution):
            z = self._biased(layer, self._convolved(layer, x))
            return self._penalized(layer, self._activation(layer.activation.kind, z))
        if isinstance(layer, MaxPooling | layers.GlobalMaxPooling1D | layers.GlobalMaxPooling2D):
            return self._largest(layer, x)
        if isinstance(layer, AveragePooling):
            axes = layer.axes(shape)
            return self._made(
                x, twins.average_pool(x.value, axes),
                lambda dy: twins.average_pool_gradient(dy, axes),
            )  # fmt: skip
        if isinstance(layer, GlobalPooling):
            around = tuple(range(1, x.value.ndim - 1))
            mean = x.value.mean(axis=around, keepdims=True)
            positions = x.value[0, ..., 0].size
            y = self._made(x, mean, lambda dy: np.broadcast_to(dy / positions, x.value.shape))
            return y if layer.keepdims else self._moved(y, lambda a: a.reshape(len(a), -1))
        if isinstance(layer, ZeroPadding):
            around = [(0, 0), *layer.amounts, (0, 0)]
            inside = tuple(slice(b, b + n) for (b, _), n in zip(around, x.value.shape, strict=True))
            return self._made(x, np.pad(x.value, around), lambda dy: dy[inside])
        if isinstance(layer, Cropping):
            around = [(0, 0), *layer.amounts, (0, 0)]
            left = tuple(slice(b, n - a) for (b, a), n in zip(around, x.value.shape, strict=True))
            return self._made(x, x.value[left], lambda dy: np.pad(dy, around))
        if isinstance(layer, UpSampling):
            return self._larger(layer, x)
        if isinstance(layer, layers.Reshape):
            made = layer.compute_output_shape(shape)
            return self._moved(x, lambda a: a.reshape(len(a), *made[1:]))
        return super()._layer(layer, inputs)

    def _made(self, x: Node, value: Array, gradient: Callable[[Array], Array]) -> Node:
        y = Node(np.array(value))

        def back() -> None:
            x.d += gradient(y.d)

        self._back.append(back)
        return y

    def _convolved(self, layer: Convolution, x: Node) -> Node:
        axes = layer.axes((None, *x.value.shape[1:]))
        if isinstance(layer, FullConvolution):
            return self._full(x, layer.kernel, axes, layer.groups)
        if isinstance(layer, Depthwise):
            return self._depthwise(x, layer.kernel, axes)
        assert isinstance(layer, Separable)
        between = self._depthwise(x, layer.depthwise_kernel, axes)
        ones = [Axis(axis.windows, 1, 1, 1, 0, 0, axis.windows) for axis in axes]
        return self._full(between, layer.pointwise_kernel, ones, 1)

    def _full(self, x: Node, kernel: Variable, axes: Sequence[Axis], groups: int) -> Node:
        w = self.weights[kernel.path]
        y = Node(twins.conv(x.value, w.value, axes, groups))

        def back() -> None:
            x.d += twins.conv_input_gradient(y.d, w.value, axes, groups)
            w.d += twins.conv_weight_gradient(x.value, y.d, w.value.shape, axes, groups)

        self._back.append(back)
        return y

    def _depthwise(self, x: Node, kernel: Variable, axes: Sequence[Axis]) -> Node:
        w = self.weights[kernel.path]
        y = Node(twins.depthwise(x.value, w.value, axes))

        def back() -> None:
            x.d += twins.depthwise_input_gradient(y.d, w.value, axes)
            w.d += twins.depthwise_weight_gradient(x.value, y.d, w.value.shape, axes)

        self._back.append(back)
        return y

    def _biased(self, layer: Convolution, z: Node) -> Node:
        if layer.bias is None:
            return z
        b = self.weights[layer.bias.path]
        y = Node(z.value + b.value)

        def back() -> None:
            z.d += y.d
            b.d += y.d.reshape(-1, len(b.value)).sum(axis=0)

        self._back.append(back)
        return y

    def _penalized(self, layer: Convolution, y: Node) -> Node:
        if layer.activity_regularizer is not None:
            l1, l2, n = layer.activity_regularizer.l1, layer.activity_regularizer.l2, len(y.value)
            self.penalty += (l1 * np.abs(y.value).sum() + l2 * (y.value**2).sum()) / n
            y.d += (l1 * np.sign(y.value) + 2 * l2 * y.value) / n
        return y

    def _largest(self, layer: Any, x: Node) -> Node:
        lengths = x.value.shape[1:-1]
        if isinstance(layer, MaxPooling):
            axes: Sequence[Axis] = layer.axes((None, *x.value.shape[1:]))
        else:
            axes = [Axis(length, length, 1, 1, 0, 0, 1) for length in lengths]
        value, tap = twins.max_pool(x.value, axes)
        y = self._made(x, value, lambda dy: twins.max_pool_gradient(dy, tap, axes))
        if isinstance(layer, MaxPooling) or layer.keepdims:
            return y
        return self._moved(y, lambda a: a.reshape(len(a), -1))

    def _larger(self, layer: UpSampling, x: Node) -> Node:
        matrices = [
            twins.enlarging(length, factor, layer.interpolation)
            for length, factor in zip(x.value.shape[1:-1], layer.size, strict=True)
        ]
        return self._made(
            x, twins.along_axes(x.value, matrices),
            lambda dy: twins.along_axes(dy, [matrix.T for matrix in matrices]),
        )  # fmt: skip
