"""A layer of the user's own: its functions see arrays; what they return goes back into blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.layers.numpy_layer import NumPyLayer
from fastnn.lowering.builder import Builder, Gradient
from fastnn.lowering.nodes.base import LoweredNode
from fastnn.lowering.program import Argument, Buffers
from fastnn.variables import Variable


@dataclass(eq=False)
class NumPyNode(LoweredNode):
    """What ``numpy_layer.forward`` makes."""

    numpy_layer: NumPyLayer

    def variables(self) -> list[Variable]:
        return self.numpy_layer.weights

    def forward(self, builder: Builder) -> None:
        layer, x, y = self.numpy_layer, self.inputs[0], self.output
        y_rows = builder.unpacked[y] = builder.buffers.rows(f"{y.name}/rows", y)

        def forward(x: NDArray[Any], *others: NDArray[Any]) -> None:
            *weights, y = others
            _write(layer.forward(x, *weights), y, f"{layer.name!r}: forward must return")

        builder.call(
            forward,
            Argument(builder.unpack_value(x), layer.input_shape[1:]),
            *self._weights(builder),
            Argument(y_rows, layer.output_shape[1:], writes=True),
        )
        builder.pack(y_rows, builder.activation(y), y.features)

    def backward(self, builder: Builder, dy: Gradient) -> None:
        layer, x, y = self.numpy_layer, self.inputs[0], self.output
        trained = layer.gradient_weights
        names = ["x", *(variable.name for variable in trained)]
        n_weights = len(layer.weights)

        def backward(x: NDArray[Any], y: NDArray[Any], dy: NDArray[Any], *others: Any) -> None:
            gradients = layer.backward(x, y, dy, *others[:n_weights])
            gradients = gradients if isinstance(gradients, tuple) else (gradients,)
            if len(gradients) != len(names):
                raise ValueError(
                    f"{layer.name!r}: backward must return gradients of {', '.join(names)}, got "
                    f"{len(gradients)}"
                )
            for name, gradient, into in zip(names, gradients, others[n_weights:], strict=True):
                _write(gradient, into, f"{layer.name!r}: backward must return, as d{name},")

        dx = builder.buffers.rows(f"d_{x.name}/rows", x)
        d_weights = [Buffers.raw(f"d_{v.path}/rows", 4 * v.size) for v in trained]
        builder.call(
            backward,
            Argument(builder.unpack_value(x), layer.input_shape[1:]),
            Argument(builder.unpack_value(y), layer.output_shape[1:]),
            Argument(builder.unpack(dy.buffer, y), layer.output_shape[1:]),
            *self._weights(builder),
            Argument(dx, layer.input_shape[1:], writes=True),
            *(
                Argument(buffer, variable.shape, writes=True, by_rows=False)
                for variable, buffer in zip(trained, d_weights, strict=True)
            ),
        )
        if x in builder.needs_gradient:
            into, accumulate = builder.contribution(x)
            builder.pack(dx, into, x.features, accumulate)
        for variable, buffer in zip(trained, d_weights, strict=True):
            if variable.trainable:
                builder.pack_gradient(buffer, variable)

    def _weights(self, builder: Builder) -> list[Argument]:
        return [
            Argument(builder.unpack_weight(variable), variable.shape, by_rows=False)
            for variable in self.variables()
        ]


def _write(result: Any, into: NDArray[np.float32], wanted: str) -> None:
    """Copy what a function returned, once it is known to fit."""
    array = np.asarray(result)
    if array.shape != into.shape or array.dtype.kind not in "biuf":
        raise ValueError(
            f"{wanted} real numbers of shape {into.shape}, got {array.dtype} of shape {array.shape}"
        )
    into[...] = array
