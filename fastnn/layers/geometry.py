"""Where the windows of convolutions and pooling lie, axis by axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


def span(window: int, dilation: int = 1) -> int:
    """How many positions a window reaches over, from its first tap to its last."""
    return (window - 1) * dilation + 1


def output_length(length: int, window: int, stride: int, padding: str, dilation: int = 1) -> int:
    """How many windows there are along an axis; below 1 if none fits, which is for "valid" only.

    "valid": the windows that lie inside. "same", "causal": one at each ``stride``-th position,
    ceil(length / stride).
    """
    if padding == "valid":
        return (length - span(window, dilation)) // stride + 1
    return -(-length // stride)


def padding_amounts(
    length: int, window: int, stride: int, padding: str, dilation: int = 1
) -> tuple[int, int]:
    """Zeros before and after an axis.

    "same" needs so many that the last window lies inside; of an odd number, the greater part comes
    after, as TensorFlow has it. "causal" puts all before, so that no window reads what comes later.
    """
    if padding == "valid":
        return 0, 0
    reach = span(window, dilation)
    if padding == "causal":
        return reach - 1, 0
    windows = output_length(length, window, stride, padding, dilation)
    total = max((windows - 1) * stride + reach - length, 0)
    return total // 2, total - total // 2


@dataclass(frozen=True)
class Axis:
    """The windows along one axis. Tap ``t`` of window ``i`` reads position
    ``i * stride + t * dilation - before``; outside of ``0 .. length - 1`` there is padding.

    Attributes:
        length: Positions of the input.
        window, stride, dilation: Of the layer.
        before, after: Positions of padding.
        windows: Positions of the output.
    """

    length: int
    window: int
    stride: int
    dilation: int
    before: int
    after: int
    windows: int


def axes(
    lengths: Sequence[int],
    window: Sequence[int],
    strides: Sequence[int],
    padding: str,
    dilation: Sequence[int] | None = None,
) -> tuple[Axis, ...]:
    """The windows along each axis."""
    rates = dilation or (1,) * len(lengths)
    return tuple(
        Axis(
            length, size, stride, rate, *padding_amounts(length, size, stride, padding, rate),
            output_length(length, size, stride, padding, rate),
        )
        for length, size, stride, rate in zip(lengths, window, strides, rates, strict=True)
    )  # fmt: skip
