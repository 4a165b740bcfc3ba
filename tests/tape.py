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
from fastnn.layers.normalization import NormalizationLayer

Array = NDArray[np.float64]


class Node:
    """A value, and d(loss) / d(value) once the tape has come back to it.

    rectified: It comes straight out of a rectifier.
    """

    def __init__(self, value: Array, rectified: bool = False) -> None:
        self.value = value
        self.d = np.zeros(value.shape)
        self.rectified = rectified


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
                error = output.value - np.reshape(y, output.value.shape)
                output.d += share * 2 * error / output.value.size
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
        if isinstance(layer, layers.Softmax) and x.value.ndim > 2:
            return self._softmax(x, layer.axis)
        if isinstance(layer, ActivationLayer):
            return self._activation(layer.activation.kind, x)
        if isinstance(layer, NormalizationLayer):
            return self._normalized(layer, x)
        if isinstance(layer, layers.Dropout):
            return self._times(x, self._mask(layer.seed, layer.rate, x))
        if isinstance(layer, layers.SpatialDropout1D | layers.SpatialDropout2D):
            channels = Node(x.value[(slice(None), *[0] * (x.value.ndim - 2))])
            mask = self._mask(layer.seed, layer.rate, channels)
            mask = mask.reshape(len(mask), *[1] * (x.value.ndim - 2), -1)
            return self._times(x, np.broadcast_to(mask, x.value.shape))
        if isinstance(layer, layers.Rescaling):
            assert layer.offset == 0
            return self._times(x, np.full(x.value.shape, layer.scale))
        if isinstance(layer, layers.Add):
            return self._sum(inputs)
        if isinstance(layer, layers.Subtract):
            return self._sum([x, self._times(inputs[1], -np.ones(x.value.shape))])
        if isinstance(layer, layers.Average):
            return self._times(self._sum(inputs), np.full(x.value.shape, 1 / len(inputs)))
        if isinstance(layer, layers.Multiply | layers.Maximum | layers.Minimum):
            for other in inputs[1:]:
                x = self._merged(layer, x, other)
            return x
        if isinstance(layer, layers.Concatenate):
            return self._side_by_side(inputs, layer.axis)
        if isinstance(layer, layers.Permute):
            return self._moved(x, lambda a: a.transpose(0, *layer.dims))
        if isinstance(layer, layers.Flatten | layers.Reshape):
            shape = layer.compute_output_shape((None, *x.value.shape[1:]))
            return self._moved(x, lambda a: a.reshape(len(a), *shape[1:]))
        if isinstance(layer, layers.Residual):
            y = x
            for inner in layer.layers:
                y = self.layer(inner, [y])
            return self._sum(
                [x if layer.projection is None else self.layer(layer.projection, [x]), y]
            )
        raise NotImplementedError(type(layer).__name__)

    def _dense(self, layer: layers.Dense, x: Node) -> Node:
        w = self.weights[layer.kernel.path]
        mask = np.ones(w.value.shape)
        if layer.dropconnect:
            mask = self._mask(layer.dropconnect_seed, layer.dropconnect, w)
        y = Node(x.value @ (w.value * mask))
        b = None if layer.bias is None else self.weights[layer.bias.path]
        if b is not None:
            y.value = y.value + b.value

        def back() -> None:
            x.d += y.d @ (w.value * mask).T
            rows = y.d.reshape(-1, y.d.shape[-1])
            w.d += x.value.reshape(-1, len(w.value)).T @ rows * mask
            if b is not None:
                b.d += rows.sum(axis=0)

        self._back.append(back)
        return y

    def _activation(self, kind: str, z: Node) -> Node:
        if kind in ("linear", "softmax"):
            return z
        y = Node(twins.ACTIVATIONS[kind].value(z.value), rectified=kind == "relu")

        def back() -> None:
            z.d += y.d * twins.ACTIVATIONS[kind].slope(z.value)

        self._back.append(back)
        return y

    def _softmax(self, z: Node, axis: int) -> Node:
        e = np.exp(z.value - z.value.max(axis=axis, keepdims=True))
        y = Node(e / e.sum(axis=axis, keepdims=True))

        def back() -> None:
            z.d += y.value * (y.d - (y.d * y.value).sum(axis=axis, keepdims=True))

        self._back.append(back)
        return y

    def _normalized(self, layer: Any, x: Node) -> Node:
        rank = x.value.ndim
        features = layer.feature_axes((None, *x.value.shape[1:]))
        along = [n if axis in features else 1 for axis, n in enumerate(x.value.shape)]
        rest = tuple(axis for axis in range(rank) if axis not in features)

        def group(a: Array) -> Array:
            """(rows, positions, groups, channels of a group)"""
            groups = layer.n_groups((None, *x.value.shape[1:]))
            turned = np.moveaxis(a, features[0], -1)
            return turned.reshape(len(a), -1, groups, turned.shape[-1] // groups)

        def mean(a: Array) -> Array:
            if isinstance(layer, layers.BatchNormalization):
                return a.mean(axis=rest, keepdims=True)
            if isinstance(layer, layers.LayerNormalization):
                return a.mean(axis=features, keepdims=True)
            means = group(a).mean(axis=(1, 3), keepdims=True) + np.zeros(group(a).shape)
            turned = np.moveaxis(a, features[0], -1).shape
            return np.moveaxis(means.reshape(turned), -1, features[0])

        gamma, beta = self.weights[layer.gamma.path], self.weights[layer.beta.path]
        centered = x.value - mean(x.value)
        root = np.sqrt(mean(centered**2) + layer.epsilon)
        hat = centered / root
        y = Node(hat * gamma.value.reshape(along) + beta.value.reshape(along))

        def back() -> None:
            gamma.d += (y.d * hat).sum(axis=rest)
            beta.d += y.d.sum(axis=rest)
            d = y.d * gamma.value.reshape(along)
            x.d += (d - mean(d) - hat * mean(d * hat)) / root

        self._back.append(back)
        return y

    def _merged(self, layer: Any, a: Node, b: Node) -> Node:
        if isinstance(layer, layers.Multiply):
            y, slopes = Node(a.value * b.value), (b.value, a.value)
        else:
            find = np.maximum if isinstance(layer, layers.Maximum) else np.minimum
            y = Node(find(a.value, b.value))
            ties = np.where(a.value == b.value, 0.5, 1.0)
            slopes = ((a.value == y.value) * ties, (b.value == y.value) * ties)

        def back() -> None:
            a.d += y.d * slopes[0]
            b.d += y.d * slopes[1]

        self._back.append(back)
        return y

    def _side_by_side(self, parts: list[Node], axis: int) -> Node:
        y = Node(np.concatenate([part.value for part in parts], axis=axis))

        def back() -> None:
            ends = np.cumsum([part.value.shape[axis] for part in parts])[:-1]
            for part, d in zip(parts, np.split(y.d, ends, axis=axis), strict=True):
                part.d += d

        self._back.append(back)
        return y

    def _moved(self, x: Node, move: Callable[[Array], Array]) -> Node:
        """The numbers elsewhere."""
        y = Node(move(x.value))
        places = move(np.arange(x.value.size).reshape(x.value.shape))

        def back() -> None:
            x.d.reshape(-1)[places] += y.d

        self._back.append(back)
        return y

    def _mask(self, seed: Any, rate: float, x: Node) -> Array:
        """A number for each place of x: of a picture each example begins at a multiple of four
        lines, unless what drops is a rectifier, which takes the lines of all examples as one."""
        self.streams += 1
        rows, *positions, columns = x.value.shape
        lines = int(np.prod(positions))
        room = lines if x.rectified or lines == 1 else -(-lines // 4) * 4
        found = kept(seed, self.streams - 1, self.number, rate, rows * room, columns)
        found = found.reshape(rows, room, columns)[:, :lines].reshape(x.value.shape)
        return found / (1 - rate)

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
