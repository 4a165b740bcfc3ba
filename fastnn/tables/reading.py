"""A table from a .csv or .tsv: pandas reads it, or NumPy if it is not installed and there are plain
numbers only; nothing is filled in or left out unsaid."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fastnn._files import shortened
from fastnn.tables import dialect, parts, plain, requirement
from fastnn.tables.cells import Categories, Cells, categories_of_numbers
from fastnn.tables.dialect import Dialect
from fastnn.tables.options import Options

SUFFIXES = (".csv", ".tsv")

SHOWN = 80
"""Characters of a name or a cell in a message."""

_DEFAULT = Options()

LABEL_NAMES = ("label", "target", "y", "class")


@dataclass
class Table:
    """What a file holds.

    Attributes:
        path: The file.
        dialect: How it is written.
        all_names: Of its columns: by the header, or from "0" on; without an index.
        cells: Of the columns that are used, by name.
        options: Of the user.
        notes: What the user should know of, each a sentence.
        first: Which of the file's rows, from 0, is the first of these.
    """

    path: Path
    dialect: Dialect
    all_names: list[str]
    cells: dict[str, Cells]
    options: Options
    notes: list[str] = field(default_factory=list)
    first: int = 0

    @property
    def names(self) -> list[str]:
        """Of the columns that are used."""
        return list(self.cells)

    @property
    def rows(self) -> int:
        """How many there are."""
        first = next(iter(self.cells.values()))
        return len(first.codes if isinstance(first, Categories) else first)

    def column(self, wanted: str | int) -> str:
        """The name of a column that is given by name or by its index from 0.

        Raises:
            ValueError: There is none.
        """
        names = self.all_names
        found = self._find(wanted)
        if found is None:
            there = f"its columns are {', '.join(names)}"
            if not self.dialect.header:
                there = f"it has {len(names)} columns"
            raise ValueError(f"{self.path}: has no column {wanted!r}; {there}")
        return found

    def has(self, wanted: str | int) -> bool:
        """Whether there is a column of this name or index."""
        return self._find(wanted) is not None

    def _find(self, wanted: str | int) -> str | None:
        names = self.all_names
        if wanted in names:
            return str(wanted)
        try:
            return names[range(len(names))[int(wanted)]]
        except (ValueError, IndexError):
            return None

    def label(self) -> str:
        """The name of the label's column.

        Raises:
            ValueError: There is none of the wanted name, or but one column.
        """
        names = self.names
        if len(names) < 2:
            raise ValueError(
                f"{self.path}: one column, where features and a label are wanted; columns may be "
                "separated by commas, semicolons, tabs or |"
            )
        if self.options.label is not None:
            return self.column(self.options.label)
        lowered = [name.lower() for name in names]
        usual = (lowered.index(name) for name in LABEL_NAMES if name in lowered)
        return names[next(usual, len(names) - 1)]

    def title(self, name: str) -> str:
        """A column, to be named in a message."""
        name = shortened(name, SHOWN)
        return f"column {name!r}" if self.dialect.header else f"column {name} (from 0)"

    def place(self, row: int, name: str) -> str:
        """File, line and column of a cell; of its row from 0. Reads the file again."""
        line, _ = self._line(row)
        return f"{self.path}: line {line}, {self.title(name)}"

    def text(self, row: int, name: str) -> str:
        """A cell as the file has it, to be named in a message: a long one is cut."""
        _, cells = self._line(row)
        return shortened(cells[self._position(name)], SHOWN)

    def texts(self, name: str) -> Categories:
        """A column as the file has it, whatever it looks like. Reads the file again, if need be."""
        cells = self.cells[name]
        if isinstance(cells, Categories):
            return cells
        if not requirement.has_pandas():
            return categories_of_numbers(cells)
        place = self._position(name)
        found, _ = parts.read(self.path, self.dialect, self.options.gaps, (place,), (place,))
        texts = found[place]
        # Without a single value there are no texts.
        return texts if isinstance(texts, Categories) else categories_of_numbers(texts)

    def _position(self, name: str) -> int:
        """Of a column in the file."""
        return len(self.dialect.first) - len(self.all_names) + self.all_names.index(name)

    def _line(self, row: int) -> tuple[int, list[str]]:
        found = dialect.lines(self.path, self.dialect.encoding, self.dialect.separator)
        for number, item in enumerate(found):
            if number == self.first + row + self.dialect.header:
                return item
        raise ValueError(
            f"{self.path}: row {self.first + row + 1} has no line of its own: one holds a blank in "
            "quotes only"
        )


def read(
    path: str | os.PathLike[str],
    options: Options = _DEFAULT,
    *,
    known: Sequence[str] = (),
    text: Sequence[str] = (),
) -> Table:
    """Read a table, whose separator is a comma, a semicolon, a tab or a bar.

    A first column without a name is left out: it is the index that pandas and R write.

    Args:
        known: Names that a header is expected to have.
        text: Columns whose cells stay text even if they look like numbers.

    Raises:
        ImportError: pandas is not installed, and the table holds more than plain numbers.
        OSError, ValueError: There is no such file, it is no table, or lines differ in their number
            of columns.
    """
    path = Path(path)
    with _named(path):
        found, names, verbatim = _head(path, options, known, text)
        if requirement.has_pandas():
            cells = _parsed(path, found, names, options, verbatim)
        else:
            cells = _plain(path, found, names, options)
    return _table(path, found, names, cells, options)


def read_parts(
    path: str | os.PathLike[str],
    options: Options = _DEFAULT,
    *,
    known: Sequence[str] = (),
    text: Sequence[str] = (),
) -> Iterator[Table]:
    """As ``read``, but some rows after the other, each a table; ``text`` columns are categories.

    What a column holds is told from these rows alone. A fault further down is raised when it is
    come to. Without pandas all rows come at once.
    """
    path = Path(path)
    if not requirement.has_pandas():
        yield read(path, options, known=known, text=text)
        return
    with _named(path):
        found, names, verbatim = _head(path, options, known, text)
    parsed, row, doubtful = _parsed_parts(path, found, names, options, verbatim), 0, False
    while True:
        with _named(path):
            cells, doubtful_here = next(parsed, (None, False))
            doubtful |= doubtful_here
            if cells is None:
                if doubtful:
                    _check_widths(path, found)
                return
        table = _table(path, found, names, cells, options)
        table.first = row
        row += table.rows
        yield table


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Have every fault name the file."""
    try:
        yield
    except UnicodeDecodeError as fault:
        raise ValueError(_no_text(path, fault)) from fault
    except csv.Error as fault:
        raise ValueError(f"{path}: not a text table: {fault}") from fault
    except ValueError as fault:
        text_of = str(fault)
        raise ValueError(
            text_of if str(path) in text_of else f"{path}: {shortened(text_of)}"
        ) from fault


def _head(
    path: Path, options: Options, known: Sequence[str], text: Sequence[str]
) -> tuple[Dialect, list[str], list[int]]:
    """The dialect of a file, the names of its columns, and which of them stay text."""
    found = dialect.find(path, options, frozenset(known))
    names = _names(found)
    verbatim = {*text, *_positions(options.categories, names, path)}
    return found, names, [names.index(name) for name in verbatim & set(names)]


def _plain(path: Path, found: Dialect, names: list[str], options: Options) -> dict[str, Cells]:
    _check_widths(path, found)
    if options.categories or options.missing:
        requirement.pandas(f"{path}: categories and gaps of one's own")
    return plain.read(path, found, names)


def _table(
    path: Path, found: Dialect, names: list[str], cells: dict[str, Cells], options: Options
) -> Table:
    """With notes, and without an index and what is dropped."""
    index = found.header and not found.first[0] and len(names) > 1
    names = names[index:]
    table = Table(path, found, names, cells, options)
    if not requirement.has_pandas():
        table.notes.append("pandas is not installed: read as a table of plain numbers")
    if index:
        table.notes.append("the first column has no name: it is taken as an index and left out")
    if not found.header:
        table.notes.append(
            "line 1 is taken as a row, not as a header, and columns are called 0, 1, 2 ... "
            "(--header yes changes that)"
        )
    dropped = {table.column(name) for name in options.drop}
    table.cells = {name: cells[name] for name in names if name not in dropped}
    return table


def _names(found: Dialect) -> list[str]:
    if not found.header:
        return [str(k) for k in range(len(found.first))]
    names = [name or str(k) for k, name in enumerate(found.first)]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"line 1: two columns are named {twice!r}")
    return names


def _positions(columns: Sequence[str], names: Sequence[str], path: Path) -> list[str]:
    found = []
    for column in columns:
        if column not in names and not (column.isdigit() and int(column) < len(names)):
            raise ValueError(
                f"{path}: has no column {column!r}; its columns are {', '.join(names)}"
            )
        found.append(column if column in names else names[int(column)])
    return found


def _parsed(
    path: Path, found: Dialect, names: list[str], options: Options, verbatim: Sequence[int]
) -> dict[str, Cells]:
    with _widths_checked(path, found):
        cells, doubtful = parts.read(path, found, options.gaps, verbatim)
    if doubtful:
        _check_widths(path, found)
    return {names[position]: column for position, column in cells.items()}


def _parsed_parts(
    path: Path, found: Dialect, names: list[str], options: Options, verbatim: Sequence[int]
) -> Iterator[tuple[dict[str, Cells], bool]]:
    with _widths_checked(path, found):
        for cells, doubtful in parts.each(path, found, options.gaps, verbatim):
            yield {names[position]: column for position, column in cells.items()}, doubtful


@contextmanager
def _widths_checked(path: Path, found: Dialect) -> Iterator[None]:
    """Where pandas gives up, say which line is at fault."""
    errors = requirement.pandas().errors
    try:
        yield
    except (errors.ParserError, errors.ParserWarning) as fault:
        _check_widths(path, found)
        raise ValueError(f"not a text table: {fault}") from fault


def _check_widths(path: Path, found: Dialect) -> None:
    """Raise ValueError for the first line of another width."""
    width = len(found.first)
    if _are_alike(path, found):
        return
    for line, row in dialect.lines(path, found.encoding, found.separator):
        if len(row) != width:
            raise ValueError(f"line {line}: {len(row)} columns, but {width} in the first line")


def _are_alike(path: Path, found: Dialect) -> bool:
    """Whether lines have as many columns as the first for sure: none has quotes. That is quick."""
    separators = len(found.first) - 1
    with path.open(encoding=found.encoding) as file:
        return all(
            '"' not in line and (line.count(found.separator) == separators or not line.strip())
            for line in file
        )


def _no_text(path: Path, fault: UnicodeDecodeError) -> str:
    """Which line is at fault, and what may read it."""
    if not fault.encoding.lower().replace("_", "-").startswith("utf-8"):
        return f"{path}: not a text table in {fault.encoding}: {fault.reason}"
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as here:
                return (
                    f"{path}: line {number}: byte 0x{line[here.start]:02x} is not UTF-8; "
                    "if it is text of another encoding, say --encoding latin-1, or cp1252 ..."
                )
    return f"{path}: not a text table: {fault}"
