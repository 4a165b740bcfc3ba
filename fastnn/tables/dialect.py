"""How a text file holds a table: its encoding, its separator, and whether it has a header."""

from __future__ import annotations

import codecs
import csv
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fastnn.tables.options import MISSING, Options

SAMPLE = 1000
"""Lines that are looked at."""

SEPARATORS = ",;\t|"

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True)
class Dialect:
    """Of one file.

    Attributes:
        encoding, separator: As Python and csv name them.
        header: Whether the first line is names.
        first: Cells of the first line.
        skipped: Lines up to the first row of the table, header included.
    """

    encoding: str
    separator: str
    header: bool
    first: tuple[str, ...]
    skipped: int


def find(path: Path, options: Options, known: frozenset[str] = frozenset()) -> Dialect:
    """The dialect of a file.

    Args:
        known: Names of columns; a first line that has one of them is a header.

    Raises:
        ValueError: It is no text, holds no rows, or its first line could be a header or a row.
    """
    with path.open("rb") as file:
        mark = file.read(4)
    encoding = options.encoding or next((n for m, n in _MARKS if mark.startswith(m)), "utf-8")
    separator = _separator(path, encoding)
    rows = list(itertools.islice(lines(path, encoding, separator), SAMPLE))
    if not rows:
        raise ValueError("holds no rows")
    (end, first), sample = rows[0], [row for _, row in rows[1:]]
    header = options.header
    if header is None:
        header = bool(known & set(first)) or _is_header(first, sample)
    if header and not sample:
        raise ValueError(
            f"holds no rows, only a header: {', '.join(first)} (--header no takes it as a row)"
        )
    return Dialect(encoding, separator, header, tuple(first), end if header else 0)


def lines(path: Path, encoding: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Rows that are not empty, with the number of the line that each ends in."""
    with path.open(newline="", encoding=encoding) as file:
        reader = csv.reader(file, delimiter=separator, skipinitialspace=True)
        for row in reader:
            if len(row) > 1 or (row and row[0].strip()):
                yield reader.line_num, [cell.strip() for cell in row]


def is_number(cell: str) -> bool:
    """Whether Python takes it as one, and it is not a word such as nan."""
    try:
        float(cell)
    except ValueError:
        return False
    return cell not in MISSING


def _separator(path: Path, encoding: str) -> str:
    """The one that cuts the first lines into most columns, all of them alike if there is such."""

    def rank(separator: str) -> tuple[bool, int]:
        sample = itertools.islice(lines(path, encoding, separator), 20)
        widths = [len(row) for _, row in sample]
        alike = len(set(widths)) == 1 and widths[0] > 1
        return alike, widths[0] if widths else 0

    return max(SEPARATORS, key=rank)


def _is_header(first: Sequence[str], sample: Sequence[Sequence[str]]) -> bool:
    columns = [
        [row[k] for row in sample if k < len(row) and row[k] not in MISSING]
        for k in range(len(first))
    ]
    numeric = [bool(cells) and sum(map(is_number, cells)) > len(cells) / 2 for cells in columns]
    names = [
        cell
        for cell, number in zip(first, numeric, strict=True)
        if number and cell not in MISSING and not is_number(cell)
    ]
    numbers = [cell for cell in first if is_number(cell)]
    if names and numbers and not _count_up(numbers):
        raise ValueError(
            f"line 1 could be a header or a row: {names[0]!r} stands over numbers, but "
            f"{numbers[0]!r} is a number itself; say --header yes or --header no"
        )
    if names:
        return True
    again = any(cell and cell in cells for cell, cells in zip(first, columns, strict=True))
    filled = [cell for cell in first if cell]
    return not numbers and not again and bool(filled) and len(set(filled)) == len(filled)


def _count_up(cells: Sequence[str]) -> bool:
    """Whether they are names after all: positions or years."""
    if not all(cell.isdigit() for cell in cells):
        return False
    return all(int(b) - int(a) == 1 for a, b in itertools.pairwise(cells))
