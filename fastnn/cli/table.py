"""A .csv or .tsv as the data of a command: its options, what is learned of it, what it is then."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.tables import features
from fastnn.tables.form import Form
from fastnn.tables.options import Options
from fastnn.tables.reading import SUFFIXES, Table

Split = tuple[NDArray[Any], NDArray[Any]]

DEFAULTS: dict[str, Any] = {"drop": (), "categories": ()}
"""What the options are, where nobody says, that are for a table to learn from."""

_OF_TABLES = ("label", "header", "encoding", "drop", "categories", "missing")


@dataclass
class Known:
    """A table whose form is known.

    Attributes:
        train, test: Examples as ``form`` makes them, and labels.
        note: How the test set came about.
        form: Of the table.
        notes: What was found.
        warnings: What is not used.
    """

    train: Split
    test: Split
    note: str
    form: Form
    notes: list[str]
    warnings: list[str]


def add_arguments(parser: argparse.ArgumentParser, *, new: bool) -> None:
    """The options of a table; those alone that a saved net leaves open, unless one is made anew."""
    group = parser.add_argument_group("a table")
    group.add_argument(
        "--label",
        metavar="COLUMN",
        help="the label's column: its name or, from 0, its index (default: "
        + ("the one named label, target, y or class, else the last)" if new else "the net's)"),
    )
    group.add_argument(
        "--header",
        choices=("yes", "no"),
        help="whether the first line has the names of columns (default: found out)",
    )
    group.add_argument(
        "--encoding", metavar="NAME", help="such as latin-1 (default: utf-8, or utf-16 by its mark)"
    )
    group.add_argument(
        "--missing",
        action="append",
        default=[],
        metavar="TEXT",
        help="a cell without a value, beside the empty one, NA, ? and the like; may be repeated",
    )
    if new:
        for name, what in (
            ("drop", "that are not used"),
            ("categories", "whose numbers are names"),
        ):
            group.add_argument(
                f"--{name}",
                type=_columns,
                default=DEFAULTS[name],
                metavar="COLUMN,...",
                help=f"columns {what}: names or, from 0, indices",
            )


def is_table(name: str) -> bool:
    """Whether ``name`` is a table, by its suffix."""
    return Path(name).suffix.lower() in SUFFIXES


def options(arguments: argparse.Namespace) -> Options:
    """As the arguments say.

    Raises:
        ValueError: They are about a table, and the data is none; or there is no such encoding.
    """
    names = [arguments.data] if isinstance(arguments.data, str) else arguments.data
    if not any(map(is_table, names)):
        for name in _OF_TABLES:
            if getattr(arguments, name, None):
                raise ValueError(f"--{name} is for a .csv or .tsv, but the data is {names[0]}")
    return Options(
        label=arguments.label,
        header=None if arguments.header is None else arguments.header == "yes",
        encoding=arguments.encoding,
        drop=getattr(arguments, "drop", ()),
        categories=getattr(arguments, "categories", ()),
        missing=tuple(arguments.missing),
    )


def read_new(name: str, options: Options, task: str | None) -> Known:
    """Read a table that a new net is to learn from; its form is learned from the training part.

    Raises:
        OSError, ValueError: There is no such table, or it is not fit to learn from.
    """
    from fastnn.datasets import files
    from fastnn.tables import form, label, read

    table = read(_existing(name), options)
    target, y, rows, decided = label.learn(table, task)
    train, test = files.split((np.arange(len(rows)), y))
    found = form.learn(table, target, rows[train[0]])
    notes = [decided, found.describe()]
    return _known(found, table, (train, test), rows, notes)


def read_known(form: Form, name: str, options: Options, *, test_only: bool = False) -> Known:
    """Read a table with labels for a net that has learned from a table of ``form``.

    Args:
        test_only: Leaves the part to learn from empty.

    Raises:
        OSError, ValueError: There is no such table, it lacks a column, or has other classes.
    """
    from fastnn.datasets import files

    table = form.read(_existing(name), options)
    y, rows = form.label_of(table)
    (train, y), test = files.split((np.arange(len(rows)), y))
    kept = slice(0 if test_only else None)
    return _known(form, table, ((train[kept], y[kept]), test), rows, [])


def predict(
    form: Form, name: str, options: Options, predicted: Callable[[NDArray[Any]], NDArray[Any]]
) -> NDArray[Any]:
    """What ``predicted`` makes of the features of a table, which may have labels or not.

    They are read and thrown away some rows at a time. The whole table is read where columns are not
    written alike all the way down.
    """
    _existing(name)
    found: list[NDArray[Any]] = []
    notes: list[str] = []
    try:
        for x, notes_of_part in features.by_parts(form, name, options):
            found.append(predicted(x))
            notes = notes_of_part
        values = np.concatenate(found)
    except features.UnlikeError:
        table = form.read(name, options)
        values, notes = predicted(form.encode(table)), table.notes
    print_warnings(notes)
    return values


def print_warnings(lines: Sequence[str]) -> None:
    """Say what is not used where standard output is for something else."""
    for line in lines:
        print(f"fastnn: {line}", file=sys.stderr)


def _known(
    form: Form,
    table: Table,
    parts: tuple[Split, Split],
    rows: NDArray[np.int64],
    notes: list[str],
) -> Known:
    (train, y), (test, yt) = parts
    note = f"{len(test)} of {len(rows)} examples, drawn with seed 0, set aside as the test set"
    x, xt = (form.encode(table, rows[part]) for part in (train, test))
    return Known((x, y), (xt, yt), note, form, notes, table.notes)


def _existing(name: str) -> str:
    if not Path(name).exists():
        raise FileNotFoundError(f"{name}: no such file or directory")
    return name


def _columns(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
