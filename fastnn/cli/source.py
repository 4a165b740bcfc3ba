"""The data that a command is given: read it, tell its task, bring it into the model's shape."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from fastnn.cli import pictures, table
from fastnn.cli.model_file import Loaded

if TYPE_CHECKING:
    from fastnn.models import Model
    from fastnn.tables import Form, Options

Task = Literal["classification", "regression"]
Split = tuple[NDArray[Any], NDArray[Any]]


@dataclass
class Data:
    """Examples of a command.

    Attributes:
        train, test: Inputs and labels.
        note: How the test set came about.
        class_names: Of folders and tables.
        form: Of a table.
        notes: What was found in a table, each a line.
        warnings: What of a table is not used, each a line.
    """

    train: Split
    test: Split
    note: str
    class_names: list[str] | None = None
    form: Form | None = None
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def read(name: str, form: pictures.Form) -> Data:
    """Read ``mnist``, or the file or directory ``name``, but no table; see ``datasets.load``.

    Args:
        form: Of the pictures of a folder.
    """
    from fastnn.datasets import files, mnist

    if pictures.is_folder(name):
        found = pictures.read_folder(name, form)
        return Data(found.train, found.test, found.note, found.class_names)
    if Path(name).is_dir() and not files.is_idx_directory(Path(name)):
        raise ValueError(
            f"{name}: holds no IDX files (train-images-idx3-ubyte ...), and no directories of "
            "pictures, one for each class"
        )
    source = files.Source(*mnist.load_data()) if name == "mnist" else files.read(name)
    train, test = source
    note = "its own test set"
    if test is None:
        train, test = files.split(train)
        note = (
            f"{len(test[1])} of {len(source.train[1])} examples, drawn with seed 0, "
            "set aside as the test set"
        )
    (x, y), (xt, yt) = train, test
    return Data((x, _column(y)), (xt, _column(yt)), note)


def of_table(found: table.Known) -> Data:
    """A table as the data of a command."""
    names = found.form.label.class_names
    return Data(found.train, found.test, found.note, names, found.form, found.notes, found.warnings)


def _column(y: NDArray[Any]) -> NDArray[Any]:
    return y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y


def read_for(
    loaded: Loaded,
    name: str,
    options: Options,
    on_error: str = "raise",
    *,
    test_only: bool = False,
) -> Data:
    """Read what a saved model is to be tried on.

    Args:
        test_only: The examples to learn from are not wanted: those of a table are left out.

    Raises:
        ValueError: The data is pictures, and the model takes none, or has other classes; or it is a
            table without the columns that the model learned from.
    """
    if loaded.form is not None and table.is_table(name):
        return of_table(table.read_known(loaded.form, name, options, test_only=test_only))
    form = pictures.Form()
    if pictures.is_folder(name):
        form = pictures.form_of(example_shape(loaded.model), on_error, verbose=True)
    data = read(name, form)
    class_names = loaded.class_names
    if data.class_names is not None and class_names is not None:
        own = data.class_names
        data.train, data.test = (
            (x, pictures.relabelled(y, own, class_names, name)) for x, y in (data.train, data.test)
        )
    data.class_names = class_names
    return data


def settle_task(data: Data, wanted: Task | None) -> Task:
    """Tell classification from regression; labels of classes become integers, (n,).

    One-hot rows are classes, and so are whole labels from 0 on that look like them; see
    ``tables.label.are_classes``. Anything else is a number to predict.

    Raises:
        ValueError: ``wanted`` is classification, but the labels are no classes.
    """
    from fastnn.tables.label import are_classes

    labels = [y for _, y in (data.train, data.test)]
    one_hot = all(y.ndim == 2 and _is_one_hot(y) for y in labels)
    classes = one_hot or (
        all(y.ndim == 1 and _is_whole(y) and y.min() >= 0 for y in labels)
        and (wanted is not None or labels[0].dtype.kind in "ui")
        and (wanted is not None or are_classes(np.concatenate(labels)))
    )
    if wanted == "regression" or not (classes or wanted):
        return "regression"
    if not classes:
        raise ValueError("--task classification wants labels 0, 1, 2 ..., or one-hot rows")
    data.train, data.test = (
        (x, y.argmax(axis=1) if one_hot else y if y.dtype.kind in "ui" else y.astype(np.int64))
        for x, y in (data.train, data.test)
    )
    return "classification"


def _is_whole(y: NDArray[Any]) -> bool:
    return y.dtype.kind in "ui" or bool((np.trunc(y) == y).all() and np.isfinite(y).all())


def _is_one_hot(y: NDArray[Any]) -> bool:
    return y.shape[1] > 1 and bool(((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all())


def example_shape(model: Model) -> tuple[int, ...]:
    """The shape of one example that ``model`` takes.

    Raises:
        ValueError: the model has several inputs or outputs, which no file of ours can feed.
    """
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ValueError("the command line is for models with one input and one output")
    return tuple(int(size or 0) for size in model.inputs[0].shape[1:])


def fitted(x: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """``x`` with examples of ``shape``; images may come as rows, and rows as images.

    Raises:
        ValueError: the examples have another number of values.
    """
    if math.prod(x.shape[1:]) != math.prod(shape):
        raise ValueError(f"the model takes examples of shape {shape}, the data has {x.shape[1:]}")
    return x.reshape(len(x), *shape)
