"""NumPy twins of csrc/random.inc.c: Philox4x32, the masks and the normal numbers made of it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

ROUNDS = 7

_LOW = np.uint64(0xFFFFFFFF)
_HIGH = np.uint64(32)


def philox(
    counter: Sequence[NDArray[np.uint64] | int], key: Sequence[int], rounds: int = ROUNDS
) -> list[NDArray[np.uint64]]:
    """The four words of each counter, all as 32-bit numbers; Salmon et al. 2011, section 3.3."""
    c0, c1, c2, c3 = np.broadcast_arrays(*(np.asarray(word, np.uint64) for word in counter))
    k0, k1 = key
    for _ in range(rounds):
        p0, p1 = c0 * np.uint64(0xD2511F53), c2 * np.uint64(0xCD9E8D57)
        c0, c1, c2, c3 = (
            (p1 >> _HIGH) ^ c1 ^ np.uint64(k0), p1 & _LOW,
            (p0 >> _HIGH) ^ c3 ^ np.uint64(k1), p0 & _LOW,
        )  # fmt: skip
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return [c0, c1, c2, c3]


def words(seed: int, stream: int, step: int, rows: int, columns: int) -> NDArray[np.uint64]:
    """The 32-bit word of each element of a matrix (rows, columns)."""
    quads = np.arange(-(-rows // 4))[:, None]
    counter = [np.arange(columns), quads, step % 2**32, stream << 16 | step >> 32 & 0xFFFF]
    found = np.stack(philox(counter, (seed % 2**32, seed >> 32)), axis=1)
    return found.reshape(-1, columns)[:rows]


def kept(
    seed: int, stream: int, step: int, rate: float, rows: int, columns: int
) -> NDArray[np.bool_]:
    """What Dropout leaves of a matrix."""
    return words(seed, stream, step, rows, columns) >= math.ceil(rate * 2**32)


def normals(seed: int, stream: int, step: int, rows: int, columns: int) -> NDArray[np.float64]:
    """Standard normal numbers by Box and Muller's method: a pair of rows from a pair of words."""
    w = words(seed, stream, step, -(-rows // 4) * 4, columns)
    radius = np.sqrt(-2 * np.log(((w[0::2] >> np.uint64(1)) + 0.5) / 2**31))
    angle = 2 * np.pi * w[1::2].astype(np.float64) / 2**32
    pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return pairs.reshape(-1, columns)[:rows]
