"""NumPy's .npz and .npy: headers of arrays, zip archives, what would be unpickled."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from fastnn import datasets
from fuzz import damage

ALLOWED = (ValueError,)

_TEXT = (
    "'descr': '<f4'", "'descr': '|O'", "'descr': '<U9999999'", "'descr': [('a', '<f4')]",
    "'descr': '|V0'", "'descr': '<c16'", "'descr': '<M8[s]'", "'descr': ('<f4', (10000, 10000))",
    "'descr': '>f2'", "'descr': __import__('os').mkdir('owned')", "'descr': '" + "(" * 3000,
)  # fmt: skip


class Owned:
    """Makes a directory if somebody unpickles it."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("owned",)


def seeds() -> list[tuple[str, bytes]]:
    """A .npz, plain and packed, a .npy."""
    x, y = np.arange(24, dtype=np.float32).reshape(6, 4), np.arange(6) % 3
    return [
        ("data.npz", _packed({"x": _npy(x), "y": _npy(y)})),
        ("data.npz", _packed({"x_train": _npy(x.T), "y_train": _npy(y[:4])}, zipfile.ZIP_DEFLATED)),
        ("data.npz", _packed({"x": _npy(x), "y": _npy(y)}, zipfile.ZIP_LZMA)),
        ("data.npz", _packed({"x": _npy(np.array([Owned()] * 6, object)), "y": _npy(y)})),
        ("data.npy", _npy(x)),
    ]


def damaged(random: Random, name: str, content: bytes) -> tuple[str, bytes]:
    """Another file in the place of one."""
    kind = random.randrange(6)
    if kind == 0:
        return name, damage.in_bytes(random, content)
    arrays = {"x": _npy(np.ones((6, 4), np.float32)), "y": _npy(np.arange(6))}
    spoilt = random.choice(("x", "y"))
    if kind == 1:
        arrays[spoilt] = damage.in_bytes(random, arrays[spoilt])
    elif kind <= 3:
        arrays[spoilt] = _with_header(random, arrays[spoilt])
    elif kind == 4:
        size = random.choice((10**4, 10**6, 10**7, 10**9, 10**12))
        text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({size}, 1)}}"
        arrays[spoilt] = _header(text) + bytes(min(size, 10**6) - random.choice((0, 1)))
    else:
        arrays[random.choice(("X", "x_train", "../x", "", "x" * 9999, "y_test"))] = arrays["y"]
    if random.random() < 0.2:
        return "data.npy", arrays[spoilt]
    method = random.choice(
        (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    )
    packed = _packed(arrays, method)
    return "data.npz", packed if random.random() < 0.7 else damage.in_bytes(random, packed)


def load(name: str, content: bytes, directory: Path) -> None:
    """As ``fastnn train FILE.npz`` and ``fastnn predict`` do."""
    path = directory / name
    path.write_bytes(content)
    if path.suffix == ".npy":
        np.array(datasets.files.load_inputs(path))
    else:
        datasets.load(path)


def _with_header(random: Random, content: bytes) -> bytes:
    """An array whose header says something else than it is."""
    shape: Any = tuple(
        random.choice(damage.HOSTILE_INTEGERS) for _ in range(random.choice((0, 1, 2, 2, 40, 70)))
    )
    if random.random() < 0.1:
        shape = random.choice(("None", "(1.5, 2)", "(True, 2)", "'ab'", "[6, 4]", "((6,), 4)"))
    order = random.choice(("False", "True", "2", "None", "'x'"))
    descr = random.choice(_TEXT)
    text = f"{{{descr}, 'fortran_order': {order}, 'shape': {shape}}}"
    if random.random() < 0.2:
        text = text.replace("}", random.choice((", 'more': 1}", "", "}" * 9, ", 'shape': (1,)}")))
    version = random.choice(((1, 0), (2, 0), (3, 0), (9, 9)))
    return _header(text, version) + content[-96:]


def _header(text: str, version: tuple[int, int] = (1, 0)) -> bytes:
    raw = text.encode()
    length = struct.pack("<H", len(raw) % 65536) if version[0] == 1 else struct.pack("<I", len(raw))
    return b"\x93NUMPY" + bytes(version) + length + raw


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=array.dtype == object)
    return file.getvalue()


def _packed(arrays: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method, compresslevel=1) as archive:
        for name, content in arrays.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), content, method, 1)
    return file.getvalue()
