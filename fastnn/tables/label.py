"""What a table's label asks for: one of some classes, or a number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn._files import shortened
from fastnn.tables import parsing
from fastnn.tables.cells import Categories
from fastnn.tables.reading import SHOWN, Table

MAX_WHOLE_CLASSES = 20
ROWS_A_CLASS = 5
MAX_COUNTED_CLASSES = 100
ROWS_A_COUNTED_CLASS = 20


def are_classes(values: NDArray[Any]) -> bool:
    """Whether whole numbers are classes rather than quantities, if nobody says.

    They are if they are two different ones; or at most 20, each in 5 rows on average; or at most
    100 that run from 0 or 1 without a gap, each in 20 rows at least.
    """
    found, counts = np.unique(values, return_counts=True)
    if len(found) <= 2 or (
        len(found) <= MAX_WHOLE_CLASSES and len(values) >= ROWS_A_CLASS * len(found)
    ):
        return True
    return (
        len(found) <= MAX_COUNTED_CLASSES
        and found[0] in (0, 1)
        and found[-1] - found[0] == len(found) - 1
        and int(counts.min()) >= ROWS_A_COUNTED_CLASS
    )


@dataclass(frozen=True)
class Label:
    """A table's label.

    Attributes:
        name: Of the column.
        classes: By number, as the file has them; None if the label is a number to predict.
    """

    name: str
    classes: list[str] | list[int] | None

    @property
    def class_names(self) -> list[str] | None:
        """The classes as text."""
        return None if self.classes is None else [str(value) for value in self.classes]

    def read(self, table: Table, name: str) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Labels of a table's column, int64 or float32, and the rows that have one.

        Raises:
            ValueError: A label is none of the classes, or no number; or none has one.
        """
        if self.classes is None:
            values = parsing.numbers(table, name)
            rows = _labelled(table, name, ~np.isnan(values))
            return values[rows].astype(np.float32), rows
        found = table.texts(name)
        known = {str(value): k for k, value in enumerate(self.classes)}
        whole = not isinstance(self.classes[0], str)
        names = [_whole_text(text) for text in found.names] if whole else found.names
        codes = np.array([*(known.get(text, -1) for text in names), -1])[found.codes]
        odd = (codes < 0) & (found.codes >= 0)
        if odd.any():
            row = int(np.flatnonzero(odd)[0])
            raise ValueError(
                f"{table.place(row, name)}: {table.text(row, name)!r} is none of the classes that "
                f"the net knows: {', '.join(known)}"
            )
        rows = _labelled(table, name, found.codes >= 0)
        return codes[rows], rows

    def get_config(self) -> dict[str, Any]:
        """As JSON values."""
        return {"name": self.name, "classes": self.classes}

    @classmethod
    def from_config(cls, config: object) -> Label:
        """What ``get_config`` gave; ValueError if it is not such a thing."""
        if isinstance(config, Mapping) and isinstance(config.get("name"), str):
            classes = config.get("classes")
            if classes is None or (
                isinstance(classes, list)
                and len(classes) > 1
                and any(all(type(item) is kind for item in classes) for kind in (str, int))
            ):
                return cls(config["name"], classes)
        raise ValueError(f"{str(config)[:80]!r} is no label of a table")


def learn(table: Table, wanted: str | None) -> tuple[Label, NDArray[Any], NDArray[np.int64], str]:
    """The label, its values (int64 or float32), the rows that have one, and what was decided.

    Args:
        wanted: "classification", "regression", or None to find out.

    Raises:
        ValueError: All labels are one; or numbers are wanted, and they are none.
    """
    name = table.label()
    title = f"label {name!r}" if table.dialect.header else f"label in column {name} (from 0)"
    found = parsing.numbers(table, name) if wanted == "regression" else parsing.column(table, name)
    if wanted != "regression" and parsing.are_truths(table, name):
        found = table.texts(name)
    if isinstance(found, Categories):
        rows = _labelled(table, name, found.codes >= 0)
        used, y = np.unique(found.codes[rows], return_inverse=True)
        classes = [found.names[k] for k in used]
        _check_several(table, name, classes)
        if wanted is None and len(classes) > max(MAX_WHOLE_CLASSES, len(rows) / 2):
            raise ValueError(
                f"{table.path}: {table.title(name)}, the label, has {len(classes):,} different "
                f"texts in {len(rows):,} rows; --label COLUMN names another, "
                "--task classification takes it all the same"
            )
        label = Label(name, classes)
        return label, y.astype(np.int64), rows, f"{title}: {len(classes)} classes, {_few(classes)}"
    rows = _labelled(table, name, ~np.isnan(found))
    values = found[rows]
    distinct = np.unique(values)
    _check_several(table, name, [f"{value:g}" for value in distinct[:2]])
    whole = bool((np.trunc(values) == values).all() and np.abs(values).max() < 2**53)
    kind = f"{len(distinct):,} different numbers in {len(values):,} rows"
    if wanted == "classification" and not whole:
        raise ValueError(
            f"{table.path}: --task classification wants labels that are whole numbers or text, but "
            f"{table.title(name)} has {distinct[np.trunc(distinct) != distinct][0]:g}"
        )
    if wanted == "classification" or (wanted is None and whole and are_classes(values)):
        label = Label(name, [int(value) for value in distinct])
        codes = np.searchsorted(distinct, values).astype(np.int64)
        note = f"{title}: {kind}, taken as classes, {_few(label.class_names or [])}"
        return label, codes, rows, note + " (--task regression changes that)" * (wanted is None)
    note = f"{title}: {kind}, taken as a quantity"
    note += " (--task classification changes that)" * (wanted is None and whole)
    return Label(name, None), values.astype(np.float32), rows, note


def _labelled(table: Table, name: str, there: NDArray[np.bool_]) -> NDArray[np.int64]:
    rows = np.flatnonzero(there)
    if len(rows) == 0:
        raise ValueError(f"{table.path}: {table.title(name)}, the label, has no values")
    if len(rows) < len(there):
        row = int(np.flatnonzero(~there)[0])
        line = table.place(row, name).removeprefix(f"{table.path}: ")
        table.notes.append(
            f"{len(there) - len(rows):,} of {len(there):,} rows have no label and are left out, "
            f"the first at {line}"
        )
    return rows


def _check_several(table: Table, name: str, values: list[str]) -> None:
    if len(values) < 2:
        only = shortened(values[0], SHOWN)
        raise ValueError(
            f"{table.path}: {table.title(name)}, the label, is {only!r} in every row, so "
            "there is nothing to learn; --label COLUMN names another"
        )


def _whole_text(text: str) -> str:
    """A whole number as Python writes it."""
    try:
        return str(int(float(text.replace(",", ""))))
    except (ValueError, OverflowError):
        return text


def _few(classes: list[str]) -> str:
    shown = ", ".join(classes[:10])
    return shown if len(classes) <= 10 else f"{shown} ..."
