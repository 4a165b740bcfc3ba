"""Predict with a saved model.

DATA is mnist, a directory of IDX files or a .npz (their test images are taken), a .npy, or a .csv
with or without labels. Classes come with their probability; --output FILE.csv has a line an example
with all probabilities, FILE.npy the model's output as it is.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastnn.cli import output, source

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fastnn.models import Model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``fastnn predict``."""
    parser.add_argument("model", metavar="MODEL", help="a file that fastnn train --save wrote")
    parser.add_argument(
        "data", metavar="DATA", help="mnist, DIRECTORY, FILE.csv, FILE.npz or FILE.npy"
    )
    source.add_label_argument(parser)
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
    model = fastnn.load_model(arguments.model)
    shape = source.example_shape(model)
    values = model.predict(source.fitted(_inputs(arguments, shape), shape), verbose=0)

    if arguments.output and arguments.output.suffix == ".npy":
        with output.replacing(arguments.output) as temporary:
            np.save(temporary, values)
    elif arguments.output:
        with (
            output.replacing(arguments.output) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            csv.writer(file, lineterminator="\n").writerows(_table(model, values))
    if arguments.json:
        output.write_json(arguments.json, {
            "model": arguments.model,
            "data": arguments.data,
            "examples": len(values),
            "predictions": _predictions(model, values).tolist(),
        })  # fmt: skip
    if arguments.output:
        print(f"{len(values):,} predictions in {arguments.output}")
    elif not arguments.json:
        csv.writer(sys.stdout, lineterminator="\n").writerows(_short_table(model, values))
    return 0


def _inputs(arguments: argparse.Namespace, shape: tuple[int, ...]) -> NDArray[Any]:
    from fastnn.datasets import files, mnist

    if arguments.data == "mnist":
        return mnist.load_data()[1][0]
    return files.load_inputs(arguments.data, features=math.prod(shape), label=arguments.label)


def _classifies(model: Model) -> bool:
    """Whether the outputs are probabilities of classes: a softmax, or one sigmoid."""
    config = model.layers[-1].get_config()
    activation = config.get("activation")
    if type(model.layers[-1]).__name__ == "Softmax":
        activation = "softmax"
    return activation == "softmax" or (activation == "sigmoid" and config.get("units") == 1)


def _predictions(model: Model, values: NDArray[Any]) -> NDArray[Any]:
    """Classes (n,); for a regression the values themselves, (n,) or (n, values)."""
    if not _classifies(model):
        return values[:, 0] if values.shape[1] == 1 else values
    return (values[:, 0] > 0.5).astype(int) if values.shape[1] == 1 else values.argmax(axis=1)


def _table(model: Model, values: NDArray[Any]) -> Iterable[Sequence[Any]]:
    """Lines with everything: the class and all probabilities, or the values."""
    if not _classifies(model):
        width = values.shape[1]
        yield ["prediction"] if width == 1 else [f"prediction_{k}" for k in range(width)]
        yield from ([_short(value) for value in row] for row in values)
        return
    yield ["prediction", *(f"probability_{k}" for k in range(values.shape[1]))]
    for guess, row in zip(_predictions(model, values), values, strict=True):
        yield [guess, *map(_short, row)]


def _short_table(model: Model, values: NDArray[Any]) -> Iterable[Sequence[Any]]:
    """Lines for the screen: of the probabilities, only the class's own."""
    if not _classifies(model):
        yield from _table(model, values)
        return
    yield ["prediction", "probability"]
    for guess, row in zip(_predictions(model, values), values, strict=True):
        chance = row[guess] if len(row) > 1 else row[0] if guess else 1 - row[0]
        yield [guess, f"{chance:.4f}"]


def _short(value: float) -> str:
    return f"{value:.7g}"
