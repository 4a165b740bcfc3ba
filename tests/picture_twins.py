"""NumPy twins of csrc/augmentation.inc.c and fastnn/kernels/augmentation.pyx, in float64.

A picture is (height, width, channels). Beyond its edges the twin lays it out with ``np.pad``, where
the kernel computes an index.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from philox import words

Array = np.ndarray[Any, np.dtype[Any]]

FILLS = {"reflect": "symmetric", "wrap": "wrap", "nearest": "edge", "constant": "constant"}


def drawn(seed: int, stream: int, step: int, rows: int) -> Array:
    """(rows, 16): between 0 and 1, the numbers of each picture."""
    return (words(seed, stream, step, rows, 16).astype(np.float64) + 0.5) / 2**32


def flipped(x: Array, mode: str, numbers: Array) -> Array:
    if "vertical" in mode and numbers[0] < 0.5:
        x = x[::-1]
    if "horizontal" in mode and numbers[1] < 0.5:
        x = x[:, ::-1]
    return x


def cropped(x: Array, height: int, width: int, numbers: Array) -> Array:
    h = int(numbers[0] * (x.shape[0] - height + 1))
    w = int(numbers[1] * (x.shape[1] - width + 1))
    return x[h : h + height, w : w + width]


def translation(shape: tuple[int, ...], rows: float, columns: float) -> Array:
    """(2, 3): row and column that are read, of (row, column, 1) of the result; as the next two."""
    return np.array([[1, 0, -rows * shape[0]], [0, 1, -columns * shape[1]]])


def rotation(shape: tuple[int, ...], turns: float) -> Array:
    c, s = np.cos(2 * np.pi * turns), np.sin(2 * np.pi * turns)
    return around_the_middle(shape, np.array([[c, s], [-s, c]]))


def zoom(shape: tuple[int, ...], rows: float, columns: float) -> Array:
    return around_the_middle(shape, np.diag([1 + rows, 1 + columns]))


def around_the_middle(shape: tuple[int, ...], matrix: Array) -> Array:
    middle = np.array([shape[0] - 1, shape[1] - 1]) / 2
    return np.column_stack([matrix, middle - matrix @ middle])


def warped(
    x: Array, of: Array, fill_mode: str, bilinear: bool, fill_value: float
) -> tuple[Array, Array]:
    """The picture; and for each pixel of it the distance, in pixels, to the next place where the
    arithmetic jumps: which pixel is nearest."""
    height, width, _ = x.shape
    grid = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij"), axis=-1)
    places = grid @ of[:, :2].T + of[:, 2]
    margin = int(np.abs(places).max()) + 2
    how = {"constant_values": fill_value} if fill_mode == "constant" else {}
    padded = np.pad(x, [(margin, margin)] * 2 + [(0, 0)], FILLS[fill_mode], **how)  # type: ignore[call-overload]
    r, c = np.moveaxis(places + margin, -1, 0)
    if not bilinear:
        distance = np.abs(places - np.floor(places) - 0.5).min(axis=-1)
        return padded[np.floor(r + 0.5).astype(int), np.floor(c + 0.5).astype(int)], distance
    r0, c0 = np.floor(r).astype(int), np.floor(c).astype(int)
    a, b = (r - r0)[..., None], (c - c0)[..., None]
    result = (
        (1 - a) * (1 - b) * padded[r0, c0] + (1 - a) * b * padded[r0, c0 + 1]
        + a * (1 - b) * padded[r0 + 1, c0] + a * b * padded[r0 + 1, c0 + 1]
    )  # fmt: skip
    return result, np.ones((height, width))


def contrasted(x: Array, factor: float, lowest: float, highest: float) -> Array:
    mean = x.mean(axis=(0, 1))
    return np.clip((x - mean) * factor + mean, lowest, highest)


def brightened(x: Array, delta: float, lowest: float, highest: float) -> Array:
    return np.clip(x + delta * (highest - lowest), lowest, highest)
