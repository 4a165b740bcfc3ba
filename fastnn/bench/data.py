"""The inputs of the race, written once and read by every worker."""

from __future__ import annotations

from pathlib import Path

import numpy as np

FEATURES = 784
CLASSES = 10
ROWS = 60_000
KINDS = ("mnist", "dense")
_CHUNK = 20_000


def write(kind: str, folder: Path, rows: int = ROWS) -> tuple[str, str]:
    """Write x, float32 (rows, 784), and y, int32 (rows,); the paths of both ``.npy`` files.

    ``mnist`` is the training set over 255, repeated where more than 60,000 rows are wanted;
    ``dense`` is standard-normal with labels at random.

    Raises:
        ValueError: ``kind`` is neither.
    """
    if kind not in KINDS:
        raise ValueError(f"cases: {kind!r} is not one of {', '.join(KINDS)}")
    paths = folder / f"{kind}-{rows}-x.npy", folder / f"{kind}-{rows}-y.npy"
    x = np.lib.format.open_memmap(paths[0], "w+", np.float32, (rows, FEATURES))
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
            x[part] = rng.standard_normal((part.stop - first, FEATURES), np.float32)
        y[:] = rng.integers(CLASSES, size=rows)
    x.flush()
    np.save(paths[1], y)
    return str(paths[0]), str(paths[1])
