"""The inputs of the race, written once and read by every worker."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from fastnn.bench import nets

FEATURES = 784
ROWS = 60_000
KINDS = ("mnist", "dense")
_CHUNK = 20_000


def write(
    kind: str, folder: Path, rows: int = ROWS, shape: tuple[int, ...] = (FEATURES,)
) -> tuple[str, str]:
    """Write x, float32 (rows, ...), and y, int32 (rows,), unless they stand there already; the
    paths of both ``.npy`` files.

    ``mnist`` is the training set over 255, repeated where more than 60,000 rows are wanted;
    ``dense`` is standard-normal with labels at random.

    Raises:
        ValueError: ``kind`` is neither, or MNIST has no such shape.
    """
    if kind not in KINDS:
        raise ValueError(f"cases: {kind!r} is not one of {', '.join(KINDS)}")
    if kind == "mnist" and not fits_mnist(shape):
        raise ValueError(f"cases: mnist has pictures of 28x28x1, not of {shape}")
    name = f"{kind}-{rows}-{'x'.join(map(str, shape))}"
    paths = folder / f"{name}-x.npy", folder / f"{name}-y.npy"
    found = str(paths[0]), str(paths[1])
    if paths[1].exists():
        return found
    stored = np.lib.format.open_memmap(paths[0], "w+", np.float32, (rows, *shape))
    features = math.prod(shape)
    x = stored.reshape(rows, features)
    y = np.empty(rows, np.int32)
    if kind == "mnist":
        from fastnn.datasets import mnist

        (images, labels), _ = mnist.load_data()
        pixels = images.reshape(len(images), FEATURES)
        for first in range(0, rows, len(pixels)):
            part = slice(first, min(first + len(pixels), rows))
            np.divide(pixels[: part.stop - first], np.float32(255), out=x[part])
            y[part] = labels[: part.stop - first]
    else:
        rng = np.random.default_rng(0)
        for first in range(0, rows, _CHUNK):
            part = slice(first, min(first + _CHUNK, rows))
            x[part] = rng.standard_normal((part.stop - first, features), np.float32)
        y[:] = rng.integers(nets.CLASSES, size=rows)
    stored.flush()
    np.save(paths[1], y)
    return found


def fits_mnist(shape: tuple[int, ...]) -> bool:
    """Whether its pictures are inputs of this shape."""
    return shape in ((FEATURES,), (28, 28, 1))
