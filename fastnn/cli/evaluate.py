"""Test a saved model.

DATA is as in ``fastnn train``; the pictures of a folder are brought into the model's size. Its
test set is taken: its own, or the fifth of its examples that ``fastnn train`` set aside; --all
takes every example instead.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from fastnn.cli import model_file, output, pictures, source, table
from fastnn.cli.training import figure


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``fastnn evaluate``."""
    parser.add_argument("model", metavar="MODEL", help="a file that fastnn train --save wrote")
    parser.add_argument(
        "data",
        nargs="?",
        default="mnist",
        metavar="DATA",
        help="mnist, FOLDER, FILE.csv or FILE.npz (default: mnist)",
    )
    table.add_arguments(parser, new=False)
    pictures.add_error_argument(parser)
    parser.add_argument(
        "--all", action="store_true", help="take every example, not the test set alone"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="default: the cores there are")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print loss and metrics; the exit status."""
    import numpy as np

    import fastnn

    output.check_writable(arguments.json)
    if arguments.threads is not None:
        fastnn.set_num_threads(arguments.threads)
    options = table.options(arguments)
    loaded = model_file.load(arguments.model)
    model, shape = loaded.model, source.example_shape(loaded.model)
    data = source.read_for(
        loaded, arguments.data, options, arguments.on_error, test_only=not arguments.all
    )
    x, y = data.test
    if arguments.all:
        x, y = (np.concatenate(parts) for parts in zip(data.train, data.test, strict=True))
    begin = time.perf_counter()
    test = model.evaluate(source.fitted(x, shape), y, verbose=0, return_dict=True)
    seconds = time.perf_counter() - begin
    if arguments.json:
        output.write_json(arguments.json, {
            "model": arguments.model,
            "data": arguments.data,
            **{f"test_{name}": value for name, value in test.items()},
            "examples": len(x),
            "seconds": seconds,
            "examples_per_second": len(x) / seconds,
        })  # fmt: skip
    print(f"{arguments.data}: {len(x):,} examples ({'all' if arguments.all else data.note})")
    for line in data.warnings:
        print(line)
    for name, value in test.items():
        print(f"test {name}: {figure(name, value)}")
    return 0
