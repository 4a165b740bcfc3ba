"""MNIST: 70,000 handwritten digits, 28 x 28 gray levels each, shipped inside the package.

LeCun, Cortes and Burges, http://yann.lecun.com/exdb/mnist/; licence and attribution are in
``data/MNIST-LICENSE.md``.

Design: ``data/mnist.zip`` is an ordinary zip file that ``tools/pack_mnist.py`` makes. Four pixels
in five are paper, so the pixels are split by what their neighbourhood says of them:

- ``ink``       one bit a pixel, 1 where it is not 0 (LZMA: few bytes, and outlines repeat)
- ``interior``  the levels of inked pixels among inked neighbours: mostly saturated (deflate)
- ``edge``      the levels of the other inked pixels: nearly random (deflate)

This is smaller than LZMA over the raw bytes, and takes half the time to read, since LZMA, slow on
data it cannot predict, sees only the outlines. Pieces of 10,000 images are read by parallel threads
straight into the arrays that are returned: zlib, lzma and NumPy let go of the GIL.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from zipfile import ZipFile

Split = tuple[NDArray[np.uint8], NDArray[np.uint8]]

ARCHIVE = Path(__file__).with_name("data") / "mnist.zip"
SIDE = 28
PIECE = 10_000  # images in a piece of the archive
SLAB = 1_000  # images decoded at a time: its masks stay in the cache

# SHA-256 of the raw IDX files as they were published.
SHA256 = {
    "train-images": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


def load_data() -> tuple[Split, Split]:
    """Load MNIST, as ``keras.datasets.mnist.load_data`` does, but without a network.

    Returns:
        ``((x_train, y_train), (x_test, y_test))``, all uint8: images (60000, 28, 28) and
        (10000, 28, 28) with levels 0 (paper) to 255 (ink), labels (60000,) and (10000,), 0 to 9.
        The arrays are fresh and writable.

    Raises:
        ValueError: the installed data file is missing or damaged: what was read does not have the
            SHA-256 of the published files.
    """
    import lzma
    import zipfile
    import zlib
    from concurrent.futures import ThreadPoolExecutor

    images = {"train": _blank(60_000), "t10k": _blank(10_000)}
    pieces = [
        (f"{split}-{start // PIECE}", array[start : start + PIECE])
        for split, array in images.items()
        for start in range(0, len(array), PIECE)
    ]
    try:
        with zipfile.ZipFile(ARCHIVE) as archive, ThreadPoolExecutor(max_workers=4) as pool:
            for done in [pool.submit(_read_piece, archive, *piece) for piece in pieces]:
                done.result()
            labels = {
                split: np.frombuffer(archive.read(f"{split}-labels"), np.uint8).copy()
                for split in images
            }
            checks = [
                pool.submit(_check, f"{split}-{kind}", array)
                for kind, arrays in (("images", images), ("labels", labels))
                for split, array in arrays.items()
            ]
            for done in checks:
                done.result()
    except (
        OSError,
        ValueError,
        KeyError,
        EOFError,
        zlib.error,
        lzma.LZMAError,
        zipfile.BadZipFile,
    ) as fault:
        raise ValueError(
            f"{ARCHIVE}: the MNIST data of this installation is missing or damaged ({fault}); "
            "reinstall fastnn"
        ) from fault
    train, test = (
        (images[split].reshape(-1, SIDE, SIDE), labels[split]) for split in ("train", "t10k")
    )
    return train, test


def _blank(count: int) -> NDArray[np.uint8]:
    return np.zeros((count, SIDE * SIDE), np.uint8)


def interior(ink: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Mark the inked pixels whose left, right, upper and lower neighbours are inked too.

    Args:
        ink: uint8 (images, 784), 1 where a pixel is inked and 0 elsewhere.

    Returns:
        uint8 of the same shape. A row's end and the next row's start count as neighbours: they
        are paper nearly everywhere, and the rule only has to be the same when packing.
    """
    marks: NDArray[np.uint8] = ink.copy()
    for step in (1, SIDE):
        marks[:, step:] &= ink[:, :-step]
        marks[:, :-step] &= ink[:, step:]
    return marks


def _read_piece(archive: ZipFile, name: str, images: NDArray[np.uint8]) -> None:
    """Decode one piece of the archive into ``images``: (PIECE, 784), all 0 on entry."""
    bits, levels, edge_levels = (
        np.frombuffer(archive.read(f"{name}-{part}"), np.uint8)
        for part in ("ink", "interior", "edge")
    )
    bits = bits.reshape(len(images), -1)
    for start in range(0, len(images), SLAB):
        slab = images[start : start + SLAB]
        ink = np.unpackbits(bits[start : start + SLAB], axis=1)
        inner = interior(ink)
        edge = (ink ^ inner).view(bool)
        inside = inner.view(bool)
        n_inside, n_edge = np.count_nonzero(inside), np.count_nonzero(edge)
        slab[inside], levels = levels[:n_inside], levels[n_inside:]
        slab[edge], edge_levels = edge_levels[:n_edge], edge_levels[n_edge:]


def _check(name: str, array: NDArray[np.uint8]) -> None:
    """Compare the SHA-256 of the IDX file that holds ``array`` with the published one."""
    import hashlib

    shape = (len(array), SIDE, SIDE) if array.ndim == 2 else array.shape
    magic = 0x0800 + len(shape)  # IDX: 08 is "unsigned byte", then the rank
    digest = hashlib.sha256(np.array([magic, *shape], ">u4").tobytes())
    digest.update(array.data)
    if digest.hexdigest() != SHA256[name]:
        raise ValueError(f"{name}: SHA-256 {digest.hexdigest()}, not {SHA256[name]}")
