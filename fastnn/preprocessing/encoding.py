"""Integers as rows of zeros and ones, or of counts."""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import NDArray

MODES = ("one_hot", "multi_hot", "count")

_CELLS = 1 << 22
"""Of a table of counts that is made at a time."""


def encoded_shape(owner: str, shape: tuple[int, ...], mode: str, depth: int) -> tuple[int, ...]:
    """The shape of ``encode`` for indices of this shape, the batch's axis included.

    Raises:
        ValueError: "multi_hot" and "count" take (N, k) at most.
    """
    if mode == "one_hot":
        places = shape[:-1] if len(shape) > 1 and shape[-1] == 1 else shape
        return (*places, depth)
    if len(shape) > 2:
        raise ValueError(f"{owner}: output_mode {mode!r} takes inputs of shape (N, k), got {shape}")
    return (*shape[:-1], depth)


def encode(owner: str, indices: NDArray[np.int64], mode: str, depth: int) -> NDArray[np.generic]:
    """Keras's ``encode_categorical_inputs``: of indices within 0 .. depth - 1, and of those that
    count for nothing, which are negative.

    Args:
        owner: For messages.
        mode: "one_hot" (a last axis of extent 1 is dropped), or, of the k numbers of each row of
            (N, k), "multi_hot" (whether each index is there) or "count" (how often).

    Returns:
        uint8 of ``encoded_shape``; float32 for "count".
    """
    shape = encoded_shape(owner, indices.shape, mode, depth)
    if mode == "count":
        return _counts(indices.reshape(-1, indices.shape[-1]), depth).reshape(shape)
    hot = np.zeros((prod(shape[:-1]), depth), np.uint8)
    indices = indices.reshape(len(hot), -1)
    kept = indices >= 0
    hot[np.nonzero(kept)[0], indices[kept]] = 1
    return hot.reshape(shape)


def _counts(indices: NDArray[np.int64], depth: int) -> NDArray[np.float32]:
    counts = np.empty((len(indices), depth), np.float32)
    rows = max(1, _CELLS // depth)
    for start in range(0, len(indices), rows):
        part = indices[start : start + rows]
        cells = np.arange(len(part))[:, None] * depth + part
        found = np.bincount(cells[part >= 0], minlength=len(part) * depth)
        counts[start : start + rows] = found.reshape(-1, depth)
    return counts
