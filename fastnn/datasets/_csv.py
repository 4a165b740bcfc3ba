"""Tables of numbers as text: .csv, with or without a header line."""

from __future__ import annotations

import csv
import itertools
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

LABEL_NAMES = ("label", "target", "y", "class")


class Table(NamedTuple):
    """A file's numbers, float32 (rows, columns), and its header's names, None if it has none."""

    cells: NDArray[np.float32]
    names: list[str] | None


def read(path: Path) -> Table:
    """The numbers of a .csv, whose separator is a comma, a semicolon or a tab.

    The first line is a header if it has text where the second line has a number. A first column
    whose name is empty is dropped: it is the index that pandas writes.

    Raises:
        ValueError: a line of another length than the first, a cell that is not a finite number, or
            no lines at all. The message has the file, the line and the column.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            delimiter = _delimiter(file.readline())
            file.seek(0)
            reader = csv.reader(file, delimiter=delimiter)
            first, second = itertools.islice(itertools.chain(filter(None, reader), ([], [])), 2)
            has_header = any(
                not _is_number(a) and _is_number(b) for a, b in zip(first, second, strict=False)
            )
            if not first or (has_header and not second):
                raise ValueError("holds no rows")
            names = [name.strip() for name in first] if has_header else None
            cells = _parse(path, delimiter, names, len(first))
    except (UnicodeDecodeError, csv.Error) as fault:
        raise ValueError(f"{path}: not a text table: {fault}") from fault
    except ValueError as fault:
        raise ValueError(f"{path}: {fault}") from fault
    if names and not names[0] and len(names) > 1:
        return Table(cells[:, 1:], names[1:])
    return Table(cells, names)


def _delimiter(line: str) -> str:
    return max(",;\t", key=line.count)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _parse(path: Path, delimiter: str, names: list[str] | None, width: int) -> NDArray[np.float32]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        if names is not None:
            reader = csv.reader(file, delimiter=delimiter)
            next(filter(None, reader))
        try:
            cells = np.loadtxt(
                file, np.float32, comments=None, delimiter=delimiter, quotechar='"', ndmin=2
            )
        except ValueError as fault:
            _find_fault(path, delimiter, names, width)
            raise ValueError(str(fault)) from fault
    # Before the width is compared, as loadtxt keeps to the first line that it sees, after a header.
    if cells.shape[1] != width or not np.isfinite(cells).all():
        _find_fault(path, delimiter, names, width)
    return cells


def _find_fault(path: Path, delimiter: str, names: list[str] | None, width: int) -> None:
    """Raise ValueError for the first bad line; slow and precise where loadtxt is fast and vague."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file, delimiter=delimiter)
        for row in itertools.islice(filter(None, reader), 0 if names is None else 1, None):
            line = reader.line_num
            if len(row) != width:
                raise ValueError(f"line {line}: {len(row)} columns, but {width} in the first line")
            for column, cell in enumerate(row):
                place = f"line {line}, column {names[column] if names else column + 1}"
                if not _is_number(cell):
                    raise ValueError(f"{place}: {cell!r} is not a number")
                if not abs(float(cell)) <= float(np.finfo(np.float32).max):
                    raise ValueError(f"{place}: {cell!r} is not a finite float32 number")


def label_column(path: Path, table: Table, label: str | int | None) -> int:
    """The index of the label's column: ``label`` itself, a usual name, or else the last.

    Raises:
        ValueError: there is no such column.
    """
    width = table.cells.shape[1]
    names = table.names or []
    if label is None:
        lowered = [name.lower() for name in names]
        return next((lowered.index(name) for name in LABEL_NAMES if name in lowered), width - 1)
    if label in names:
        return names.index(str(label))
    try:
        return range(width)[int(label)]
    except (ValueError, IndexError):
        there = f"its columns are {', '.join(names)}" if names else f"it has {width} columns"
        raise ValueError(f"{path}: has no column {label!r}; {there}") from None


def examples(
    path: Path, table: Table, label: str | int | None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Features (rows, columns - 1) and labels (rows,) of a table.

    Whole labels become int64, others stay float32. Features that are whole numbers from 0 to 255,
    both of which occur, are pixels and become uint8; others stay float32.
    """
    if table.cells.shape[1] < 2:
        raise ValueError(f"{path}: one column, where features and a label are wanted")
    column = label_column(path, table, label)
    y = table.cells[:, column]
    y = y.astype(np.int64) if _whole(y) and abs(y).max() < 2**31 else y.copy()
    return features(np.delete(table.cells, column, axis=1)), y


def features(x: NDArray[np.float32]) -> NDArray[Any]:
    """``x``, as uint8 where it is pixels."""
    pixels = x.min() == 0 and x.max() == 255 and _whole(x)
    return x.astype(np.uint8) if pixels else x


def _whole(values: NDArray[np.float32]) -> bool:
    return bool((np.trunc(values) == values).all()) and math.isfinite(values.flat[0])
