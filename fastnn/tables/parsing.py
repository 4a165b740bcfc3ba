"""What a column of a table holds: numbers, or names of something; dates are refused."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from fastnn._files import shortened
from fastnn.tables import commas
from fastnn.tables.cells import Categories
from fastnn.tables.commas import Commas
from fastnn.tables.reading import SHOWN, Table
from fastnn.tables.requirement import pandas

FEW = 20
"""So many different values, of which some are no numbers, may be categories."""

_DATE = re.compile(
    r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}([T ]\d{1,2}:\d{2}.*)?"
    r"|\d{1,2}[-/.]\d{1,2}[-/.](\d{4}|\d{2})([T ]\d{1,2}:\d{2}.*)?"
    r"|\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?( ?[AaPp][Mm])?"
    r"|(\d{1,2}[ -])?(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\.?"
    r"[ -](\d{1,2},?[ -])?(\d{4}|\d{2})( \d{1,2}:\d{2}.*)?"
)
_LARGEST = float(np.finfo(np.float32).max)


_TRUTHS = {"True": 1.0, "TRUE": 1.0, "true": 1.0, "False": 0.0, "FALSE": 0.0, "false": 0.0}


def numbers(table: Table, name: str) -> NDArray[np.float64]:
    """A column of numbers, float64 (rows,), NaN for gaps.

    Raises:
        ValueError: a cell is something else; the message has the line and the column.
    """
    cells = table.cells[name]
    if not isinstance(cells, Categories):
        return _finite(table, name, cells.astype(np.float64, copy=False))
    values = _values(table, name, cells)
    if np.isnan(values).any():
        row = _first(cells, np.isnan(values))
        raise ValueError(f"{table.place(row, name)}: {table.text(row, name)!r} is not a number")
    return _finite(table, name, np.append(values, np.nan)[cells.codes])


def are_truths(table: Table, name: str) -> bool:
    """Whether a column is of True and False, gaps aside."""
    cells = table.cells[name]
    return isinstance(cells, Categories) and bool(cells.names) and _are_truths(cells.names)


def kind(table: Table, name: str) -> str | None:
    """How a column of numbers is written; None if it has gaps alone, which go with anything.

    Rows of one kind become the same numbers together as they do some by some.
    """
    cells = table.cells[name]
    if not isinstance(cells, Categories):
        return None if np.isnan(cells).all() else "numbers"
    if not cells.names:
        return None
    if _are_truths(cells.names):
        return "truth values"
    found = commas.meaning(cells.names)
    return "texts" if found is None else found.name


def column(table: Table, name: str) -> NDArray[np.float64] | Categories:
    """A column as what it holds.

    Raises:
        ValueError: It holds dates, or two kinds of things; the message has line and column.
    """
    cells = table.cells[name]
    if name in {table.column(chosen) for chosen in table.options.categories}:
        return table.texts(name)
    if not isinstance(cells, Categories):
        return numbers(table, name)
    odd = np.isnan(_values(table, name, cells))
    if not odd.any():
        return numbers(table, name)
    title = shortened(name, SHOWN)
    if all(map(_is_date, cells.names)):
        row = _first(cells, odd)
        raise ValueError(
            f"{table.place(row, name)}: {table.text(row, name)!r} is a date or a time, which a net "
            f"can't learn from as it is; leave the column out (--drop {title!r}), or put numbers "
            "in its place: the year, the month, the days since some day"
        )
    counts = np.bincount(cells.codes[cells.codes >= 0], minlength=len(odd))
    share = 1 - counts[odd].sum() / counts.sum()
    # Numbers and words that are few are categories, if no word may be a slip.
    few = len(odd) <= FEW and bool((counts[odd] > 1).all())
    if share >= 0.5 and not few:
        row = _first(cells, odd)
        cell = table.text(row, name)
        raise ValueError(
            f"{table.place(row, name)}: {cell!r} is not a number, as {share:.0%} of the column "
            f"are; --missing {cell!r} takes it as a gap, --categories {title!r} takes the column "
            f"as categories, --drop {title!r} leaves it out"
        )
    return cells


def _values(table: Table, name: str, cells: Categories) -> NDArray[np.float64]:
    """The number of each text, float64 (names,), NaN if it is none."""
    if _are_truths(cells.names):
        return np.array([_TRUTHS[text] for text in cells.names])
    plain = _without_commas(table, name, cells)
    found = pandas().to_numeric(np.array(plain, object), errors="coerce")
    return np.asarray(found, np.float64)


def _are_truths(names: list[str]) -> bool:
    return all(text in _TRUTHS for text in names)


def _finite(table: Table, name: str, found: NDArray[np.float64]) -> NDArray[np.float64]:
    odd = np.abs(found) > _LARGEST
    if odd.any():
        row = int(np.flatnonzero(odd)[0])
        raise ValueError(
            f"{table.place(row, name)}: {table.text(row, name)!r} is not a finite float32 number"
        )
    return found


def _without_commas(table: Table, name: str, cells: Categories) -> list[str]:
    """Texts of numbers as Python writes them.

    Raises:
        ValueError: Their commas could be of either kind.
    """
    found = commas.meaning(cells.names)
    if found is Commas.EITHER:
        if table.dialect.separator != ",":
            row = _first(cells, np.array(["," in text for text in cells.names]))
            raise ValueError(
                f"{table.place(row, name)}: {table.text(row, name)!r} could be a decimal comma or "
                "a separator of thousands; write the column without, or leave it out (--drop "
                f"{shortened(name, SHOWN)!r})"
            )
        found = Commas.THOUSANDS
    return cells.names if found is None else commas.without(cells.names, found)


def _is_date(cell: str) -> bool:
    return _DATE.fullmatch(cell) is not None


def _first(cells: Categories, chosen: NDArray[np.bool_]) -> int:
    """The first row whose name is one of the chosen."""
    return int(np.flatnonzero(np.append(chosen, False)[cells.codes])[0])
