"""The nets of the races, as lists of layers that every entrant builds in its own terms.

A net is named by a text: ``784-512-10`` has Dense layers of these widths, ``28x28x1-convnet`` and
``32x32x3-resnet20`` take pictures of height x width x channels. At the end of each stand the logits
of softmax cross-entropy.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

CLASSES = 10


@dataclass(frozen=True)
class Dense:
    """``x @ kernel + bias``, kernel (inputs, units), then ReLU where ``relu`` says so."""

    inputs: int
    units: int
    relu: bool

    @property
    def kernel(self) -> tuple[int, ...]:
        return self.inputs, self.units

    @property
    def macs(self) -> int:
        """Multiply-adds for an example."""
        return self.inputs * self.units


@dataclass(frozen=True)
class Conv:
    """Convolution, kernel (size, size, channels, filters), padded as Keras's and TensorFlow's
    ``same``. ``height``, ``width``: of its inputs."""

    height: int
    width: int
    channels: int
    filters: int
    size: int
    stride: int
    bias: bool
    relu: bool

    @property
    def kernel(self) -> tuple[int, ...]:
        return self.size, self.size, self.channels, self.filters

    @property
    def macs(self) -> int:
        """Multiply-adds for an example; those with zeros of the padding are counted too."""
        positions = -(-self.height // self.stride) * -(-self.width // self.stride)
        return math.prod(self.kernel) * positions

    @property
    def padding(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Zeros (above, below), (left, right): of an odd number the last side gets one more."""
        above, left = (
            max((-(-length // self.stride) - 1) * self.stride + self.size - length, 0)
            for length in (self.height, self.width)
        )
        return (above // 2, above - above // 2), (left // 2, left - left // 2)


@dataclass(frozen=True)
class Norm:
    """BatchNorm, then ReLU where ``relu`` says so."""

    channels: int
    relu: bool


@dataclass(frozen=True)
class MaxPool:
    """2x2, stride 2; the last row or column of an odd number is left out."""


@dataclass(frozen=True)
class Flatten:
    """``shape``: height, width, channels, which is the order of its outputs too."""

    shape: tuple[int, int, int]


@dataclass(frozen=True)
class GlobalAverage:
    """Mean over height and width."""


@dataclass(frozen=True)
class Dropout:
    rate: float


@dataclass(frozen=True)
class Residual:
    """``relu(body(x) + shortcut(x))``; an empty shortcut is x itself."""

    body: tuple[Layer, ...]
    shortcut: tuple[Layer, ...]


Weighted: TypeAlias = Dense | Conv
Layer: TypeAlias = Dense | Conv | Norm | MaxPool | Flatten | GlobalAverage | Dropout | Residual


def shape(net: str) -> tuple[int, ...]:
    """Of one input: ``(784,)``, or height, width and channels."""
    return tuple(map(int, net.split("-")[0].split("x")))


def build(net: str, batch_norm: bool, dropout: float) -> tuple[Layer, ...]:
    """The layers of a net.

    Args:
        batch_norm: Normalize between each hidden layer's product and its ReLU. ``resnet20`` does
            anyway.
        dropout: Share of each hidden layer's outputs that is dropped at a step.

    Raises:
        ValueError: ``net`` is no name of a net.
    """
    try:
        if "x" not in net:
            return _mlp(tuple(map(int, net.split("-"))), batch_norm, dropout)
        name = net.split("-")[1]
        height, width, channels = shape(net)
        make = _PICTURES[name]
    except (ValueError, IndexError, KeyError):
        names = " or ".join(f"28x28x1-{name}" for name in _PICTURES)
        raise ValueError(f"nets: {net!r} is not like 784-512-10, {names}") from None
    if min(height, width) < _SMALLEST:
        raise ValueError(f"nets: the pictures of {net!r} must be {_SMALLEST}x{_SMALLEST} or larger")
    return make((height, width, channels), batch_norm, dropout)


def every(layers: tuple[Layer, ...]) -> Iterator[Layer]:
    """All layers, those within a Residual too: its body's, then its shortcut's. In this order
    stand the weights of a net."""
    for layer in layers:
        if isinstance(layer, Residual):
            yield from every(layer.body)
            yield from every(layer.shortcut)
        else:
            yield layer


def weighted(layers: tuple[Layer, ...]) -> list[Weighted]:
    """Those with a kernel, in order."""
    return [layer for layer in every(layers) if isinstance(layer, Weighted)]


def _hidden(product: Weighted, batch_norm: bool, dropout: float) -> list[Layer]:
    found: list[Layer] = [product]
    if batch_norm:
        found.append(Norm(product.kernel[-1], relu=True))
    if dropout:
        found.append(Dropout(dropout))
    return found


def _mlp(widths: tuple[int, ...], batch_norm: bool, dropout: float) -> tuple[Layer, ...]:
    *hidden, head = itertools.pairwise(widths)
    found: list[Layer] = []
    for inputs, units in hidden:
        found += _hidden(Dense(inputs, units, relu=not batch_norm), batch_norm, dropout)
    return (*found, Dense(*head, relu=False))


def _convnet(picture: tuple[int, int, int], batch_norm: bool, dropout: float) -> tuple[Layer, ...]:
    """Three 3x3 convolutions, each pooled, and a hidden Dense layer of 128."""
    height, width, channels = picture
    relu = not batch_norm
    found: list[Layer] = []
    for filters in (32, 64, 128):
        conv = Conv(height, width, channels, filters, 3, 1, bias=True, relu=relu)
        found += [*_hidden(conv, batch_norm, dropout), MaxPool()]
        height, width, channels = height // 2, width // 2, filters
    found.append(Flatten((height, width, channels)))
    found += _hidden(Dense(height * width * channels, 128, relu), batch_norm, dropout)
    return (*found, Dense(128, CLASSES, relu=False))


def _resnet20(picture: tuple[int, int, int], batch_norm: bool, dropout: float) -> tuple[Layer, ...]:
    """He et al. (2016), section 4.2, n = 3: BatchNorm after each convolution, which has no bias.
    Where filters and stride change, the shortcut is a 1x1 convolution with BatchNorm (their B)."""
    height, width, channels = picture

    def conv(filters: int, size: int, stride: int, relu: bool) -> tuple[Layer, Layer]:
        product = Conv(height, width, channels, filters, size, stride, bias=False, relu=False)
        return product, Norm(filters, relu)

    found: list[Layer] = [*conv(16, 3, 1, relu=True)]
    channels = 16
    for filters in (16, 32, 64):
        for block in range(3):
            stride = 2 if filters > 16 and block == 0 else 1
            shortcut = () if filters == channels else conv(filters, 1, stride, relu=False)
            first = conv(filters, 3, stride, relu=True)
            height, width, channels = -(-height // stride), -(-width // stride), filters
            second = conv(filters, 3, 1, relu=False)
            found.append(Residual((*first, *second), shortcut))
            if dropout:
                found.append(Dropout(dropout))
    return (*found, GlobalAverage(), Dense(channels, CLASSES, relu=False))


_SMALLEST = 8
_PICTURES: dict[str, Callable[[tuple[int, int, int], bool, float], tuple[Layer, ...]]] = {
    "convnet": _convnet,
    "resnet20": _resnet20,
}
