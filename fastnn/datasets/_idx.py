"""IDX, the format of MNIST and its relatives (http://yann.lecun.com/exdb/mnist/).

Big-endian: two zero bytes, a byte for the type, a byte for the rank, a uint32 for each dimension,
the elements in C order.
"""

from __future__ import annotations

import gzip
import math
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn._files import shortened

TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MAX_DEFLATE_RATIO = 1032  # no deflate stream expands more: zlib.net/zlib_tech.html
NAME = re.compile(r"(?:.*[-_])?(train|t10k|test)-(images|labels)[-.]idx\d-ubyte(?:\.gz)?")


def read(path: Path) -> NDArray[Any]:
    """The array of one IDX file, plain or .gz, in the machine's byte order.

    Raises:
        ValueError: the file is not IDX, or is shorter or longer than its header says.
    """
    zipped = path.suffix == ".gz"
    try:
        with gzip.open(path) if zipped else path.open("rb") as file:
            head = file.read(4)
            if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in TYPES or not head[3]:
                raise ValueError(f"starts with {head.hex(' ') or 'nothing'}, not as an IDX file")
            sizes = file.read(4 * head[3])
            if len(sizes) < 4 * head[3]:
                raise ValueError("truncated in its header")
            shape = struct.unpack(f">{head[3]}I", sizes)
            dtype = np.dtype(TYPES[head[2]])
            wanted = math.prod(shape) * dtype.itemsize
            if wanted > path.stat().st_size * (MAX_DEFLATE_RATIO if zipped else 1):
                raise ValueError(f"truncated: its header says {shape}, {wanted} bytes")
            array = np.empty(shape, dtype)
            got = _fill(array, file)
            if got < wanted:
                raise ValueError(f"truncated: {got} of {wanted} bytes for {shape}")
            if file.read(1):
                raise ValueError(f"longer than the {wanted} bytes that its header says: {shape}")
    except (ValueError, EOFError, zlib.error, gzip.BadGzipFile) as fault:
        raise ValueError(f"{path}: {shortened(fault)}") from fault
    return array.astype(dtype.newbyteorder("="), copy=False)


def _fill(array: NDArray[Any], file: Any) -> int:
    """Read into ``array`` until it is full or the file ends; the number of bytes read."""
    if not array.size:
        return 0
    buffer = array.data.cast("B")
    filled = 0
    while filled < len(buffer) and (count := file.readinto(buffer[filled:])):
        filled += count
    return filled


def is_directory(directory: Path) -> bool:
    """Whether a directory holds a file of such a name."""
    return any(NAME.fullmatch(path.name) for path in directory.iterdir())


def read_directory(directory: Path) -> dict[str, NDArray[Any]]:
    """The IDX files of a directory, under Keras's names: x_train, y_train and, if there, x_test ...

    The names are those of MNIST and of its relatives (train-images-idx3-ubyte, t10k-labels-idx1-
    ubyte ...), plain or .gz; where both are there the plain file is read.

    Raises:
        ValueError: none, or several of a kind are there, or a file is not sound.
    """
    found: dict[str, Path] = {}
    for path in sorted(directory.iterdir()):  # "name" sorts before "name.gz"
        if match := NAME.fullmatch(path.name):
            split = "train" if match[1] == "train" else "test"
            key = f"{'x' if match[2] == 'images' else 'y'}_{split}"
            if key not in found:
                found[key] = path
            elif path.name != found[key].name + ".gz":
                raise ValueError(
                    f"{directory}: holds {found[key].name} and {path.name}, "
                    "but a directory is for one data set"
                )
    if not found:
        raise ValueError(
            f"{directory}: holds no IDX files (train-images-idx3-ubyte, train-labels-idx1-ubyte, "
            "t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte; plain or .gz)"
        )
    return {key: read(path) for key, path in found.items()}
