"""A .csv or .tsv of numbers alone as arrays."""

from __future__ import annotations

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
    y = _numbers(found, [label])[:, 0]
    whole = bool((np.trunc(y) == y).all()) and abs(y).max() < 2**31
    return features(found, without=label), y.astype(np.int64 if whole else np.float32)


def features(found: Table, without: str | None = None) -> NDArray[Any]:
    """All columns but one, as uint8 where they are pixels, else float32."""
    x = _numbers(found, [name for name in found.names if name != without])
    pixels = x.min() == 0 and x.max() == 255 and bool((np.trunc(x) == x).all())
    return x.astype(np.uint8 if pixels else np.float32)


def _numbers(found: Table, names: list[str]) -> NDArray[np.float64]:
    columns = [parsing.numbers(found, name) for name in names]
    for name, column in zip(names, columns, strict=True):
        gaps = np.flatnonzero(np.isnan(column))
        if gaps.size:
            row = int(gaps[0])
            raise ValueError(f"{found.place(row, name)}: {found.text(row, name)!r} is not a number")
    return np.stack(columns, axis=1)
