"""Find out whether a network can learn, and if not, why, and what cures it.

DATA and the network are as in ``fastnn train``, or --model names a saved one. Copies of it are
trained for some steps: as it is and, if it doesn't learn, with each change that may help. With
--cure, the network is then trained as ``fastnn train`` does it: with the first change that helped,
or as it is if it is healthy.

Exit status: 0 if the network is healthy, or learns in spite of an illness that costs it no more
than a twentieth of what there is to learn; 1 if it is not. With --cure, 0 if the trained network
has learned, for then there is one that can be used: by its test set, at least half as much as a
sound network learned in the trials; 1 if it has not, if no change helped, or if training broke off.
"""

from __future__ import annotations

import argparse
import sys
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastnn.cli import (
    model_file,
    network,
    output,
    pictures,
    problem,
    source,
    status,
    table,
    termination,
    training,
)
from fastnn.cli.problem import Problem

if TYPE_CHECKING:
    from fastnn.health import Remedy, Report
    from fastnn.models import Model

MIN_STEPS = 10
"""``diagnose`` wants so many."""

_ENOUGH = 0.5
"""Of what a sound net learned in the trials. A training of few epochs must not fail by a hair."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``fastnn doctor``."""
    problem.add_arguments(parser)
    net = network.add_arguments(parser)
    net.add_argument(
        "--model",
        type=Path,
        metavar="FILE",
        help="a file that fastnn train --save wrote, with its optimizer, in place of a new network",
    )
    # Not train's size: it is with this one that verdicts were calibrated.
    group = training.add_arguments(parser, batch_size=32)
    group.add_argument(
        "--steps",
        type=int,
        default=100,
        metavar="N",
        help="that each trial takes; schedule, epochs and validation are --cure's "
        "(default: %(default)s)",
    )
    remedies = group.add_mutually_exclusive_group()
    remedies.add_argument("--cure", action="store_true", help="train what can learn")
    remedies.add_argument("--no-remedies", action="store_true", help="try no changes")
    result = parser.add_argument_group("output")
    result.add_argument("--html", type=Path, metavar="FILE", help="write the report as a page")
    result.add_argument("--json", type=Path, metavar="FILE", help="write the report as JSON")
    result.add_argument(
        "--save",
        type=Path,
        metavar="FILE",
        help="with --cure, write the trained model, to FILE.safetensors",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print and write the report, train if wanted; the exit status."""
    from fastnn import health

    _check(arguments)
    output.check_model_writable(arguments.save)
    output.check_writable(arguments.html, arguments.json)
    training.prepare(arguments)
    model, wanted = _loaded(arguments) if arguments.model else _built(arguments)
    training.settle(wanted, arguments)
    sys.stdout.flush()
    report = health.diagnose(
        model, wanted.x, wanted.y, steps=arguments.steps, batch_size=arguments.batch_size,
        remedies=not arguments.no_remedies, seed=arguments.seed,
    )  # fmt: skip
    print(f"\n{report}", flush=True)
    if arguments.html:
        report.to_html(arguments.html)
    if arguments.json:
        output.write_json(arguments.json, report.to_dict())
    if arguments.cure:
        return _cure(model, wanted, report, arguments)
    return 0 if report.is_tolerable() else status.UNHEALTHY


def _check(arguments: argparse.Namespace) -> None:
    training.check(arguments)
    network.check(arguments)
    if arguments.steps < MIN_STEPS:
        raise ValueError(f"--steps must be at least {MIN_STEPS}, got {arguments.steps}")
    if arguments.save and not arguments.cure:
        raise ValueError("--save needs --cure: without it nothing is trained")
    if arguments.model:
        parts = (network, training, pictures, table)
        defaults = {"task": None, **{k: v for part in parts for k, v in part.DEFAULTS.items()}}
        for name, default in defaults.items():
            if getattr(arguments, name) != default:
                raise ValueError(
                    f"--{name.replace('_', '-')} has no place beside --model, which brings its own"
                )


def _built(arguments: argparse.Namespace) -> tuple[Model, Problem]:
    wanted = problem.read(arguments)
    network.settle(wanted, arguments)
    model = network.build(wanted, arguments)
    network.compile_for(wanted, model, training.optimizer(arguments))
    print(wanted.describe())
    print(network.describe(wanted, model, arguments))
    return model, wanted


def _loaded(arguments: argparse.Namespace) -> tuple[Model, Problem]:
    options = table.options(arguments)
    loaded = model_file.load(arguments.model)
    model = loaded.model
    if not model.compiled:
        raise ValueError(f"{arguments.model}: the model is not compiled, so it can't be trained")
    shape = source.example_shape(model)
    data = source.read_for(loaded, arguments.data, options, arguments.on_error)
    x, y = data.train
    wanted = Problem(
        arguments.data, data.note, None, source.fitted(x, shape), y, data.test,
        class_names=data.class_names, form=data.form, warnings=data.warnings,
    )  # fmt: skip
    # The model's optimizer may have a schedule of its own, and stays as it is.
    arguments.schedule = "constant"
    print(wanted.describe())
    return model, wanted


def _cure(model: Model, wanted: Problem, report: Report, arguments: argparse.Namespace) -> int:
    from fastnn import NonFiniteGradientError

    remedy = report.best
    if remedy is None and not report.is_tolerable():
        print("\nNothing is trained, for no change helped.")
        return status.UNHEALTHY
    name = "as it is" if remedy is None else f"with {remedy.name}"
    print(f"\nTraining the network {name}", flush=True)
    try:
        trained = training.train(
            model if remedy is None else remedy.apply(), wanted, arguments,
            fit_arguments=None if remedy is None else remedy.fit_arguments,
        )  # fmt: skip
    except NonFiniteGradientError as error:
        _write(arguments, report, remedy, {"error": str(error)})
        print(f"fastnn doctor: training broke off: {error}", file=sys.stderr)
        return status.UNHEALTHY
    termination.ignore()  # what it asks for, a model that is saved, is what comes now
    learned = _learned(trained, wanted, report) if trained.test else nan
    if arguments.save and trained.began:
        model_file.save(trained.model, arguments.save, wanted.class_names, wanted.form)
    _write(arguments, report, remedy, {**trained.as_json(), "learned": learned})
    training.report(trained, arguments)
    if trained.stopped is not None:
        return trained.status
    return 0 if learned >= _ENOUGH * _reference(report) else status.UNHEALTHY


def _learned(trained: training.Trained, wanted: Problem, report: Report) -> float:
    """As ``health.Trial.learned``, but of the test set."""
    from fastnn.health.baseline import baseline_loss, chance, share_learned
    from fastnn.models.feeding import feed

    x, y = wanted.test
    dataset = feed(trained.model, source.fitted(x, source.example_shape(trained.model)), y)
    best_constant = baseline_loss(trained.model, dataset)
    if best_constant is None:
        best_constant = next(iter(report.untreated.losses), 0.0)
    above = nan
    if "accuracy" in trained.test:
        lucky = chance(dataset.targets[0])
        above = (trained.test["accuracy"] - lucky) / (1.0 - lucky) if lucky < 1.0 else nan
    return share_learned(trained.test["loss"], best_constant, above)


def _reference(report: Report) -> float:
    """What a sound net learned in the trials; all that there is, if none was tried."""
    return report.progress[-1].reference if report.progress else 1.0


def _write(
    arguments: argparse.Namespace, report: Report, remedy: Remedy | None, cure: dict[str, Any]
) -> None:
    if arguments.json:
        name = None if remedy is None else remedy.name
        cure = {"remedy": name, **cure}
        output.write_json(arguments.json, {**report.to_dict(), "cure": cure})
