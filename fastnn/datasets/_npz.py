"""NumPy's .npz and .npy files. Nothing is unpickled."""

from __future__ import annotations

import lzma
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

NAMES = ("x_train", "y_train", "x_test", "y_test", "x", "y")
FAULTS = (
    ValueError,
    EOFError,
    MemoryError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)


def read(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a .npz under Keras's names, in any case: x_train, y_train, x_test, y_test; or
    x, y.

    Raises:
        ValueError: the file is not a sound .npz of numbers, or has none of the names.
    """
    arrays = {}
    name = None
    try:
        with path.open("rb") as file:  # np.load would leave a broken one open
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ValueError("one array, not a .npz file")
            for name in archive.files:
                key = name.lower()
                if key in arrays:
                    raise ValueError(f"another array has this name but for its case: {key}")
                if key in NAMES:
                    arrays[key] = archive[name]
    except FAULTS as fault:
        raise ValueError(f"{path}: {f'array {name!r}: ' if name else ''}{fault}") from fault
    if not arrays:
        raise ValueError(f"{path}: has none of the arrays {', '.join(NAMES)}")
    return arrays


def read_npy(path: Path) -> NDArray[Any]:
    """The array of a .npy file; ValueError if the file is not sound."""
    try:
        return np.asarray(np.lib.format.open_memmap(path, mode="r"))
    except FAULTS as fault:
        raise ValueError(f"{path}: {fault}") from fault
