"""Data sets from files: a directory of IDX files, a .npz, a table."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnn.datasets import _csv, _idx, _npz
from fastnn.tables import SUFFIXES

Split = tuple[NDArray[Any], NDArray[Any]]
FORMATS = "a directory of IDX files, a .npz, a .csv or a .tsv"


class Source(NamedTuple):
    """What a file holds: examples to learn from, and a test set where it has one of its own."""

    train: Split
    test: Split | None


def load(
    path: str | os.PathLike[str],
    *,
    label: str | int | None = None,
    test_split: float = 0.2,
    seed: int = 0,
) -> tuple[Split, Split]:
    """Load a data set by its path.

    - A directory: IDX files under MNIST's names, plain or .gz (Fashion-MNIST, KMNIST, EMNIST ...).
    - A .npz: Keras's names x_train, y_train, x_test, y_test; or x, y. Nothing is unpickled.
    - A .csv or .tsv of numbers, with a header or without (gaps take ``fastnn[tables]``). The
      label's column is ``label``, else the one named label, target, y or class, else the last.
      Whole labels become int64, others float32. Features become float32; but uint8, as pixels, if
      they are whole numbers from 0 to 255 and both of these occur. A first column without a name
      (the index that pandas writes) is dropped.

    A source without a test set loses ``test_split`` of its examples to one: as :func:`split`.

    Args:
        path: The directory or file.
        label: For a .csv, the label's column: its name, or its index, counted from 0.
        test_split: Share of the examples that a test set gets if the source has none, 0 < it < 1.
        seed: Chooses those examples.

    Returns:
        ``((x_train, y_train), (x_test, y_test))``.

    Raises:
        FileNotFoundError: there is nothing at ``path``.
        ValueError: a fault in the file; the message has the file's name and the place.
    """
    source = read(path, label=label)
    if source.test is None:
        try:
            return split(source.train, test_split, seed)
        except ValueError as fault:
            raise ValueError(f"{path}: {fault}") from fault
    return source.train, source.test


def read(path: str | os.PathLike[str], *, label: str | int | None = None) -> Source:
    """Read a source as :func:`load` does, but split nothing off."""
    path = _existing(path)
    if path.is_dir():
        arrays = _idx.read_directory(path)
    elif path.suffix == ".npz":
        arrays = _npz.read(path)
    elif path.suffix.lower() in SUFFIXES:
        arrays = dict(zip("xy", _csv.examples(_csv.table(path, label)), strict=True))
    else:
        raise ValueError(f"{path}: wanted {FORMATS}")
    arrays = {key if "_" in key else f"{key}_train": array for key, array in arrays.items()}
    train = _examples(path, arrays, "train")
    test = _examples(path, arrays, "test") if {"x_test", "y_test"} & set(arrays) else None
    if test is not None and test[0].shape[1:] != train[0].shape[1:]:
        raise ValueError(
            f"{path}: test examples of shape {test[0].shape[1:]}, training examples of shape "
            f"{train[0].shape[1:]}"
        )
    return Source(train, test)


def is_idx_directory(path: Path) -> bool:
    """Whether :func:`read` would find IDX files in the directory ``path``."""
    return _idx.is_directory(path)


def split(train: Split, test_split: float = 0.2, seed: int = 0) -> tuple[Split, Split]:
    """Split examples into those to learn from and a test set.

    The examples are put into the order ``numpy.random.default_rng(seed).permutation(n)``, as files
    are often sorted; the first ``round(test_split * n)`` of them, at least one, are the test set.

    Raises:
        ValueError: ``test_split`` is not between 0 and 1, or leaves nothing to learn from.
    """
    x, y = train
    if not 0 < test_split < 1:
        raise ValueError(f"test_split must be above 0 and below 1, got {test_split!r}")
    count = max(1, round(test_split * len(x)))
    if count >= len(x):
        raise ValueError(
            f"test_split={test_split!r} of {len(x)} examples leaves none to learn from"
        )
    order = np.random.default_rng(seed).permutation(len(x))
    test, rest = order[:count], order[count:]
    return (x[rest], y[rest]), (x[test], y[test])


def load_inputs(
    path: str | os.PathLike[str], *, features: int | None = None, label: str | int | None = None
) -> NDArray[Any]:
    """Load the inputs alone, to predict from.

    These are the test images of a directory (the training images if it has no others), the x_test,
    x or x_train of a .npz, the array of a .npy, or the rows of a .csv; of these the label's column
    is left out if ``label`` names it or if there is one column more than ``features``.

    Args:
        path: The directory or file.
        features: Number of values that the model takes for an example; None if it is not known.
        label: As for :func:`load`.

    Raises:
        FileNotFoundError, ValueError: as :func:`load`.
    """
    path = _existing(path)
    if path.suffix.lower() in SUFFIXES:
        table = _csv.table(path, label)
        labelled = label is not None or len(table.names) - 1 == features
        return _csv.features(table, without=table.label() if labelled else None)
    if path.suffix == ".npy":
        return _numbers(path, "x", _npz.read_npy(path))
    if path.is_dir():
        arrays = _idx.read_directory(path)
    elif path.suffix == ".npz":
        arrays = _npz.read(path)
    else:
        raise ValueError(f"{path}: wanted {FORMATS}, or a .npy")
    for name in ("x_test", "x", "x_train"):
        if name in arrays:
            return _numbers(path, name, arrays[name])
    raise ValueError(f"{path}: has no array x_test, x or x_train")


def _existing(path: str | os.PathLike[str]) -> Path:
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or directory")
    return path


def _examples(path: Path, arrays: dict[str, NDArray[Any]], part: str) -> Split:
    pair = []
    for name in (f"x_{part}", f"y_{part}"):
        if name not in arrays:
            raise ValueError(f"{path}: has {', '.join(sorted(arrays))}, but no {name}")
        pair.append(_numbers(path, name, arrays[name]))
    x, y = pair
    if len(x) != len(y):
        raise ValueError(f"{path}: {len(x)} examples in x_{part}, but {len(y)} in y_{part}")
    return x, y


def _numbers(path: Path, name: str, array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.kind not in "uif":
        raise ValueError(f"{path}: {name} is of type {array.dtype}, wanted numbers")
    if array.ndim < (2 if name.startswith("x") else 1) or not array.size:
        raise ValueError(f"{path}: {name} has shape {array.shape}, wanted one row an example")
    return array
