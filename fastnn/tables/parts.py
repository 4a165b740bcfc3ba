"""Columns of a text file, which pandas reads part by part: in memory are the columns as they are
kept, and one part of the file."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.tables import commas, requirement
from fastnn.tables.cells import Categories, Cells, categories_of, smallest
from fastnn.tables.commas import Commas
from fastnn.tables.dialect import Dialect

CELLS = 1 << 21
"""Of a part."""

MANY = 10_000
"""Different texts of a part: if they are numbers with commas of which one knows what they mean
(12,345 may be either), they are not kept as texts, which take twenty times as much memory."""


def read(
    path: Path,
    found: Dialect,
    missing: frozenset[str],
    text: Sequence[int] = (),
    only: Sequence[int] | None = None,
) -> tuple[dict[int, Cells], bool]:
    """Columns by their position in the file, and whether lines may differ in how many they have.

    A short one is filled up with gaps, or cut: see ``_cuts_short_lines``.

    Args:
        missing: Texts that are gaps.
        text: Positions of columns whose cells stay text even if they look like numbers.
        only: Positions of the columns that are wanted.

    Raises:
        pandas.errors.ParserError, pandas.errors.ParserWarning: Lines differ in their number of
            columns.
        ValueError: It is no text table.
    """
    wanted = range(len(found.first)) if only is None else sorted(only)
    columns = {position: _Column(position in text) for position in wanted}
    doubtful, n_parts = False, 0
    for part in _parts(path, found, missing, text, only):
        for position, column in columns.items():
            column.add(part[position])
        doubtful |= bool(part[wanted[-1]].isna().any())
        n_parts += 1
    if not n_parts:
        raise ValueError("holds no rows")
    again = [position for position, column in columns.items() if column.mixed]
    cells = {p: column.cells(missing) for p, column in columns.items() if not column.mixed}
    if again:
        columns.clear()
        cells |= read(path, found, missing, again, again)[0]
    doubtful |= n_parts > 1 and _cuts_short_lines()
    return {position: cells[position] for position in wanted}, doubtful


def each(
    path: Path, found: Dialect, missing: frozenset[str], text: Sequence[int] = ()
) -> Iterator[tuple[dict[int, Cells], bool]]:
    """What ``read`` gives, but of each part by itself, one after another.

    A column may so be of numbers in one part, and of texts in the next one. Texts that pandas has
    made truth values of are True and False, whatever their letters were.
    """
    n_parts = 0
    for n_parts, part in enumerate(_parts(path, found, missing, text, None), 1):
        cells = {position: _cells(part[position], missing) for position in part}
        for position in text:
            if not isinstance(cells[position], Categories):  # gaps alone
                cells[position] = Categories(np.full(len(part), -1, np.int32), [])
        yield cells, bool(part.iloc[:, -1].isna().any()) or (n_parts > 1 and _cuts_short_lines())
    if not n_parts:
        raise ValueError("holds no rows")


def _cells(series: Any, missing: frozenset[str]) -> Cells:
    # As texts: their commas are not known from one part.
    column = _Column(text=True)
    column.add(series)
    if column.mixed:
        column = _Column(text=True)
        column.add(series.map(str, na_action="ignore"))
    return column.cells(missing)


def _cuts_short_lines() -> bool:
    """Whether pandas cuts a short line that begins a part, in place of filling it up with gaps."""
    return int(requirement.pandas().__version__.split(".")[0]) < 3


def _parts(
    path: Path,
    found: Dialect,
    missing: frozenset[str],
    text: Sequence[int],
    only: Sequence[int] | None,
) -> Iterator[Any]:
    """DataFrames with positions as names."""
    pd = requirement.pandas()
    width = len(found.first)
    with warnings.catch_warnings():
        # The one that a line longer than the first is cut.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        with pd.read_csv(
            path, sep=found.separator, header=None, names=range(width), skiprows=found.skipped,
            index_col=False, encoding=found.encoding, skipinitialspace=True, low_memory=False,
            keep_default_na=False, na_values=sorted(missing), dtype=dict.fromkeys(text, str),
            usecols=only, chunksize=max(1, CELLS // width),
        ) as parts:  # fmt: skip
            yield from parts


class _Column:
    """One column, as its parts come. They go to one array that grows: many small ones would leave
    holes in memory.

    Attributes:
        mixed: Whether it is to be read again, as text: parts of it are numbers and parts are not,
            or pandas has made truth values of its words.
    """

    def __init__(self, text: bool) -> None:
        self.mixed = False
        self._text = text
        self._commas: Commas | None = None
        self._numeric = False
        self._rows = 0
        self._cells: NDArray[Any] = np.empty(0)
        self._places: dict[str, int] = {}

    def add(self, series: Any) -> None:
        """Take the next part, a Series."""
        if self.mixed:
            return
        if series.isna().all():
            self._extend(np.full(len(series), self._gap))
        elif series.dtype.kind in "iuf":
            numbers = series.to_numpy()
            self._numeric = True
            self._extend(numbers if numbers.dtype.kind == "f" else smallest(numbers))
        else:
            self._add_texts(series)
        self.mixed |= self._numeric and bool(self._places)
        if self.mixed:
            self._cells = np.empty(0)
            self._places.clear()

    def cells(self, missing: frozenset[str]) -> Cells:
        """All of it."""
        found = self._cells[: self._rows]
        return categories_of(found, list(self._places), missing) if self._places else found

    @property
    def _gap(self) -> float | np.int32:
        return np.int32(-1) if self._places else np.nan

    def _add_texts(self, series: Any) -> None:
        codes, texts = series.factorize()
        texts = texts.tolist()
        if not all(isinstance(text, str) for text in texts):
            self.mixed = True
            return
        if (len(texts) > MANY or self._numeric) and not self._text:
            numbers = self._with_commas(texts)
            if numbers is not None:
                self._numeric = True
                self._extend(np.append(numbers, np.nan)[codes])
                return
        places = self._places
        if not places:  # up to here there were gaps, if anything
            self._cells = np.full(self._rows, -1, np.int32)
        known = np.array([*(places.setdefault(text, len(places)) for text in texts), -1], np.int32)
        self._extend(known[codes])

    def _with_commas(self, texts: list[str]) -> NDArray[np.float64] | None:
        """The numbers that all of the texts are, if their commas are of one kind in all parts."""
        found = commas.meaning(texts)
        if found in (None, Commas.EITHER) or self._commas not in (None, found):
            return None
        assert found is not None
        values = requirement.pandas().to_numeric(
            np.array(commas.without(texts, found), object), errors="coerce"
        )
        if np.isnan(values).any():
            return None
        self._commas = found
        return np.asarray(values, np.float64)

    def _extend(self, part: NDArray[Any]) -> None:
        cells, rows = self._cells, self._rows + len(part)
        kind = np.promote_types(cells.dtype, part.dtype) if self._rows else part.dtype
        if rows > len(cells) or kind != cells.dtype:
            room = max(rows, len(cells) if rows <= len(cells) else len(cells) * 3 // 2)
            self._cells = np.empty(room, kind)
            self._cells[: self._rows] = cells[: self._rows]
        self._cells[self._rows : rows] = part
        self._rows = rows
