"""The features of a table, some rows at a time: of the others nothing is in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from fastnn.tables import parsing, parts
from fastnn.tables.cells import Categories
from fastnn.tables.columns import Number
from fastnn.tables.commas import Commas
from fastnn.tables.form import Form
from fastnn.tables.options import Options
from fastnn.tables.reading import Table


class UnlikeError(Exception):
    """A column is not written alike in all parts of a table: only all of it says what it is."""


def by_parts(form: Form, path: str, options: Options) -> Iterator[tuple[NDArray[Any], list[str]]]:
    """What ``form.encode`` makes of a table, some rows after the other, and its notes.

    Raises:
        UnlikeError: It is to be read whole.
        OSError, ValueError: As ``form.read`` and ``form.encode``.
    """
    kinds: dict[str, str] = {}
    for part in form.read_parts(path, options):
        for name in (column.name for column in form.columns if isinstance(column, Number)):
            kind = parsing.kind(part, name)
            if kind is not None and kinds.setdefault(name, kind) != kind:
                raise UnlikeError(name)
            if kind == Commas.EITHER.name and part.dialect.separator != ",":
                raise UnlikeError(name)
        step = max(1, parts.CELLS // form.width)
        for start in range(0, part.rows, step):
            yield form.encode(_rows(part, form, slice(start, start + step))), part.notes


def _rows(table: Table, form: Form, rows: slice) -> Table:
    def of(name: str) -> Any:
        cells = table.cells[name]
        if isinstance(cells, Categories):
            return cells._replace(codes=cells.codes[rows])
        return cells[rows]

    cells = {column.name: of(column.name) for column in form.columns}
    return replace(table, cells=cells, first=table.first + rows.start)
