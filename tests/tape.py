"""A float64 tape: forward and backward through a model's graph, a layer at a time, in NumPy.

It knows nothing of programs: masks are those of ``philox``, slopes those of ``twins``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import twins
from numpy.typing import NDArray
from philox import kept

from fastnn import layers
from fastnn.layers.activation import ActivationLayer

Array = NDArray[np.float64]


class Node:
    """A value, and d(loss) / d(value) once the tape has come back to it."""

    def __init__(self, value: Array) -> None:
        self.value = value
        self.d = np.zeros_like(value)


@dataclass
class Step:
    """outputs: of each layer, by its name, the last time it was called; of a last softmax or
    sigmoid, its inputs. gradients: of each trainable weight, by its path, regularizers included."""

    outputs: dict[str, Array]
    gradients: dict[str, Array]


class Tape:
    """One step of training.

    Args:
        weights: By path.
        number: Of the step, for masks.
    """

    def __init__(self, weights: Mapping[str, Array], number: int = 0) -> None:
        self.number = number
        self.outputs: dict[str, Array] = {}
        self.weights = {path: Node(np.asarray(w, np.float64)) for path, w in weights.items()}
        self.streams = 0
        self._back: list[Callable[[], None]] = []

    def run(
        self,
        model: Any,
        xs: Sequence[Any],
        ys: Sequence[Any],
        shares: Sequence[float] | None = None,
    ) -> Step:
        """shares: the weights of the losses, which are the mean squared error of a real target, and
        the cross-entropy of softmax and integers."""
        values = {
            tensor: Node(np.asarray(x, np.float64).reshape(len(x), *tensor.shape[1:]))
            for tensor, x in zip(model.inputs, xs, strict=True)
        }
        for node in model.nodes:
            values[node.output] = self.layer(node.layer, [values[t] for t in node.inputs])
        for tensor, y, share in zip(
            model.outputs, ys, shares or [1.0] * len(ys), strict=True
        ):  # fmt: skip
            output = values[tensor]
            if np.asarray(y).dtype.kind == "f":
                output.d += share * 2 * (output.value - y) / output.value.size
            else:  # of a softmax, which has passed its inputs on
                p = twins._softmax(output.value)
                output.d += share * (p - np.eye(p.shape[1])[y]) / len(y)
        for back in reversed(self._back):
            back()
        gradients = {}
        for variable in model.trainable_weights:
            w = self.weights[variable.path]
            gradients[variable.path] = w.d
            if variable.regularizer is not None:
                l1, l2 = variable.regularizer.l1, variable.regularizer.l2
                gradients[variable.path] = w.d + l1 * np.sign(w.value) + 2 * l2 * w.value
        return Step(self.outputs, gradients)

    def layer(self, layer: Any, inputs: list[Node]) -> Node:
        found = self._layer(layer, inputs)
        self.outputs[layer.name] = found.value
        return found

    def _layer(self, layer: Any, inputs: list[Node]) -> Node:
        x = inputs[0]
        if isinstance(layer, layers.Dense):
            return self._activation(layer.activation.kind, self._dense(layer, x))
        if isinstance(layer, ActivationLayer):
            return self._activation(layer.activation.kind, x)
        if isinstance(layer, layers.BatchNormalization | layers.LayerNormalization):
            return self._normalized(layer, x)
        if isinstance(layer, layers.Dropout):
            return self._times(x, self._mask(layer.seed, layer.rate, x.value.shape))
        if isinstance(layer, layers.Rescaling):
            assert layer.offset == 0
            return self._times(x, np.full(x.value.shape, layer.scale))
        if isinstance(layer, layers.Add):
            return self._sum(inputs)
        if isinstance(layer, layers.Residual):
            y = x
            for inner in layer.layers:
                y = self.layer(inner, [y])
            return self._sum(
                [x if layer.projection is None else self.layer(layer.projection, [x]), y]
            )
        assert isinstance(layer, layers.Flatten), layer
        return self._reshaped(x, (len(x.value), -1))

    def _reshaped(self, x: Node, shape: tuple[int, ...]) -> Node:
        y = Node(x.value.reshape(shape))

        def back() -> None:
            x.d += y.d.reshape(x.d.shape)

        self._back.append(back)
        return y

    def _dense(self, layer: layers.Dense, x: Node) -> Node:
        w = self.weights[layer.kernel.path]
        mask = np.ones(w.value.shape)
        if layer.dropconnect:
            mask = self._mask(layer.dropconnect_seed, layer.dropconnect, w.value.shape)
        y = Node(x.value @ (w.value * mask))
        b = None if layer.bias is None else self.weights[layer.bias.path]
        if b is not None:
            y.value = y.value + b.value

        def back() -> None:
            x.d += y.d @ (w.value * mask).T
            w.d += x.value.T @ y.d * mask
            if b is not None:
                b.d += y.d.sum(axis=0)

        self._back.append(back)
        return y

    def _activation(self, kind: str, z: Node) -> Node:
        if kind in ("linear", "softmax"):
            return z
        y = Node(twins.ACTIVATIONS[kind].value(z.value))

        def back() -> None:
            z.d += y.d * twins.ACTIVATIONS[kind].slope(z.value)

        self._back.append(back)
        return y

    def _normalized(self, layer: Any, x: Node) -> Node:
        axis = 1 if isinstance(layer, layers.LayerNormalization) else 0
        gamma, beta = self.weights[layer.gamma.path], self.weights[layer.beta.path]
        root = np.sqrt(x.value.var(axis=axis, keepdims=True) + layer.epsilon)
        hat = (x.value - x.value.mean(axis=axis, keepdims=True)) / root
        y = Node(hat * gamma.value + beta.value)

        def back() -> None:
            gamma.d += (y.d * hat).sum(axis=0)
            beta.d += y.d.sum(axis=0)
            d = y.d * gamma.value
            along = (d * hat).mean(axis=axis, keepdims=True)
            x.d += (d - d.mean(axis=axis, keepdims=True) - hat * along) / root

        self._back.append(back)
        return y

    def _mask(self, seed: Any, rate: float, shape: tuple[int, ...]) -> Array:
        self.streams += 1
        return kept(seed, self.streams - 1, self.number, rate, *shape) / (1 - rate)

    def _times(self, x: Node, factors: Array) -> Node:
        y = Node(x.value * factors)

        def back() -> None:
            x.d += y.d * factors

        self._back.append(back)
        return y

    def _sum(self, terms: list[Node]) -> Node:
        y = Node(np.sum([term.value for term in terms], axis=0))

        def back() -> None:
            for term in terms:
                term.d += y.d

        self._back.append(back)
        return y
