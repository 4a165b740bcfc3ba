"""What is learned of one column of features, and how its cells become numbers for a net."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.tables import parsing
from fastnn.tables.cells import Categories
from fastnn.tables.reading import Table

MAX_CATEGORIES = 100
"""Of a column that get a slot of their own: the most frequent."""

MIN_COUNT = 3
"""Rows that a category needs for a slot of its own."""


Rows = NDArray[np.int64] | slice


@dataclass(frozen=True)
class Number:
    """A column of numbers. It becomes itself and, if there were gaps, a mark for gaps.

    Attributes:
        name: Of the column.
        fill: What stands in for a gap: the median.
        gaps: Whether there were any.
    """

    name: str
    fill: float
    gaps: bool

    @property
    def width(self) -> int:
        """How many numbers a cell becomes."""
        return 1 + self.gaps

    @property
    def features(self) -> list[str]:
        """What each of these numbers is."""
        filled = f"{self.name}, {self.fill:g} for a gap"
        return [filled, f"{self.name}: 1 for a gap"] if self.gaps else [self.name]

    @property
    def verbatim(self) -> bool:
        """Whether its cells are read as text, whatever they look like."""
        return False

    def encode(self, table: Table, rows: Rows, out: NDArray[Any]) -> None:
        """Write rows of a table's column into ``out``, (len(rows), width), which is 0."""
        values = parsing.numbers(table, self.name)[rows]
        empty = np.isnan(values)
        out[:, 0] = np.where(empty, self.fill, values)
        if self.gaps:
            out[:, 1] = empty

    def describe(self) -> str:
        """In a few words."""
        return f"gaps filled with the median, {self.fill:g}" if self.gaps else "numbers"

    def get_config(self) -> dict[str, Any]:
        """As JSON values."""
        return {"kind": "number", **asdict(self)}


@dataclass(frozen=True)
class Category:
    """A column of names. It becomes a slot for each, one of which is 1.

    Attributes:
        name: Of the column.
        names: That have a slot.
        other: Whether rare names share a last slot, which one never seen gets too; without it
            a name never seen is 0 in all slots.
        gaps: Whether a gap has a slot, the one before.
    """

    name: str
    names: list[str]
    other: bool
    gaps: bool

    @property
    def width(self) -> int:
        """How many numbers a cell becomes."""
        return len(self.names) + self.gaps + self.other

    @property
    def features(self) -> list[str]:
        """What each of these numbers is."""
        others = [*["a gap"] * self.gaps, *["any other"] * self.other]
        return [f"{self.name}: 1 for {name}" for name in [*map(repr, self.names), *others]]

    @property
    def verbatim(self) -> bool:
        """Whether its cells are read as text, whatever they look like."""
        return True

    def encode(self, table: Table, rows: Rows, out: NDArray[Any]) -> None:
        """Write rows of a table's column into ``out``, (len(rows), width), which is 0."""
        found = table.texts(self.name)
        slots = {name: k for k, name in enumerate(self.names)}
        unknown = self.width - 1 if self.other else -1
        gap = len(self.names) if self.gaps else unknown
        # The last is that of a gap, whose code is -1.
        slot = np.array([*(slots.get(name, unknown) for name in found.names), gap])[
            found.codes[rows]
        ]
        filled = np.flatnonzero(slot >= 0)
        out[filled, slot[filled]] = 1

    def describe(self) -> str:
        """In a few words."""
        others = [*["a slot for gaps"] * self.gaps, *["a slot for rare ones"] * self.other]
        return " and ".join([f"{len(self.names)} categories", *others])

    def get_config(self) -> dict[str, Any]:
        """As JSON values."""
        return {"kind": "category", **asdict(self)}


Column = Number | Category


def learn(table: Table, name: str, rows: NDArray[np.int64]) -> Number | Category | str:
    """What ``rows`` of a table say about a column; or why there is nothing to learn from it.

    Raises:
        ValueError: It holds dates, or two kinds of things.
    """
    found = parsing.column(table, name)
    if isinstance(found, Categories):
        return _learn_categories(found, name, rows)
    values = found[rows]
    empty = np.isnan(values)
    if empty.all():
        return "it has no values"
    fill = float(np.median(values[~empty]))
    if not empty.any() and (values == fill).all():
        return f"all its values are {fill:g}"
    return Number(name, fill, bool(empty.any()))


def _learn_categories(found: Categories, name: str, rows: NDArray[np.int64]) -> Category | str:
    codes = found.codes[rows]
    gaps = bool((codes < 0).any())
    counts = np.bincount(codes[codes >= 0], minlength=len(found.names))
    if not counts.any():
        return "it has no values"
    if np.count_nonzero(counts) == 1 and not gaps:
        return f"all its values are {found.names[int(counts.argmax())]!r}"
    often = [int(k) for k in np.argsort(-counts, kind="stable") if counts[k] >= MIN_COUNT]
    kept = sorted(often[:MAX_CATEGORIES])
    if not kept:
        return f"its {np.count_nonzero(counts):,} different texts are each in few rows"
    other = np.count_nonzero(counts) > len(kept)
    return Category(name, [found.names[k] for k in kept], bool(other), gaps)


def from_config(config: object) -> Column:
    """What ``get_config`` gave.

    Raises:
        ValueError: It is not such a thing.
    """
    if isinstance(config, Mapping) and isinstance(config.get("name"), str):
        name, gaps = config["name"], config.get("gaps")
        if isinstance(gaps, bool):
            fill, names, other = (config.get(key) for key in ("fill", "names", "other"))
            if config.get("kind") == "number" and isinstance(fill, (int, float)):
                return Number(name, float(fill), gaps)
            texts = isinstance(names, list) and all(isinstance(text, str) for text in names)
            if config.get("kind") == "category" and isinstance(other, bool) and texts:
                return Category(name, list(names or ()), other, gaps)
    raise ValueError(f"{str(config)[:80]!r} is no column of a table")
