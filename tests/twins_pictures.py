"""float64 NumPy twins of the layers for pictures and signals: forward, and back.

Slow and obvious. Each takes (batch, *extents, channels) with one extent or several; a window, its
strides and so on are tuples with a number for each. ``*_backward`` returns gradients for a gradient
``dy`` of the output, in the order of the arguments that have one.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Sizes = Sequence[int]


def paddings(
    extents: Sizes, window: Sizes, strides: Sizes, padding: str, dilation: Sizes
) -> list[tuple[int, int]]:
    """Zeros before and after each axis, by trying: the fewest with which ceil(extent / stride)
    windows fit."""
    pairs = []
    for extent, size, stride, rate in zip(extents, window, strides, dilation, strict=True):
        reach = 1 + (size - 1) * rate
        total = 0
        if padding == "same":
            starts = range(0, extent, stride)
            while starts[-1] + reach > extent + total:
                total += 1
            pairs.append((total // 2, total - total // 2))
        else:
            pairs.append((reach - 1, 0) if padding == "causal" else (0, 0))
    return pairs


def padded(x: Array, pairs: Sequence[tuple[int, int]], value: float = 0.0) -> Array:
    """``x`` with ``value`` around it."""
    return np.pad(x, [(0, 0), *pairs, (0, 0)], constant_values=value)


def unpadded(x: Array, pairs: Sequence[tuple[int, int]]) -> Array:
    """``x`` without what ``padded`` put around it."""
    inside = [slice(a, n - b) for (a, b), n in zip(pairs, x.shape[1:-1], strict=True)]
    return x[(slice(None), *inside)]


def counts(padded_extents: Sizes, window: Sizes, strides: Sizes, dilation: Sizes) -> list[int]:
    """Windows along each axis, counted."""
    return [
        len(range(0, extent - (size - 1) * rate, stride))
        for extent, size, stride, rate in zip(
            padded_extents, window, strides, dilation, strict=True
        )
    ]


def taps(
    outputs: Sizes, window: Sizes, strides: Sizes, dilation: Sizes
) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...]]]:
    """Each tap of the window, and where in the padded input all windows read it."""
    for tap in itertools.product(*map(range, window)):
        yield (
            tap,
            (
                slice(None),
                *(
                    slice(t * rate, t * rate + (n - 1) * stride + 1, stride)
                    for t, rate, n, stride in zip(tap, dilation, outputs, strides, strict=True)
                ),
            ),
        )


def convolution(
    x: Array, kernel: Array, strides: Sizes, padding: str, dilation: Sizes, groups: int = 1
) -> Array:
    """Of kernel (*window, in / groups, out), without bias."""
    window = kernel.shape[:-2]
    z = padded(x, paddings(x.shape[1:-1], window, strides, padding, dilation))
    outputs = counts(z.shape[1:-1], window, strides, dilation)
    y = np.zeros((len(x), *outputs, kernel.shape[-1]))
    for tap, where in taps(outputs, window, strides, dilation):
        for ins, outs in _groups(kernel, groups):
            y[..., outs] += z[where][..., ins] @ kernel[tap][:, outs]
    return y


def convolution_backward(
    x: Array, kernel: Array, dy: Array, strides: Sizes, padding: str, dilation: Sizes,
    groups: int = 1,
) -> tuple[Array, Array]:  # fmt: skip
    """dx, d(kernel)."""
    window = kernel.shape[:-2]
    pairs = paddings(x.shape[1:-1], window, strides, padding, dilation)
    z = padded(x, pairs)
    dz, dkernel = np.zeros_like(z), np.zeros_like(kernel)
    for tap, where in taps(dy.shape[1:-1], window, strides, dilation):
        for ins, outs in _groups(kernel, groups):
            dz[where][..., ins] += dy[..., outs] @ kernel[tap][:, outs].T
            read = z[where][..., ins]
            dkernel[tap][:, outs] += np.tensordot(read, dy[..., outs], (range(read.ndim - 1),) * 2)
    return unpadded(dz, pairs), dkernel


def depthwise(x: Array, kernel: Array, strides: Sizes, padding: str, dilation: Sizes) -> Array:
    """Of kernel (*window, in, multiplier), without bias: output channel c * multiplier + m."""
    dense = _as_full_kernel(kernel)
    return convolution(x, dense, strides, padding, dilation, groups=x.shape[-1])


def depthwise_backward(
    x: Array, kernel: Array, dy: Array, strides: Sizes, padding: str, dilation: Sizes
) -> tuple[Array, Array]:
    """dx, d(kernel)."""
    dx, dkernel = convolution_backward(
        x, _as_full_kernel(kernel), dy, strides, padding, dilation, groups=x.shape[-1]
    )
    return dx, dkernel.reshape(kernel.shape)


def max_pooling(x: Array, window: Sizes, strides: Sizes, padding: str) -> Array:
    """The largest value of what of each window is inside."""
    ones = (1,) * len(window)
    z = padded(x, paddings(x.shape[1:-1], window, strides, padding, ones), -np.inf)
    outputs = counts(z.shape[1:-1], window, strides, ones)
    return np.max([z[where] for _, where in taps(outputs, window, strides, ones)], axis=0)


def max_pooling_backward(x: Array, dy: Array, window: Sizes, strides: Sizes, padding: str) -> Array:
    """dx: each window's gradient goes to the first of its largest values."""
    ones = (1,) * len(window)
    pairs = paddings(x.shape[1:-1], window, strides, padding, ones)
    z = padded(x, pairs, -np.inf)
    where = [where for _, where in taps(dy.shape[1:-1], window, strides, ones)]
    first = np.argmax([z[each] for each in where], axis=0)
    dz = np.zeros_like(z)
    for number, each in enumerate(where):
        dz[each] += np.where(first == number, dy, 0)
    return unpadded(dz, pairs)


def average_pooling(x: Array, window: Sizes, strides: Sizes, padding: str) -> Array:
    """The mean of what of each window is inside."""
    return _sums(x, window, strides, padding) / _sums(np.ones_like(x), window, strides, padding)


def average_pooling_backward(
    x: Array, dy: Array, window: Sizes, strides: Sizes, padding: str
) -> Array:
    """dx."""
    ones = (1,) * len(window)
    pairs = paddings(x.shape[1:-1], window, strides, padding, ones)
    dz = np.zeros_like(padded(x, pairs))
    share = dy / _sums(np.ones_like(x), window, strides, padding)
    for _, where in taps(dy.shape[1:-1], window, strides, ones):
        dz[where] += share
    return unpadded(dz, pairs)


def global_max_pooling(x: Array) -> Array:
    """(batch, channels)."""
    return x.reshape(len(x), -1, x.shape[-1]).max(axis=1)


def global_average_pooling(x: Array) -> Array:
    """(batch, channels)."""
    return x.reshape(len(x), -1, x.shape[-1]).mean(axis=1)


def upsampling(x: Array, size: Sizes, interpolation: str = "nearest") -> Array:
    """Each axis made longer by its factor."""
    for axis, factor in enumerate(size, 1):
        length = x.shape[axis]
        place = (np.arange(length * factor) + 0.5) / factor - 0.5
        if interpolation == "nearest":
            x = np.take(x, np.arange(length * factor) // factor, axis)
            continue
        below = np.floor(place).astype(int)
        share = (place - below).reshape(-1, *(1,) * (x.ndim - axis - 1))
        low, high = (np.take(x, np.clip(i, 0, length - 1), axis) for i in (below, below + 1))
        x = (1 - share) * low + share * high
    return x


def batch_normalization(
    x: Array, gamma: Array, beta: Array, epsilon: float, axis: int = -1
) -> tuple[Array, Array, Array]:
    """y, and the batch's mean and variance of each index of ``axis``."""
    rows = np.moveaxis(x, axis, -1)
    others = tuple(range(x.ndim - 1))
    mean, variance = rows.mean(axis=others), rows.var(axis=others)
    y = gamma * (rows - mean) / np.sqrt(variance + epsilon) + beta
    return np.moveaxis(y, -1, axis), mean, variance


def layer_normalization(x: Array, gamma: Array, beta: Array, epsilon: float, axes: Sizes) -> Array:
    """Over ``axes``, the last ones."""
    mean = x.mean(axis=tuple(axes), keepdims=True)
    variance = x.var(axis=tuple(axes), keepdims=True)
    return gamma * (x - mean) / np.sqrt(variance + epsilon) + beta


def group_normalization(
    x: Array, gamma: Array, beta: Array, epsilon: float, groups: int, axis: int = -1
) -> Array:
    """Over all positions and the channels of a group, ``axis`` being the channels."""
    rows = np.moveaxis(x, axis, -1)
    split = rows.reshape(len(x), -1, groups, rows.shape[-1] // groups)
    mean = split.mean(axis=(1, 3), keepdims=True)
    variance = split.var(axis=(1, 3), keepdims=True)
    y = ((split - mean) / np.sqrt(variance + epsilon)).reshape(rows.shape)
    return np.moveaxis(gamma * y + beta, -1, axis)


def normalization_backward(
    x: Array, dy: Array, gamma: Array, epsilon: float, together: tuple[int, ...]
) -> Array:
    """dx of ``gamma * (x - mean) / sqrt(variance + epsilon)``, statistics over ``together``.

    ``gamma`` is of a shape that broadcasts to x's. Of groups: x reshaped, (batch, -1, groups, in).
    """
    mean = x.mean(axis=together, keepdims=True)
    deviation = np.sqrt(x.var(axis=together, keepdims=True) + epsilon)
    unit = (x - mean) / deviation
    dunit = dy * gamma
    along = unit * (dunit * unit).mean(axis=together, keepdims=True)
    return (dunit - dunit.mean(axis=together, keepdims=True) - along) / deviation


def _sums(x: Array, window: Sizes, strides: Sizes, padding: str) -> Array:
    ones = (1,) * len(window)
    z = padded(x, paddings(x.shape[1:-1], window, strides, padding, ones))
    outputs = counts(z.shape[1:-1], window, strides, ones)
    return np.sum([z[where] for _, where in taps(outputs, window, strides, ones)], axis=0)


def _groups(kernel: Array, groups: int) -> Iterator[tuple[slice, slice]]:
    """Input channels and output channels of each group."""
    width, filters = kernel.shape[-2], kernel.shape[-1] // groups
    for group in range(groups):
        yield (
            slice(group * width, (group + 1) * width),
            slice(group * filters, (group + 1) * filters),
        )


def _as_full_kernel(kernel: Array) -> Array:
    """(*window, in, multiplier) as the kernel of a convolution in as many groups as channels."""
    *window, channels, multiplier = kernel.shape
    return kernel.reshape(*window, 1, channels * multiplier)
