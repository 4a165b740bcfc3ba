"""What a column of a table holds: numbers, or names of something; dates are refused."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnn._files import shortened
from fastnn.tables import dialect
from fastnn.tables.plain import PlainFrame
from fastnn.tables.reading import SHOWN, Table, pandas

FEW = 20
"""So many different values, of which some are no numbers, may be categories."""

_DATE = re.compile(
    r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}([T ]\d{1,2}:\d{2}.*)?"
    r"|\d{1,2}[-/.]\d{1,2}[-/.](\d{4}|\d{2})([T ]\d{1,2}:\d{2}.*)?"
    r"|\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?( ?[AaPp][Mm])?"
    r"|(\d{1,2}[ -])?(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\.?"
    r"[ -](\d{1,2},?[ -])?(\d{4}|\d{2})( \d{1,2}:\d{2}.*)?"
)
_THOUSANDS = re.compile(r"[-+]?\d{1,3}(,\d{3})+(\.\d*)?")
_DECIMAL_COMMA = re.compile(r"[-+]?\d*,\d+([eE][-+]?\d+)?")
_LARGEST = float(np.finfo(np.float32).max)


class Categories(NamedTuple):
    """A column of names: for each row the index of its name, -1 where there is none."""

    codes: NDArray[np.int64]
    names: list[str]


def numbers(table: Table, name: str) -> NDArray[np.float64]:
    """A column of numbers, float64 (rows,), NaN for gaps.

    Raises:
        ValueError: a cell is something else; the message has the line and the column.
    """
    found = _as_numbers(table, name)
    if found is None:
        row = _first(_not_numbers(_text(table, name)))
        raise ValueError(f"{table.place(row, name)}: {table.text(row, name)!r} is not a number")
    return found


def categories(table: Table, name: str) -> Categories:
    """A column as names, whatever it holds."""
    if isinstance(table.frame, PlainFrame):
        return _as_names(table.frame[name])
    codes, uniques = pandas().factorize(_text(table, name), sort=True)
    return Categories(codes.astype(np.int64), [str(value) for value in uniques])


def are_truths(table: Table, name: str) -> bool:
    """Whether a column is of True and False, gaps aside."""
    if isinstance(table.frame, PlainFrame):
        return False
    series = table.frame[name]
    if pandas().api.types.is_bool_dtype(series.dtype):
        return True
    filled = series.dropna()
    return series.dtype == object and len(filled) > 0 and isinstance(filled.iloc[0], bool)


def column(table: Table, name: str) -> NDArray[np.float64] | Categories:
    """A column as what it holds.

    Raises:
        ValueError: It holds dates, or two kinds of things; the message has line and column.
    """
    if name in {table.column(chosen) for chosen in table.options.categories}:
        return categories(table, name)
    found = _as_numbers(table, name)
    if found is not None:
        return found
    text = _text(table, name)
    title = shortened(name, SHOWN)
    filled = text.dropna()
    if filled.head(1000).map(_is_date).all() and filled.map(_is_date).all():
        row = _first(text.notna().to_numpy())
        raise ValueError(
            f"{table.place(row, name)}: {filled.iloc[0]!r} is a date or a time, which a net can't "
            f"learn from as it is; leave the column out (--drop {title!r}), or put numbers in its "
            "place: the year, the month, the days since some day"
        )
    odd = _not_numbers(text)
    share = 1 - odd.sum() / len(filled)
    if share >= 0.5 and not _few_kinds(text, odd):
        row = _first(odd)
        cell = table.text(row, name)
        raise ValueError(
            f"{table.place(row, name)}: {cell!r} is not a number, as {share:.0%} of the column "
            f"are; --missing {cell!r} takes it as a gap, --categories {title!r} takes the column "
            f"as categories, --drop {title!r} leaves it out"
        )
    return categories(table, name)


def _as_names(numbers: NDArray[np.float64]) -> Categories:
    there = ~np.isnan(numbers)
    found, places = np.unique(numbers[there], return_inverse=True)
    codes = np.full(len(numbers), -1, np.int64)
    codes[there] = places
    return Categories(codes, [f"{number:.17g}" for number in found])


def _as_numbers(table: Table, name: str) -> NDArray[np.float64] | None:
    series = table.frame[name]
    if isinstance(table.frame, PlainFrame):
        found: NDArray[np.float64] = series
        return _finite(table, name, found)
    number = pandas().api.types.is_numeric_dtype(series.dtype)
    if number or are_truths(table, name) or series.isna().all():
        found = series.to_numpy(np.float64, na_value=np.nan)
    else:
        text = _stripped(series)
        plain = _with_commas(table, name, text)
        values = pandas().to_numeric(text if plain is None else plain, errors="coerce")
        found = values.to_numpy(np.float64, na_value=np.nan)
        if (np.isnan(found) & text.notna().to_numpy()).any():
            return None
    return _finite(table, name, found)


def _finite(table: Table, name: str, found: NDArray[np.float64]) -> NDArray[np.float64]:
    odd = np.abs(found) > _LARGEST
    if odd.any():
        row = _first(odd)
        raise ValueError(
            f"{table.place(row, name)}: {table.text(row, name)!r} is not a finite float32 number"
        )
    return found


def _with_commas(table: Table, name: str, text: Any) -> Any | None:
    """Text of numbers as 1,234.5 or 1,5 as Python writes them; None if they are none.

    Raises:
        ValueError: They could be either.
    """
    comma = text.str.contains(",", regex=False, na=False)
    if not comma.any():
        return None
    cells = text[comma]
    thousands = cells.str.fullmatch(_THOUSANDS.pattern).all()
    decimal = cells.str.fullmatch(_DECIMAL_COMMA.pattern).all()
    if thousands and decimal and table.dialect.separator != ",":
        row = _first(comma.to_numpy())
        raise ValueError(
            f"{table.place(row, name)}: {table.text(row, name)!r} could be a decimal comma or a "
            "separator of thousands; write the column without, or leave it out (--drop "
            f"{shortened(name, SHOWN)!r})"
        )
    if thousands:
        return text.str.replace(",", "", regex=False)
    return text.str.replace(",", ".", regex=False) if decimal else None


def _text(table: Table, name: str) -> Any:
    """A column as the file has it, without blanks around its cells."""
    series = table.frame[name]
    number = pandas().api.types.is_numeric_dtype(series.dtype)
    if (number and not series.isna().all()) or are_truths(table, name):
        series = table.texts(name)
    return _stripped(series)


def _stripped(series: Any) -> Any:
    # Whole numbers that no type of NumPy holds are Python's.
    stripped = series.astype(object).map(lambda cell: str(cell).strip(), na_action="ignore")
    return stripped.where(~stripped.isin(dialect.MISSING))


def _not_numbers(text: Any) -> NDArray[np.bool_]:
    values = pandas().to_numeric(text, errors="coerce")
    odd: NDArray[np.bool_] = (values.isna() & text.notna()).to_numpy()
    return odd


def _few_kinds(text: Any, odd: NDArray[np.bool_]) -> bool:
    """Whether numbers and words are few, and no word a slip: each is there more than once."""
    return text.nunique() <= FEW and bool((text[odd].value_counts() > 1).all())


def _is_date(cell: str) -> bool:
    return _DATE.fullmatch(cell) is not None


def _first(mask: NDArray[np.bool_]) -> int:
    return int(np.flatnonzero(mask)[0])
