"""Train a network on MNIST or on a file, and test it.

DATA is mnist, a folder, a .npz, a .csv or a .tsv. A folder has a directory of pictures for each
class, or two such folders, train and test; or it holds IDX files (Fashion-MNIST, say). Data without
a test set loses a fifth of its examples to one. Of a table, gaps are filled and marked, numbers are
standardized and texts become categories, as the examples to learn from say; pixels are divided by
255. All that is part of the file that --save writes, and so are the names of classes.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fastnn.cli import (
    model_file,
    network,
    output,
    problem,
    resuming,
    several,
    table,
    termination,
    training,
)

if TYPE_CHECKING:
    from fastnn.distribution import DataParallel


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``fastnn train``."""
    problem.add_arguments(parser)
    network.add_arguments(parser)
    training.add_arguments(parser)
    parser.add_argument(
        "--distribute",
        action="store_true",
        help="share each batch with the other processes of `mpirun -n N fastnn train ...`; "
        "--batch-size is that of all together (needs fastnn[mpi])",
    )
    result = parser.add_argument_group("output")
    result.add_argument(
        "--resume",
        type=Path,
        metavar="DIRECTORY",
        help="keep backups there while training, and go on from the last one if there is one; "
        "after a finished training, just test it again",
    )
    result.add_argument(
        "--save", type=Path, metavar="FILE", help="write the model, to FILE.safetensors"
    )
    result.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON")
    talk = result.add_mutually_exclusive_group()
    talk.add_argument("--quiet", action="store_true", help="print the last line alone")
    talk.add_argument("--verbose", action="store_true", help="print the model's layers too")


def run(arguments: argparse.Namespace) -> int:
    """Train, test, save; the exit status."""
    if arguments.distribute:
        return several.run(lambda distribution: _run(arguments, distribution))
    return _run(arguments)


def _run(arguments: argparse.Namespace, distribution: DataParallel | None = None) -> int:
    import fastnn

    training.check(arguments)
    network.check(arguments)
    output.check_model_writable(arguments.save)
    output.check_writable(arguments.json)
    training.prepare(arguments)
    wanted = problem.read(arguments)
    network.settle(wanted, arguments)
    training.settle(wanted, arguments)
    model = network.build(wanted, arguments)
    network.compile_for(wanted, model, training.optimizer(arguments))
    if not arguments.quiet:
        print(wanted.describe())
        print(network.describe(wanted, model, arguments))
        if wanted.task == "regression":
            print("while training, figures are in units of the targets' deviation")
        if arguments.verbose:
            model.summary()
        sys.stdout.flush()
    elif several.speaks(distribution):
        table.print_warnings(wanted.warnings)
    backup = resuming.backup(arguments.resume, wanted, arguments) if arguments.resume else None
    trained = training.train(
        model, wanted, arguments, quiet=arguments.quiet, backup=backup, distribution=distribution
    )
    termination.ignore()  # what it asks for, a model that is saved, is what comes now
    if not several.speaks(distribution):
        return trained.status
    if arguments.save and trained.began:
        model_file.save(trained.model, arguments.save, wanted.class_names, wanted.form)
    if arguments.json:
        output.write_json(arguments.json, {
            "data": arguments.data,
            "task": wanted.task,
            **trained.as_json(),
            "class_names": wanted.class_names,
            "warnings": list(wanted.warnings),
            "settings": {
                name: getattr(arguments, name) for name in training.SETTINGS
            },
            "parameters": trained.model.count_params(),
            "threads": fastnn.get_num_threads(),
            "processes": 1 if distribution is None else distribution.size,
            "fastnn": fastnn.__version__,
        })  # fmt: skip
    training.report(trained, arguments, quiet=arguments.quiet, backup=backup)
    return trained.status
