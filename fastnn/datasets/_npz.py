"""NumPy's .npz and .npy files. Nothing is unpickled."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn._files import shortened

NAMES = ("x_train", "y_train", "x_test", "y_test", "x", "y")


def read(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a .npz under Keras's names, in any case: x_train, y_train, x_test, y_test; or
    x, y.

    Raises:
        OSError: the file can't be opened.
        ValueError: the file is not a sound .npz of numbers, or has none of the names.
    """
    arrays: dict[str, NDArray[Any]] = {}
    with path.open("rb") as file:  # np.load would leave a broken one open
        with _Faults(str(path)):
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ValueError("one array, not a .npz file")
        for name in archive.files:
            key = name.lower()
            if key not in NAMES:
                continue
            with _Faults(f"{path}: array {name!r}"):
                if key in arrays:
                    raise ValueError(f"another array has this name but for its case: {key}")
                arrays[key] = archive[name]
                if not isinstance(arrays[key], np.ndarray):
                    raise ValueError("not NumPy's format")
    if not arrays:
        raise ValueError(f"{path}: has none of the arrays {', '.join(NAMES)}")
    return arrays


def read_npy(path: Path) -> NDArray[Any]:
    """The array of a .npy file; OSError if it can't be opened, ValueError if it is not sound."""
    with path.open("rb"), _Faults(str(path)):
        return np.asarray(np.lib.format.open_memmap(path, mode="r"))


class _Faults:
    """Errors inside become a ValueError that names what is read. A broken file makes NumPy, zipfile
    and those that unpack raise nearly anything.

    A generator of ``contextlib`` would tie the error to itself from Python 3.13 on, and keep the
    array that was to be filled until the next collection of garbage.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._quiet = np.errstate(over="ignore")

    def __enter__(self) -> None:
        self._quiet.__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._quiet.__exit__(kind, fault, trace)
        if isinstance(fault, Exception):
            text = shortened(fault) or type(fault).__name__
            raise ValueError(f"{self._what}: {text}") from fault
