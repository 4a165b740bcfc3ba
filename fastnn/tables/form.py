"""How the rows of a table become numbers for a net: learned from some, applied to any."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn._memory import check_memory
from fastnn.tables import columns, parsing
from fastnn.tables.cells import Categories
from fastnn.tables.columns import Category, Column, Number, Rows
from fastnn.tables.label import Label
from fastnn.tables.options import Options
from fastnn.tables.reading import Table, read, read_parts


@dataclass(frozen=True)
class Form:
    """What is kept of a table that a net learned from.

    Attributes:
        columns: Its features.
        label: Its label.
        names: Of all columns of the table, used or not, in their order.
        header: Whether they are names; else they are positions.
        missing: Texts that are gaps, see ``Options``.
        pixels: Whether its features are uint8: whole numbers from 0 to 255, both there.
    """

    columns: list[Column]
    label: Label
    names: list[str]
    header: bool
    missing: list[str]
    pixels: bool

    @property
    def width(self) -> int:
        """How many numbers a row becomes."""
        return sum(column.width for column in self.columns)

    @property
    def features(self) -> list[str]:
        """What each of the numbers is, ``width`` texts."""
        return [name for column in self.columns for name in column.features]

    def numbers(self) -> NDArray[np.bool_]:
        """Which of a row's numbers have units of their own, (width,); the others are 0 or 1."""
        found = []
        for column in self.columns:
            first = isinstance(column, Number)
            found += [first, *[False] * (column.width - 1)]
        return np.array(found)

    def read(self, path: str, options: Options) -> Table:
        """Read a table with such columns, in any order and beside others, of which a note is made.

        Raises:
            OSError, ValueError: As ``reading.read``; or a column is missing.
        """
        return self._checked(read(path, **self._reading(options)))

    def read_parts(self, path: str, options: Options) -> Iterator[Table]:
        """As ``read``, but some rows after the other: see ``reading.read_parts``."""
        return map(self._checked, read_parts(path, **self._reading(options)))

    def _reading(self, options: Options) -> dict[str, Any]:
        text = [column.name for column in self.columns if column.verbatim]
        if self.label.classes is not None:
            text.append(self.label.name)
        options = replace(options, missing=(*options.missing, *self.missing))
        return {"options": options, "known": self.names if self.header else (), "text": text}

    def _checked(self, table: Table) -> Table:
        path, options = table.path, table.options
        if not table.dialect.header:
            self._name_by_position(table)
        elif not self.header:
            raise ValueError(
                f"{path}: line 1 is a header, but the table that the model learned from had none, "
                "so its columns go by their position; --header no takes line 1 as a row"
            )
        for name in (column.name for column in self.columns):
            if name not in table.names:
                raise ValueError(
                    f"{path}: has no column {name!r}, which the model learned from"
                    f"{_like(name, table.names)}"
                )
        own = {self.label.name, *(column.name for column in self.columns)}
        if options.label is not None and table.has(options.label):
            own.add(table.column(options.label))
        others = [table.title(name) for name in table.names if name not in own]
        if others:
            table.notes.append(f"left out, as the net has not learned from them: {_some(others)}")
        return table

    def encode(self, table: Table, rows: Rows = slice(None)) -> NDArray[Any]:
        """The features of these rows: float32 (len(rows), width), or uint8 if they are pixels.

        Raises:
            MemoryError: There is too little for them.
            ValueError: A cell is no number where the column had numbers.
        """
        bytes_ = self.pixels and all(
            _in_bytes(parsing.numbers(table, column.name)) for column in self.columns
        )
        n_rows = len(range(table.rows)[rows] if isinstance(rows, slice) else rows)
        kind = np.dtype(np.uint8 if bytes_ else np.float32)
        check_memory(
            n_rows * self.width * kind.itemsize,
            f"{table.path}: the {self.width:,} features of {n_rows:,} rows",
        )
        out = np.zeros((n_rows, self.width), kind)
        start = 0
        for column in self.columns:
            column.encode(table, rows, out[:, start : start + column.width])
            start += column.width
        return out

    def label_of(self, table: Table) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Labels of a table, and the rows that have one.

        Raises:
            ValueError: The table has no label, or one that is none of the classes.
        """
        wanted = table.options.label
        name = self.label.name if wanted is None else table.column(wanted)
        if name not in table.names:
            raise ValueError(
                f"{table.path}: has no column {name!r}, the label that the model learned"
                f"{_like(name, table.names)}; --label COLUMN names it"
            )
        return self.label.read(table, name)

    def describe(self) -> str:
        """The columns in a line."""
        numbers = [column for column in self.columns if isinstance(column, Number)]
        others = [column for column in self.columns if isinstance(column, Category)]
        parts = [f"{len(numbers)} of numbers"] * bool(numbers)
        parts += [f"{len(others)} of categories"] * bool(others)
        gaps = [f"{column.name!r}" for column in self.columns if column.gaps]
        text = f"columns: {' and '.join(parts)}, which become {self.width} features"
        if gaps:
            text += f"; gaps in {', '.join(gaps[:5])}{' ...' * (len(gaps) > 5)} are marked"
        return text

    def get_config(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "columns": [column.get_config() for column in self.columns],
            "label": self.label.get_config(),
            "names": self.names,
            "header": self.header,
            "missing": self.missing,
            "pixels": self.pixels,
        }

    @classmethod
    def from_config(cls, config: object) -> Form:
        """What ``get_config`` gave.

        Raises:
            ValueError: It is not such a thing.
        """
        if isinstance(config, Mapping):
            found, header, pixels = (config.get(key) for key in ("columns", "header", "pixels"))
            names, missing = (config.get(key) for key in ("names", "missing"))
            texts = all(
                isinstance(part, list) and all(isinstance(text, str) for text in part)
                for part in (names, missing)
            )
            if isinstance(header, bool) and isinstance(pixels, bool) and texts and found:
                return cls(
                    [columns.from_config(item) for item in found],
                    Label.from_config(config.get("label")),
                    list(names or ()),
                    header,
                    list(missing or ()),
                    pixels,
                )
        raise ValueError(f"{str(config)[:80]!r} is no form of a table")

    def _name_by_position(self, table: Table) -> None:
        """Columns without names are those that were learned from, with the label or without."""
        names = self.names
        if len(table.names) == len(names) - 1:
            names = [name for name in names if name != self.label.name]
        if len(table.names) != len(names):
            raise ValueError(
                f"{table.path}: has no header, so its columns go by their position, but they are "
                f"{len(table.names)}, wanted {len(names)}: {', '.join(names)}"
            )
        table.cells = dict(zip(names, table.cells.values(), strict=True))
        table.all_names = names


def learn(table: Table, label: Label, rows: NDArray[np.int64]) -> Form:
    """The form that ``rows`` of a table say. Columns that say nothing are left out, with a note.

    Raises:
        ValueError: A column holds dates, or two kinds of things; or none is left.
    """
    names = [name for name in table.names if name != label.name]
    pixels = _are_pixels(table, names)
    found: list[Column] = []
    spare: dict[str, str] = {}
    for name in names:
        column = Number(name, 0.0, False) if pixels else columns.learn(table, name, rows)
        if isinstance(column, str):
            spare[name] = column
        else:
            found.append(column)
    if spare:
        table.notes.append(_left_out(table, spare))
    if not found:
        raise ValueError(
            f"{table.path}: no column is left to learn from; {_left_out(table, spare)}"
        )
    missing = list(table.options.missing)
    return Form(found, label, table.all_names, table.dialect.header, missing, pixels)


def _are_pixels(table: Table, names: list[str]) -> bool:
    if len(names) < 2:
        return False
    low, high = [], []
    for cells in (table.cells[name] for name in names):
        if isinstance(cells, Categories) or cells.dtype.kind not in "ui":
            return False
        low.append(cells.min())
        high.append(cells.max())
    return bool(min(low) == 0 and max(high) == 255)


def _left_out(table: Table, spare: Mapping[str, str]) -> str:
    shown = [f"{table.title(name)}: {why}" for name, why in spare.items()]
    return f"left out, as there is nothing to learn from: {_some(shown, '; ')}"


def _some(items: Sequence[str], separator: str = ", ") -> str:
    """The first ten, and how many more there are."""
    more = f" and {len(items) - 10} more" if len(items) > 10 else ""
    return separator.join(items[:10]) + more


def _in_bytes(numbers: NDArray[np.float64]) -> bool:
    """Whether all are whole and from 0 to 255, gaps aside."""
    there = numbers[~np.isnan(numbers)]
    return bool(((there >= 0) & (there <= 255) & (np.trunc(there) == there)).all())


def _like(name: str, names: list[str]) -> str:
    lowered = {other.lower(): other for other in names}
    close = difflib.get_close_matches(name.lower(), lowered, 1)
    return (
        f"; did {lowered[close[0]]!r} have that name?" if close else f"; it has {', '.join(names)}"
    )
