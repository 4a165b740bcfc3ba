"""A training as ``fastnn train`` does it: options, fit, back to the data's own units, test."""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

from fastnn._checks import check_integer
from fastnn.callbacks import Callback
from fastnn.callbacks.backup import FILE
from fastnn.cli import network, several, source, status, termination
from fastnn.cli.problem import Problem

if TYPE_CHECKING:
    from fastnn.callbacks import BackupAndRestore
    from fastnn.distribution import DataParallel
    from fastnn.models import Model
    from fastnn.optimizers import Optimizer

DEFAULTS: dict[str, Any] = {"optimizer": "adam", "learning_rate": 0.001, "schedule": "cosine"}
"""What ``--optimizer`` and so on are where nobody says."""

SETTINGS = (
    "net", "layers", "activation", "initializer", "augment", "optimizer", "learning_rate",
    "schedule", "batch_size", "validation_split", "patience", "seed", "image_size", "color_mode",
)  # fmt: skip
"""Options that the result depends on, beside the data and ``epochs``."""

BATCH = 128
BATCH_OF_PICTURES = 32
"""Of a folder, which may hold few of them: each epoch is to have some steps."""

BATCH_OF_TABLE = 32
"""Of a table up to ``LARGE`` rows; a larger one has steps enough with ``BATCH``."""

LARGE = 20_000
EPOCHS = 10
STEPS_OF_TABLE = 1000
"""Which a small table is passed over for again and again: at least 20 times, at most 200."""

MOST_STEPS_OF_TABLE = 100_000
"""Of a table so large that 20 times would be more of them."""


def add_arguments(
    parser: argparse.ArgumentParser, batch_size: int | None = None
) -> argparse._ArgumentGroup:
    """The options of a training; returns their group.

    Args:
        batch_size: By default; None leaves it to ``settle``.
    """
    group = parser.add_argument_group("training")
    group.add_argument(
        "--optimizer",
        default=DEFAULTS["optimizer"],
        metavar="NAME",
        help="adam, adamw, sgd or rmsprop (default: %(default)s)",
    )
    group.add_argument(
        "--learning-rate",
        type=float,
        default=DEFAULTS["learning_rate"],
        metavar="RATE",
        help="at the beginning (default: %(default)s)",
    )
    group.add_argument(
        "--schedule",
        choices=("cosine", "constant"),
        default=DEFAULTS["schedule"],
        help="how the rate goes on: down to 0 in a half cosine, or not at all "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--batch-size",
        type=int,
        default=batch_size,
        metavar="N",
        help="examples a step (default: "
        + (
            f"{BATCH}; {BATCH_OF_PICTURES} of a folder or a table up to {LARGE} rows)"
            if batch_size is None
            else "%(default)s)"
        ),
    )
    group.add_argument(
        "--epochs",
        type=int,
        metavar="N",
        help=f"passes over the data (default: {EPOCHS}; of a table as many as make "
        f"{STEPS_OF_TABLE} steps, from 20 to 200, within {MOST_STEPS_OF_TABLE} steps)",
    )
    group.add_argument(
        "--validation-split",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="share of the training examples, the last ones, to validate on (default: none)",
    )
    group.add_argument(
        "--patience",
        type=int,
        metavar="N",
        help="stop once the validation loss has not improved for N epochs, and go back to the best",
    )
    group.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="of initial weights and order (default: %(default)s)",
    )
    group.add_argument(
        "--threads",
        type=int,
        metavar="N",
        help="default: the cores there are; the result does not depend on it",
    )
    return group


def check(arguments: argparse.Namespace) -> None:
    """What ``fit`` would find, but before the data is read.

    Raises:
        ValueError: An option is out of its range, or lacks another one.
    """
    for name in ("batch_size", "epochs"):
        if getattr(arguments, name) is not None and getattr(arguments, name) < 1:
            raise ValueError(
                f"--{name.replace('_', '-')} must be at least 1, got {getattr(arguments, name)}"
            )
    if not 0 <= arguments.validation_split < 1:
        raise ValueError(
            f"--validation-split must be at least 0 and below 1, got {arguments.validation_split}"
        )
    if arguments.patience is not None and not arguments.validation_split:
        raise ValueError("--patience needs --validation-split")
    optimizer(arguments)


def settle(problem: Problem, arguments: argparse.Namespace) -> None:
    """The options that are left to the data."""
    if arguments.batch_size is None:
        small = problem.is_table and len(problem.x) <= LARGE
        arguments.batch_size = BATCH
        if problem.are_pictures or small:
            arguments.batch_size = BATCH_OF_PICTURES if problem.are_pictures else BATCH_OF_TABLE
    if arguments.epochs is None:
        arguments.epochs = EPOCHS
        if problem.is_table:
            steps = -(-len(problem.x) // arguments.batch_size)
            most = max(1, min(200, MOST_STEPS_OF_TABLE // steps))
            arguments.epochs = min(max(-(-STEPS_OF_TABLE // steps), 20), most)


def prepare(arguments: argparse.Namespace) -> None:
    """Threads and random numbers as the options say."""
    import fastnn

    if arguments.threads is not None:
        fastnn.set_num_threads(arguments.threads)
    fastnn.utils.set_random_seed(arguments.seed)


def optimizer(arguments: argparse.Namespace) -> Optimizer:
    """The optimizer, with the rate of the beginning."""
    from fastnn import optimizers

    found = optimizers.get(arguments.optimizer)
    found.learning_rate = arguments.learning_rate
    return found


class Position(Callback):
    """How far a training is."""

    def __init__(self) -> None:
        self._epoch: int | None = None
        self._steps_before = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Another one."""
        self._steps_before = self.model.optimizer.iterations
        self._epoch = epoch

    def state_dict(self) -> dict[str, Any]:
        """Where the epoch began."""
        return {"steps_before": self._steps_before}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take it back."""
        self._steps_before = check_integer("a backup", "steps_before", state["steps_before"])

    def __str__(self) -> str:
        if self._epoch is None:
            return "before the first batch"
        done = self.model.optimizer.iterations - self._steps_before
        steps = self.params["steps"]
        return (
            f"in epoch {self._epoch + 1} of {self.params['epochs']}, after batch {done} of {steps}"
        )


class Trained(NamedTuple):
    """What came of a training.

    Attributes:
        model: In the data's own units.
        epochs: How many were done.
        seconds: That they took.
        examples_per_second: In training.
        stopped: The Ctrl-C or SIGTERM that ended it, or the test after it; None if none did.
        position: Where it ended.
        began: Whether a step was done: otherwise the weights are those that were drawn.
        history: Of ``fit``, in the data's own units.
        test: Name -> loss and metrics on the test set; empty if there was no time for it.
    """

    model: Model
    epochs: int
    seconds: float
    examples_per_second: float
    stopped: KeyboardInterrupt | None
    position: str
    began: bool
    history: dict[str, list[float]]
    test: dict[str, float]

    @property
    def status(self) -> int:
        """The exit status."""
        if isinstance(self.stopped, termination.Terminated):
            return status.TERMINATED
        if self.stopped is not None:
            return status.INTERRUPTED
        return status.DIVERGED if self.diverged else status.DONE

    @property
    def diverged(self) -> bool:
        """Whether the loss of the last epoch is no number. (A gradient that is none raises.)"""
        return not all(map(math.isfinite, self.history.get("loss", [])[-1:]))

    def as_json(self) -> dict[str, Any]:
        """All but the model."""
        return {
            **{f"test_{name}": value for name, value in self.test.items()},
            "epochs": self.epochs,
            "seconds": self.seconds,
            "examples_per_second": self.examples_per_second,
            "interrupted": self.stopped is not None,
            "history": self.history,
        }


def train(
    model: Model,
    problem: Problem,
    arguments: argparse.Namespace,
    *,
    quiet: bool = False,
    fit_arguments: Mapping[str, Any] | None = None,
    backup: BackupAndRestore | None = None,
    distribution: DataParallel | None = None,
) -> Trained:
    """Train a compiled model, and test it.

    Ctrl-C ends training, another one the test; SIGTERM ends both. What was learned is returned.

    Args:
        backup: To go on from, and to keep.
        fit_arguments: Go before those of the options; but callbacks add up, and the options' rows
            to validate on are taken.
        distribution: Of several processes, the first one tests.
    """
    from fastnn import callbacks

    settings = {"batch_size": arguments.batch_size, **(fit_arguments or {})}
    share = arguments.validation_split or settings.get("validation_split", 0.0)
    settings["validation_split"] = share
    position = Position()
    watching = [position, *settings.pop("callbacks", ())]
    if arguments.patience is not None:
        watching.append(
            callbacks.EarlyStopping(patience=arguments.patience, restore_best_weights=True)
        )
    if backup is not None:
        watching.append(backup)
    n_train = int(len(problem.x) * (1 - share))  # Keras's rounding
    if arguments.schedule == "cosine":
        _decay(model.optimizer, -(-n_train // settings["batch_size"]) * arguments.epochs)
    stopped: KeyboardInterrupt | None = None
    begin = time.perf_counter()
    speaks = several.speaks(distribution)
    saved_first = (
        nullcontext()
        if backup is None
        else termination.deferred(
            # The first process saves, ends, and takes the others along.
            backup.save_now if speaks else lambda then: True
        )
    )
    try:
        with saved_first:
            model.fit(
                problem.x, problem.y, epochs=arguments.epochs, callbacks=watching,
                verbose=0 if quiet else "auto", distribution=distribution, **settings,
            )  # fmt: skip
    except KeyboardInterrupt as signal:
        stopped = signal
    if distribution is not None:
        distribution._processes.begin()  # those that are here go on to the end together
    seconds = time.perf_counter() - begin
    where, iterations = str(position), model.optimizer.iterations
    history = dict(model.history.history if model.history else {})
    epochs = len(history.get("loss", []))
    if problem.targets is not None:
        deviation = float(problem.targets.deviation[0])
        units = {"loss": deviation**2, "rmse": deviation, "mae": deviation}
        history = {
            name: [value * units.get(name.removeprefix("val_"), 1.0) for value in values]
            for name, values in history.items()
        }
    model = _in_own_units(problem, model)
    test: dict[str, float] = {}
    if speaks and not isinstance(stopped, termination.Terminated):
        try:
            test = _tested(model, problem)
        except KeyboardInterrupt as signal:
            stopped = signal
    # Of this process: what came before the backup took no time of it.
    before = backup.resumed_at if backup is not None else None
    done = 1 - (before or 0) / max(1, iterations)
    speed = n_train * epochs * done / seconds
    return Trained(model, epochs, seconds, speed, stopped, where, iterations > 0, history, test)


def report(
    trained: Trained,
    arguments: argparse.Namespace,
    *,
    quiet: bool = False,
    backup: BackupAndRestore | None = None,
) -> None:
    """Print what came of it, when it is saved; the last line is the test's."""
    if trained.stopped is not None:
        how = "terminated" if trained.status == status.TERMINATED else "interrupted"
        if not trained.began:
            kept = "nothing is written"
        elif backup is not None and os.path.exists(os.path.join(backup.backup_dir, FILE)):
            kept = f"--resume {backup.backup_dir} goes on from the last backup"
        elif arguments.save:
            kept = f"what was learned until then is in {arguments.save}"
        else:
            kept = "there is no --save, so nothing is kept"
        print(f"fastnn {arguments.command}: {how} {trained.position}; {kept}", file=sys.stderr)
    elif trained.diverged:
        print(
            f"fastnn {arguments.command}: error: training diverged: the loss of the last epoch is "
            f"{trained.history['loss'][-1]}",
            file=sys.stderr,
        )
    if not quiet:
        print(
            f"{trained.epochs} epochs in {trained.seconds:.1f} s, "
            f"{trained.examples_per_second:,.0f} examples a second"
        )
        if arguments.save and trained.began:
            print(f"saved {arguments.save}")
        for name in ("rmse", "mae"):
            if name in trained.test:
                print(f"test {name}: {figure(name, trained.test[name])}")
    if not trained.test:
        return
    name = next((n for n in ("accuracy", "r2") if n in trained.test), "loss")
    print(f"test {name}: {figure(name, trained.test[name])}")


def figure(name: str, value: float) -> str:
    """A loss or metric as it is printed."""
    return f"{value:{'.4f' if name in ('accuracy', 'r2') else '.6g'}}"


def _decay(optimizer: Optimizer, steps: int) -> None:
    """Have a rate that is a number go down to 0."""
    from fastnn.optimizers.schedules import CosineDecay

    optimizer.learning_rate = CosineDecay(optimizer.learning_rate, max(1, steps))


def _tested(model: Model, problem: Problem) -> dict[str, float]:
    x, y = problem.test
    found: dict[str, float] = model.evaluate(
        source.fitted(x, source.example_shape(model)), y, verbose=0, return_dict=True
    )
    return found


def _in_own_units(problem: Problem, model: Model) -> Model:
    if problem.features is None and problem.targets is None:
        return model
    model = problem.in_own_units(model)
    # The weights have changed their units: the optimizer's state no longer fits them.
    fresh = type(model.optimizer).from_config(model.optimizer.get_config())
    network.compile_for(problem, model, fresh)
    return model
