"""Layers in float64 NumPy, forward and backward, slow and obvious.

``forward`` keeps what ``backward`` needs; ``backward`` takes the gradient by the output, returns
that by the input, and leaves those by the weights in ``gradients``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np

from fastnn.bench import nets
from fastnn.bench.peers import base

Arrays = dict[str, np.ndarray]


class Twin(ABC):
    """Attributes: ``weights`` and ``gradients``, by the same names."""

    def __init__(self) -> None:
        self.weights: Arrays = {}
        self.gradients: Arrays = {}

    @abstractmethod
    def forward(self, x: np.ndarray, training: bool) -> np.ndarray: ...

    @abstractmethod
    def backward(self, delta: np.ndarray) -> np.ndarray: ...

    def every(self) -> Iterator[Twin]:
        """This one and all within it, in the order of ``nets.every``."""
        yield self


class Chain(Twin):
    """Layers, one after another.

    Args:
        weights: Kernels and biases in order; as many are taken as the layers have.
        random: Draws the masks of dropout.
    """

    def __init__(
        self,
        layers: Sequence[nets.Layer],
        weights: Iterator[np.ndarray],
        random: np.random.Generator,
    ) -> None:
        super().__init__()
        self._twins: list[Twin] = []
        for layer in layers:
            self._twins.append(_twin(layer, weights, random))
            if isinstance(layer, nets.Weighted | nets.Norm) and layer.relu:
                self._twins.append(Relu())

    def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
        for twin in self._twins:
            x = twin.forward(x, training)
        return x

    def backward(self, delta: np.ndarray) -> np.ndarray:
        for twin in reversed(self._twins):
            delta = twin.backward(delta)
        return delta

    def every(self) -> Iterator[Twin]:
        for twin in self._twins:
            yield from twin.every()


def _twin(layer: nets.Layer, weights: Iterator[np.ndarray], random: np.random.Generator) -> Twin:
    if isinstance(layer, nets.Dense):
        return Dense(next(weights), next(weights))
    if isinstance(layer, nets.Conv):
        return Conv(layer, next(weights), next(weights) if layer.bias else None)
    if isinstance(layer, nets.Norm):
        return Norm(layer.channels)
    if isinstance(layer, nets.Dropout):
        return Dropout(layer.rate, random)
    if isinstance(layer, nets.Residual):
        return Residual(layer, weights, random)
    plain: dict[type[nets.Layer], type[MaxPool | Flatten | GlobalAverage]] = {
        nets.MaxPool: MaxPool,
        nets.Flatten: Flatten,
        nets.GlobalAverage: GlobalAverage,
    }
    return plain[type(layer)]()


class Dense(Twin):
    def __init__(self, kernel: np.ndarray, bias: np.ndarray) -> None:
        super().__init__()
        self.weights = {"kernel": kernel, "bias": bias}

    def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
        self._x = x
        found: np.ndarray = x @ self.weights["kernel"] + self.weights["bias"]
        return found

    def backward(self, delta: np.ndarray) -> np.ndarray:
        self.gradients = {"kernel": self._x.T @ delta, "bias": delta.sum(0)}
        found: np.ndarray = delta @ self.weights["kernel"].T
        return found


class Conv(Twin):
    """A sum over the taps of the window, each a product."""

    def __init__(self, layer: nets.Conv, kernel: np.ndarray, bias: np.ndarray | None) -> None:
        super().__init__()
        self.weights = {"kernel": kernel} | ({} if bias is None else {"bias": bias})
        self._stride = layer.stride
        self._padding = [(0, 0), *layer.padding, (0, 0)]

    def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
        kernel = self.weights["kernel"]
        self._places = [-(-length // self._stride) for length in x.shape[1:3]]
        self._x = np.pad(x, self._padding)
        # As matrices: NumPy multiplies stacks of small ones by a slower road.
        y = np.zeros((len(x) * math.prod(self._places), kernel.shape[-1]))
        for tap in np.ndindex(kernel.shape[:2]):
            y += self._seen(tap, self._x) @ kernel[tap]
        y += self.weights.get("bias", 0)
        return y.reshape(len(x), *self._places, -1)

    def backward(self, delta: np.ndarray) -> np.ndarray:
        kernel = self.weights["kernel"]
        dx, dkernel = np.zeros_like(self._x), np.zeros_like(kernel)
        flat = delta.reshape(-1, delta.shape[-1])
        for tap in np.ndindex(kernel.shape[:2]):
            dkernel[tap] = self._seen(tap, self._x).T @ flat
            part = dx[self._window(tap)]
            part += (flat @ kernel[tap].T).reshape(part.shape)
        self.gradients = {"kernel": dkernel}
        if "bias" in self.weights:
            self.gradients["bias"] = flat.sum(0)
        inner = (
            slice(before, length - after)
            for (before, after), length in zip(self._padding, dx.shape, strict=True)
        )
        return dx[tuple(inner)]

    def _seen(self, tap: tuple[int, ...], x: np.ndarray) -> np.ndarray:
        """(positions, channels) of the padded pictures that this tap of the window meets."""
        return x[self._window(tap)].reshape(-1, x.shape[-1])

    def _window(self, tap: tuple[int, ...]) -> tuple[slice, ...]:
        return (
            slice(None),
            *(
                slice(first, first + (places - 1) * self._stride + 1, self._stride)
                for first, places in zip(tap, self._places, strict=True)
            ),
        )


class Norm(Twin):
    """BatchNorm over all axes but the last; ``moving`` has its statistics for inference."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weights = {"gamma": np.ones(channels), "beta": np.zeros(channels)}
        self.moving = {"mean": np.zeros(channels), "variance": np.ones(channels)}

    def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
        mean, variance = self.moving["mean"], self.moving["variance"]
        if training:
            axes = tuple(range(x.ndim - 1))
            mean, variance = x.mean(axes), x.var(axes)
            for name, now in (("mean", mean), ("variance", variance)):
                self.moving[name] += (1 - base.NORM_MOMENTUM) * (now - self.moving[name])
        self._deviation = np.sqrt(variance + base.NORM_EPSILON)
        self._whitened = (x - mean) / self._deviation
        return self._whitened * self.weights["gamma"] + self.weights["beta"]

    def backward(self, delta: np.ndarray) -> np.ndarray:
        # Ioffe & Szegedy (2015), section 3
        axes, whitened = tuple(range(delta.ndim - 1)), self._whitened
        self.gradients = {"gamma": (delta * whitened).sum(axes), "beta": delta.sum(axes)}
        centred = delta - delta.mean(axes) - whitened * (delta * whitened).mean(axes)
        found: np.ndarray = centred * (self.weights["gamma"] / self._deviation)
        return found


class Relu(Twin):
    def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
        self._positive = x > 0
        found: np.ndarray = x * self._positive
        return found

    def backward(self, delta: np.ndarray) -> np.ndarray:
        return delta * self._positive


class MaxPool(Twin):
    """The gradient goes to the first of the largest, row by row."""

    def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
        rows, height, width, channels = self._shape = x.shape
        self._places = (rows, height // 2, width // 2, 4, channels)
        windows = self._windows(x)
        self._largest = windows.argmax(3)[:, :, :, None]
        return np.take_along_axis(windows, self._largest, 3)[:, :, :, 0]

    def backward(self, delta: np.ndarray) -> np.ndarray:
        windows = np.zeros(self._places)
        np.put_along_axis(windows, self._largest, delta[:, :, :, None], 3)
        rows, height, width, _, channels = self._places
        found = np.zeros(self._shape)
        apart = windows.reshape(rows, height, width, 2, 2, channels).swapaxes(2, 3)
        found[:, : 2 * height, : 2 * width] = apart.reshape(rows, 2 * height, 2 * width, channels)
        return found

    def _windows(self, x: np.ndarray) -> np.ndarray:
        """(rows, height, width, numbers of a window, channels)."""
        rows, height, width, _, channels = self._places
        whole = x[:, : 2 * height, : 2 * width].reshape(rows, height, 2, width, 2, channels)
        return whole.swapaxes(2, 3).reshape(self._places)


class Flatten(Twin):
    def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
        self._shape = x.shape
        return x.reshape(len(x), -1)

    def backward(self, delta: np.ndarray) -> np.ndarray:
        return delta.reshape(self._shape)


class GlobalAverage(Twin):
    def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
        self._shape = x.shape
        found: np.ndarray = x.mean((1, 2))
        return found

    def backward(self, delta: np.ndarray) -> np.ndarray:
        _, height, width, _ = self._shape
        found: np.ndarray = np.broadcast_to(delta[:, None, None] / (height * width), self._shape)
        return found


class Dropout(Twin):
    def __init__(self, rate: float, random: np.random.Generator) -> None:
        super().__init__()
        self._rate, self._random = rate, random

    def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
        if not training:
            return x
        self._scale = (self._random.random(x.shape) >= self._rate) / (1 - self._rate)
        found: np.ndarray = x * self._scale
        return found

    def backward(self, delta: np.ndarray) -> np.ndarray:
        found: np.ndarray = delta * self._scale
        return found


class Residual(Twin):
    def __init__(
        self, layer: nets.Residual, weights: Iterator[np.ndarray], random: np.random.Generator
    ) -> None:
        super().__init__()
        self._body = Chain(layer.body, weights, random)
        self._shortcut = Chain(layer.shortcut, weights, random)
        self._relu = Relu()

    def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
        both = self._body.forward(x, training) + self._shortcut.forward(x, training)
        return self._relu.forward(both, training)

    def backward(self, delta: np.ndarray) -> np.ndarray:
        delta = self._relu.backward(delta)
        found: np.ndarray = self._body.backward(delta) + self._shortcut.backward(delta)
        return found

    def every(self) -> Iterator[Twin]:
        yield from self._body.every()
        yield from self._shortcut.every()
