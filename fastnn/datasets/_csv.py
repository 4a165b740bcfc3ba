"""A .csv or .tsv of numbers alone as arrays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.tables import Options, Table, parsing, read


def table(path: Path, label: str | int | None) -> Table:
    """Read a file; ``label`` as for ``Options``."""
    return read(path, Options(label=label))


def examples(found: Table) -> tuple[NDArray[Any], NDArray[Any]]:
    """Features (rows, columns - 1) and labels (rows,) of a table.

    Whole labels become int64, others float32. Features that are whole numbers from 0 to 255, both
    of which occur, are pixels and become uint8; others are float32.

    Raises:
        ValueError: A cell is no number; the message has the file, the line and the column.
    """
    label = found.label()
    y = next(_columns(found, [label]))
    whole = _are_whole(y) and abs(y).max() < 2**31
    return features(found, without=label), y.astype(np.int64 if whole else np.float32)


def features(found: Table, without: str | None = None) -> NDArray[Any]:
    """All columns but one, as uint8 where they are pixels, else float32."""
    names = [name for name in found.names if name != without]
    # One column after the other, twice: all of them in float64 would take twice as much memory as
    # what they become.
    low, high, whole = np.inf, -np.inf, True
    for column in _columns(found, names):
        low, high = min(low, column.min()), max(high, column.max())
        whole = whole and _are_whole(column)
    pixels = low == 0 and high == 255 and whole
    x = np.empty((found.rows, len(names)), np.uint8 if pixels else np.float32)
    for k, column in enumerate(_columns(found, names)):
        x[:, k] = column
    return x


def _are_whole(column: NDArray[np.float64]) -> bool:
    return bool((np.trunc(column) == column).all())


def _columns(found: Table, names: list[str]) -> Iterator[NDArray[np.float64]]:
    """The numbers of each.

    Raises:
        ValueError: A cell is none; the message has the file, the line and the column.
    """
    for name in names:
        column = parsing.numbers(found, name)
        gaps = np.flatnonzero(np.isnan(column))
        if gaps.size:
            row = int(gaps[0])
            raise ValueError(f"{found.place(row, name)}: {found.text(row, name)!r} is not a number")
        yield column
