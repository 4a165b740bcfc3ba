"""What a net is to learn: the data of a command, in the units that a net learns in."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastnn.cli import pictures, scaling, source, table
from fastnn.cli.scaling import Scaling

if TYPE_CHECKING:
    from fastnn.models import Model
    from fastnn.tables import Form, Options


@dataclass(frozen=True)
class Problem:
    """Data and what it is.

    Attributes:
        name: The user's, of the data.
        note: How the test set came about.
        task: What the labels ask for; None if that is for a saved model to know.
        x, y: To learn from; a table, and numbers to predict, are standardized.
        test: Inputs and labels in their own units.
        features, targets: How ``x`` and ``y`` were standardized; None if they weren't.
        class_names: By label; None if the data has no names for them.
        form: Of a table.
        notes: What was found in a table, each a line.
        warnings: What of a table is not used, each a line.
    """

    name: str
    note: str
    task: source.Task | None
    x: NDArray[Any]
    y: NDArray[Any]
    test: source.Split
    features: Scaling | None = None
    targets: Scaling | None = None
    class_names: list[str] | None = None
    form: Form | None = None
    notes: Sequence[str] = ()
    warnings: Sequence[str] = ()

    @property
    def are_pictures(self) -> bool:
        """Whether it is a folder of pictures."""
        return self.class_names is not None and self.form is None

    @property
    def is_table(self) -> bool:
        """Whether it is a table, but not one of pixels."""
        return self.form is not None and not self.form.pixels

    @property
    def n_outputs(self) -> int:
        """Classes, or numbers to predict."""
        if self.class_names is not None:
            return len(self.class_names)
        if self.task == "classification":
            return int(max(self.y.max(), self.test[1].max())) + 1
        return int(self.y.shape[1])

    def describe(self) -> str:
        """The data in a line, and what else is to be known of it."""
        line = (
            f"{self.name}: {len(self.x):,} examples of shape {self.x.shape[1:]} to learn from, "
            f"{len(self.test[0]):,} to test ({self.note})"
        )
        return "\n".join([line, *self.notes, *self.warnings])

    def in_own_units(self, model: Model) -> Model:
        """A model that does with the data's own units what ``model``, which may be changed, does
        with standardized ones. It isn't compiled anew."""
        if self.features is not None:
            model = scaling.with_features(model, self.features)
        if self.targets is not None:
            scaling.fold_into_last(model, self.targets)
        return model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that say what data and what it is."""
    parser.add_argument(
        "data",
        nargs="?",
        default="mnist",
        metavar="DATA",
        help="mnist, FOLDER, FILE.csv or FILE.npz (default: mnist)",
    )
    table.add_arguments(parser, new=True)
    pictures.add_arguments(parser)
    parser.add_argument(
        "--task",
        choices=("classification", "regression"),
        help="default: classification if the labels are text, one-hot, or few different whole "
        "numbers",
    )


def read(arguments: argparse.Namespace) -> Problem:
    """Read the data, tell its task, standardize it.

    Raises:
        OSError, ValueError: There is no such data, it has no labels, or ``--task`` is another.
    """
    options, wanted = table.options(arguments), pictures.form_wanted(arguments)
    if table.is_table(arguments.data):
        return _of_table(arguments, options)
    data = source.read(arguments.data, wanted)
    if data.class_names is not None and len(data.class_names) < 2:
        raise ValueError(
            f"{arguments.data}: holds one class, {data.class_names[0]!r}, wanted two or more"
        )
    if data.class_names is not None and arguments.task == "regression":
        raise ValueError(
            "--task regression has no place with a folder of pictures, whose labels are classes"
        )
    task = source.settle_task(data, arguments.task)
    return _standardized(arguments.data, data, task, scaling.of_features(data.train[0]))


def _of_table(arguments: argparse.Namespace, options: Options) -> Problem:
    found = table.read_new(arguments.data, options, arguments.task)
    task: source.Task = "regression" if found.form.label.classes is None else "classification"
    features = None
    if not found.form.pixels:
        features = scaling.of_numbers(found.train[0], found.form.numbers())
    return _standardized(arguments.data, source.of_table(found), task, features)


def _standardized(
    name: str, data: source.Data, task: source.Task, features: Scaling | None
) -> Problem:
    x, y = data.train
    targets = scaling.of_targets(y) if task == "regression" else None
    return Problem(
        name,
        data.note,
        task,
        # In place: nobody else has these rows.
        x if features is None else features.apply(x, x if x.dtype == np.float32 else None),
        y if targets is None else targets.apply(y.reshape(len(y), -1)),
        data.test,
        features,
        targets,
        data.class_names,
        data.form,
        data.notes,
        data.warnings,
    )
