"""Pictures for tests: random ones, in files of every format."""

from __future__ import annotations

import io
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FORMATS = {"png": "PNG", "jpg": "JPEG", "bmp": "BMP", "gif": "GIF", "webp": "WEBP"}
"""Suffixes, and Pillow's names."""


def noise(*shape: int, seed: int = 0) -> NDArray[np.uint8]:
    """Random levels."""
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def encoded(picture: Any, kind: str, **options: Any) -> bytes:
    """The content of a file of a picture, or of an array of levels."""
    if isinstance(picture, np.ndarray):
        picture = Image.fromarray(picture)
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def write(path: Path, picture: Any, **options: Any) -> Path:
    """A file in the format that its name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(picture, FORMATS[path.suffix[1:]], **options))
    return path


def classes(folder: Path, counts: dict[str, int], side: int = 6) -> Path:
    """A directory of gray PNG for each class; each picture is of its own."""
    for number, (name, count) in enumerate(counts.items()):
        for i in range(count):
            write(folder / name / f"{i:03}.png", noise(side, side, seed=1000 * number + i))
    return folder


def settle() -> None:
    """Wait until a change of a file must show in its times."""
    time.sleep(0.12)


def opened(path: str | os.PathLike[str], mode: str) -> NDArray[np.uint8]:
    """Pillow by hand: (height, width, channels)."""
    with Image.open(path) as image:
        numbers = np.asarray(image.convert(mode))
    return numbers[:, :, None] if numbers.ndim == 2 else numbers
