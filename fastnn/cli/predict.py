"""Predict with a saved model.

DATA is one picture or several, a folder of pictures, mnist, a directory of IDX files or a .npz
(their test images are taken), a .npy, or a .csv with or without labels. Classes come with their
probability; of a single picture all of them, the likeliest first. --output FILE.csv has a line an
example with all probabilities, FILE.npy the model's output as it is.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastnn.cli import model_file, output, pictures, source, table
from fastnn.cli.model_file import Loaded

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fastnn.models import Model


_ROWS = 1 << 16
"""That are written at a time."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``fastnn predict``."""
    parser.add_argument("model", metavar="MODEL", help="a file that fastnn train --save wrote")
    parser.add_argument(
        "data",
        nargs="+",
        metavar="DATA",
        help="PICTURE ..., FOLDER, mnist, FILE.csv, FILE.npz or FILE.npy",
    )
    table.add_arguments(parser, new=False)
    parser.add_argument("--threads", type=int, metavar="N", help="default: the cores there are")
    parser.add_argument("--output", type=Path, metavar="FILE", help=".csv or .npy (default: print)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print or write the predictions; the exit status."""
    import numpy as np

    import fastnn

    output.check_writable(arguments.output, arguments.json)
    if arguments.output and arguments.output.suffix not in (".csv", ".npy"):
        raise ValueError(f"--output {arguments.output}: wanted a .csv or a .npy")
    if arguments.threads is not None:
        fastnn.set_num_threads(arguments.threads)
    options = table.options(arguments)
    loaded = model_file.load(arguments.model)
    model, shape = loaded.model, source.example_shape(loaded.model)

    def predicted(x: NDArray[Any]) -> NDArray[Any]:
        found: NDArray[Any] = model.predict(source.fitted(x, shape), verbose=0)
        return found

    files = None
    if loaded.form is not None and len(arguments.data) == 1 and table.is_table(arguments.data[0]):
        values = table.predict(loaded.form, arguments.data[0], options, predicted)
    else:
        inputs, files = _inputs(arguments, shape)
        values = predicted(inputs)
    guesses = _Guesses(values, _classifies(model), loaded, files)

    if arguments.output and arguments.output.suffix == ".npy":
        with output.replacing(arguments.output) as temporary:
            np.save(temporary, values)
    elif arguments.output:
        with (
            output.replacing(arguments.output) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            csv.writer(file, lineterminator="\n").writerows(guesses.table())
    if arguments.json:
        output.write_json(arguments.json, {
            "model": arguments.model,
            "data": arguments.data if len(arguments.data) > 1 else arguments.data[0],
            "examples": len(values),
            **guesses.as_json(),
        })  # fmt: skip
    if arguments.output:
        print(f"{len(values):,} predictions in {arguments.output}")
    elif not arguments.json:
        csv.writer(sys.stdout, lineterminator="\n").writerows(guesses.short_table())
    return 0


def _inputs(
    arguments: argparse.Namespace, shape: tuple[int, ...]
) -> tuple[NDArray[Any], list[str] | None]:
    """Examples and, of pictures, the files that they are from."""
    from fastnn.datasets import files, mnist

    names: list[str] = arguments.data
    if all(map(pictures.is_picture, names)) or (len(names) == 1 and pictures.is_folder(names[0])):
        return pictures.read_files(names, pictures.form_of(shape))
    if len(names) > 1:
        other = next(name for name in names if not pictures.is_picture(name))
        raise ValueError(f"{other}: only pictures can be several, and this is none by its suffix")
    if names[0] == "mnist":
        return mnist.load_data()[1][0], None
    found = files.load_inputs(names[0], features=math.prod(shape), label=arguments.label)
    return found, None


def _classifies(model: Model) -> bool:
    """Whether the outputs are probabilities of classes: a softmax, or one sigmoid."""
    config = model.layers[-1].get_config()
    activation = config.get("activation")
    if type(model.layers[-1]).__name__ == "Softmax":
        activation = "softmax"
    return activation == "softmax" or (activation == "sigmoid" and config.get("units") == 1)


@dataclass(frozen=True)
class _Guesses:
    """What a model predicts.

    Attributes:
        values: (n, outputs), of the model.
        classes: Whether they are probabilities.
        model: With the names of the classes, if they have any.
        files: That the examples are from, if each has its own.
    """

    values: NDArray[Any]
    classes: bool
    model: Loaded
    files: list[str] | None

    def labels(self) -> NDArray[Any]:
        """The likeliest classes as integers (n,)."""
        if self.values.shape[1] == 1:
            return (self.values[:, 0] > 0.5).astype(int)
        found: NDArray[Any] = self.values.argmax(axis=1)
        return found

    def as_json(self) -> dict[str, Any]:
        """Classes, by name if they have names; of a regression the values, (n,) or (n, values)."""
        found: dict[str, Any] = {}
        if self.files is not None:
            found["files"] = self.files
        if not self.classes:
            values = self.values[:, 0] if self.values.shape[1] == 1 else self.values
            return {**found, "predictions": values.tolist()}
        found["predictions"] = [self.model.named(label) for label in self.labels()]
        if self.files is not None:
            found["class_names"] = self.model.class_names
            found["probabilities"] = self.values.tolist()
        return found

    def table(self) -> Iterable[Sequence[Any]]:
        """Lines with everything: the class and all probabilities, or the values."""
        width = self.values.shape[1]
        if self.classes:
            header = ["prediction", *(f"probability_{self.model.named(k)}" for k in range(width))]
        else:
            header = ["prediction"] if width == 1 else [f"prediction_{k}" for k in range(width)]
        yield self._with_file(["file"], header)
        for k, (label, row) in enumerate(self._rows()):
            guess = [self.model.named(label)] if self.classes else []
            yield self._with_file(self._file(k), [*guess, *map(_short, row)])

    def short_table(self) -> Iterable[Sequence[Any]]:
        """Lines for the screen: of the probabilities only the class's own, but of a single picture
        all classes, the likeliest first."""
        if not self.classes:
            yield from self.table()
            return
        header = ["prediction", "probability"]
        if self.files is not None and len(self.values) == 1 and self.values.shape[1] > 1:
            yield header
            for label in (-self.values[0]).argsort(kind="stable"):
                yield [self.model.named(label), f"{self.values[0, label]:.4f}"]
            return
        yield self._with_file(["file"], header)
        for k, (label, row) in enumerate(self._rows()):
            chance = row[label] if len(row) > 1 else row[0] if label else 1 - row[0]
            yield self._with_file(self._file(k), [self.model.named(label), f"{chance:.4f}"])

    def _rows(self) -> Iterator[tuple[int, list[float]]]:
        """The likeliest class of each example, and its values; as Python's numbers, which are
        quick to write, but some at a time, for they are large."""
        labels = self.labels()
        for start in range(0, len(labels), _ROWS):
            part = slice(start, start + _ROWS)
            yield from zip(labels[part].tolist(), self.values[part].tolist(), strict=True)

    def _file(self, k: int) -> list[str]:
        return [] if self.files is None else [self.files[k]]

    def _with_file(self, file: list[str], line: Sequence[Any]) -> list[Any]:
        return [*line] if self.files is None else [*file, *line]


def _short(value: float) -> str:
    return f"{value:.7g}"
