"""Train a network on MNIST or on a file, and test it.

DATA is mnist, a directory of IDX files (Fashion-MNIST, say), a .npz or a .csv. Data without a test
set loses a fifth of its examples to one. The columns of a table are standardized, pixels divided by
255; both are part of the model that --save writes.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastnn.cli import output, scaling, source

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fastnn.models import Sequential
    from fastnn.optimizers import Optimizer

INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``fastnn train``."""
    parser.add_argument(
        "data",
        nargs="?",
        default="mnist",
        metavar="DATA",
        help="mnist, DIRECTORY, FILE.csv or FILE.npz (default: mnist)",
    )
    source.add_label_argument(parser)
    parser.add_argument(
        "--task",
        choices=("classification", "regression"),
        help="default: classification if the labels are one-hot or whole numbers from 0 to 999",
    )
    model = parser.add_argument_group("the network")
    model.add_argument(
        "--layers",
        type=_widths,
        default=[512],
        metavar="N,N,...",
        help="widths of the hidden layers; 0 for none (default: 512)",
    )
    model.add_argument(
        "--activation",
        default="relu",
        metavar="NAME",
        help="of the hidden layers (default: %(default)s)",
    )
    model.add_argument(
        "--initializer",
        default="glorot_uniform",
        metavar="NAME",
        help="of the weights (default: %(default)s)",
    )
    training = parser.add_argument_group("training")
    training.add_argument(
        "--optimizer",
        default="adam",
        metavar="NAME",
        help="adam, adamw, sgd or rmsprop (default: %(default)s)",
    )
    training.add_argument(
        "--learning-rate",
        type=float,
        default=0.001,
        metavar="RATE",
        help="at the beginning (default: %(default)s)",
    )
    training.add_argument(
        "--schedule",
        choices=("cosine", "constant"),
        default="cosine",
        help="how the rate goes on: down to 0 in a half cosine, or not at all "
        "(default: %(default)s)",
    )
    training.add_argument(
        "--batch-size",
        type=int,
        default=128,
        metavar="N",
        help="examples a step (default: %(default)s)",
    )
    training.add_argument(
        "--epochs",
        type=int,
        default=10,
        metavar="N",
        help="passes over the data (default: %(default)s)",
    )
    training.add_argument(
        "--validation-split",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="share of the training examples, the last ones, to validate on (default: none)",
    )
    training.add_argument(
        "--patience",
        type=int,
        metavar="N",
        help="stop once the validation loss has not improved for N epochs, and go back to the best",
    )
    training.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="of initial weights and order (default: %(default)s)",
    )
    training.add_argument(
        "--threads",
        type=int,
        metavar="N",
        help="default: the cores there are; the result does not depend on it",
    )
    result = parser.add_argument_group("output")
    result.add_argument(
        "--save", type=Path, metavar="FILE", help="write the model, .safetensors by custom"
    )
    result.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON")
    talk = result.add_mutually_exclusive_group()
    talk.add_argument("--quiet", action="store_true", help="print the last line alone")
    talk.add_argument("--verbose", action="store_true", help="print the model's layers too")


def run(arguments: argparse.Namespace) -> int:
    """Train, test, save; the exit status."""
    import fastnn

    _check(arguments)
    output.check_writable(arguments.save, arguments.json)
    if arguments.threads is not None:
        fastnn.set_num_threads(arguments.threads)
    fastnn.utils.set_random_seed(arguments.seed)

    data = source.read(arguments.data, arguments.label)
    task = source.settle_task(data, arguments.task)
    (x, y), (x_test, y_test) = data.train, data.test
    features = scaling.of_features(x)
    targets = scaling.of_targets(y) if task == "regression" else None
    model = _build(x, _n_outputs(task, y, y_test), task, arguments)
    n_train = int(len(x) * (1 - arguments.validation_split))  # Keras's rounding
    _compile(model, task, _optimizer(arguments, n_train))
    if not arguments.quiet:
        _announce(arguments, data, task, model)

    x_fit = x if features is None else features.apply(x)
    y_fit = y if targets is None else targets.apply(y.reshape(len(y), -1))
    del data, x, y
    history, seconds, interrupted = _fit(model, x_fit, y_fit, arguments)
    epochs = len(history.get("loss", []))

    dense = [layer for layer in model.layers if isinstance(layer, fastnn.layers.Dense)]
    if features is not None:
        scaling.fold_into_first(dense[0], features)
    if targets is not None:
        scaling.fold_into_last(dense[-1], targets)
        square = float(targets.deviation[0]) ** 2
        history = {
            name: [value * square for value in values]
            if name.removeprefix("val_") in ("loss", "mse")
            else values
            for name, values in history.items()
        }
    if features is not None or targets is not None:
        # The weights have changed their units: the optimizer's state no longer fits them.
        _compile(model, task, _optimizer(arguments, n_train))
    test = model.evaluate(
        source.fitted(x_test, source.example_shape(model)), y_test, verbose=0, return_dict=True
    )
    if arguments.save:
        model.save(arguments.save)
    if arguments.json:
        output.write_json(arguments.json, {
            "data": arguments.data,
            "task": task,
            **{f"test_{name}": value for name, value in test.items()},
            "epochs": epochs,
            "seconds": seconds,
            "examples_per_second": n_train * epochs / seconds,
            "interrupted": interrupted,
            "history": history,
            "settings": {
                name: getattr(arguments, name)
                for name in ("layers", "activation", "initializer", "optimizer", "learning_rate",
                             "schedule", "batch_size", "validation_split", "patience", "seed")
            },
            "parameters": model.count_params(),
            "threads": fastnn.get_num_threads(),
            "fastnn": fastnn.__version__,
        })  # fmt: skip
    if interrupted:
        print(
            f"fastnn train: interrupted after {epochs} of {arguments.epochs} epochs; what was "
            "learned is kept",
            file=sys.stderr,
        )
    if not arguments.quiet:
        print(
            f"{epochs} epochs in {seconds:.1f} s, "
            f"{n_train * epochs / seconds:,.0f} examples a second"
        )
        if arguments.save:
            print(f"saved {arguments.save}")
    name = "accuracy" if task == "classification" else "mse"
    print(f"test {name}: {test[name]:{'.4f' if name == 'accuracy' else '.6g'}}")
    return INTERRUPTED if interrupted else 0


def _widths(text: str) -> list[int]:
    widths = [int(width) for width in text.split(",") if width.strip()]
    if widths == [0]:
        return []
    if not widths or min(widths) < 1:
        raise argparse.ArgumentTypeError(f"wanted widths such as 512,256, got {text!r}")
    return widths


def _check(arguments: argparse.Namespace) -> None:
    """What ``fit`` would find, but before the data is read."""
    for name in ("batch_size", "epochs"):
        if getattr(arguments, name) < 1:
            raise ValueError(
                f"--{name.replace('_', '-')} must be at least 1, got {getattr(arguments, name)}"
            )
    if not 0 <= arguments.validation_split < 1:
        raise ValueError(
            f"--validation-split must be at least 0 and below 1, got {arguments.validation_split}"
        )
    if arguments.patience is not None and not arguments.validation_split:
        raise ValueError("--patience needs --validation-split")


def _n_outputs(task: source.Task, y: NDArray[Any], y_test: NDArray[Any]) -> int:
    if task == "classification":
        return int(max(y.max(), y_test.max())) + 1
    return 1 if y.ndim == 1 else int(y.shape[1])


def _build(
    x: NDArray[Any], n_outputs: int, task: source.Task, arguments: argparse.Namespace
) -> Sequential:
    import fastnn
    from fastnn import layers

    model = fastnn.Sequential([layers.Input(x.shape[1:])])
    if x.dtype == "uint8":
        model.add(layers.Rescaling(1 / 255))
    if x.ndim > 2:
        model.add(layers.Flatten())
    for width in arguments.layers:
        model.add(
            layers.Dense(
                width, activation=arguments.activation, kernel_initializer=arguments.initializer
            )
        )
    model.add(
        layers.Dense(
            n_outputs,
            activation="softmax" if task == "classification" else None,
            kernel_initializer=arguments.initializer,
        )
    )
    return model


def _optimizer(arguments: argparse.Namespace, n_train: int) -> Optimizer:
    from fastnn import optimizers

    rate: Any = arguments.learning_rate
    optimizer = optimizers.get(arguments.optimizer)
    if arguments.schedule == "cosine":
        steps = -(-n_train // arguments.batch_size) * arguments.epochs
        rate = optimizers.schedules.CosineDecay(rate, max(1, steps))
    optimizer.learning_rate = rate
    return optimizer


def _compile(model: Sequential, task: source.Task, optimizer: Optimizer) -> None:
    if task == "classification":
        model.compile(optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    else:
        model.compile(optimizer, loss="mse", metrics=["mse"])


def _announce(
    arguments: argparse.Namespace, data: source.Data, task: source.Task, model: Sequential
) -> None:
    import fastnn

    (x, _), (x_test, _) = data.train, data.test
    print(
        f"{arguments.data}: {len(x):,} examples of shape {x.shape[1:]} to learn from, "
        f"{len(x_test):,} to test ({data.note})"
    )
    widths = [*arguments.layers, model.outputs[0].shape[-1]]
    print(
        f"{task} with {'-'.join(map(str, [x[0].size, *widths]))}, "
        f"{model.count_params():,} parameters, {arguments.optimizer}, batches of "
        f"{arguments.batch_size}, threads: {fastnn.get_num_threads()}"
    )
    if task == "regression":
        print("while training, loss and mse are in units of the targets' variance")
    if arguments.verbose:
        model.summary()
    sys.stdout.flush()


def _fit(
    model: Sequential, x: NDArray[Any], y: NDArray[Any], arguments: argparse.Namespace
) -> tuple[dict[str, list[float]], float, bool]:
    """Train; the history, the seconds, and whether Ctrl-C ended it."""
    from fastnn import callbacks

    stopping = [] if arguments.patience is None else [
        callbacks.EarlyStopping(patience=arguments.patience, restore_best_weights=True)
    ]  # fmt: skip
    interrupted = False
    begin = time.perf_counter()
    try:
        model.fit(
            x, y, batch_size=arguments.batch_size, epochs=arguments.epochs,
            validation_split=arguments.validation_split, callbacks=stopping,
            verbose=0 if arguments.quiet else "auto",
        )  # fmt: skip
    except KeyboardInterrupt:
        interrupted = True
    seconds = time.perf_counter() - begin
    return dict(model.history.history if model.history else {}), seconds, interrupted
