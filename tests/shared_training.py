"""Trainings that several processes share, for test_distribution.py.

``mpirun -n N python -m mpi4py shared_training.py WHAT DIRECTORY`` does WHAT and leaves what each
process has found in DIRECTORY.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import fastnn as fnn
from fastnn import callbacks, layers, losses, metrics, optimizers

ROWS = 129
"""Four batches of 32, and one of a single row: all processes but the first have none of it."""

RNG = np.random.default_rng(4)
X = RNG.standard_normal((ROWS, 37)).astype(np.float32)
LABELS = RNG.integers(0, 5, ROWS)
WEIGHTS = RNG.uniform(0.2, 2, ROWS).astype(np.float32)
PICTURES = RNG.standard_normal((ROWS, 7, 9, 2)).astype(np.float32)
TOKENS = RNG.integers(0, 30, (ROWS, 6))
SPARSE = np.where(RNG.random((ROWS, 300)) < 0.05, RNG.integers(1, 256, (ROWS, 300)), 0).astype(
    np.uint8
)
CATEGORICAL = "sparse_categorical_crossentropy"


def classifier(shape: tuple[int, ...], *hidden: Any) -> Any:
    return fnn.Sequential(
        [layers.Input(shape), *hidden, layers.Dense(5, activation="softmax", name="last")]
    )


def dense() -> tuple[Any, dict[str, Any]]:
    """Noise of several kinds, penalties, the global norm, an average, sample weights."""
    model = classifier(
        (37,),
        layers.Dense(48, activation="relu", activity_regularizer="l2"), layers.Dropout(0.3),
        layers.Dense(33, activation="tanh", kernel_regularizer="l2"), layers.Dropout(0.2),
        layers.GaussianNoise(0.1),
    )  # fmt: skip
    model.compile(
        optimizers.Adam(0.01, global_clipnorm=0.5, use_ema=True), CATEGORICAL,
        metrics=["accuracy"], weighted_metrics=["accuracy"],
    )  # fmt: skip
    return model, {"x": X, "y": LABELS, "sample_weight": WEIGHTS}


def pictures() -> tuple[Any, dict[str, Any]]:
    """Augmentation, and noise where a row has several positions."""
    model = classifier(
        (7, 9, 2), layers.RandomFlip("horizontal"), layers.RandomRotation(0.1),
        layers.Conv2D(8, 3, activation="relu"), layers.SpatialDropout2D(0.2), layers.Dropout(0.3),
        layers.MaxPooling2D(), layers.Flatten(),
    )  # fmt: skip
    model.compile(optimizers.SGD(0.05, momentum=0.9, clipnorm=1.0), CATEGORICAL)
    return model, {"x": PICTURES, "y": LABELS}


def branches() -> tuple[Any, dict[str, Any]]:
    """Two inputs, two outputs, an Embedding; a loss that is the sum over its batch; more metrics
    than a header has room for, and one of all rows."""
    numbers, tokens = layers.Input((37,)), layers.Input((6,))
    embedded = layers.Flatten()(layers.Embedding(30, 4)(tokens))
    joined = layers.Concatenate()([layers.Dense(16, activation="selu")(numbers), embedded])
    kind = layers.Dense(5, activation="softmax", name="kind")(joined)
    size = layers.Dense(1, name="size")(joined)
    model = fnn.Model([numbers, tokens], [kind, size])
    model.compile(
        optimizers.Adagrad(0.05),
        {"kind": CATEGORICAL, "size": losses.MeanSquaredError(reduction="sum")},
        loss_weights={"kind": 1.0, "size": 0.01},
        metrics={
            "kind": [metrics.SparseTopKCategoricalAccuracy(1 + k % 4) for k in range(12)],
            "size": [metrics.R2Score()],
        },
    )  # fmt: skip
    return model, {"x": [X, TOKENS], "y": {"kind": LABELS, "size": X[:, 3]}}


def nonzeros() -> tuple[Any, dict[str, Any]]:
    """An input of which the nonzeros are taken, Muon, clipping by value, a constraint."""
    model = classifier(
        (300,), layers.Rescaling(1 / 255), layers.Dense(24, activation="relu"),
        layers.Dense(24, activation="relu", kernel_constraint="unit_norm"),
    )  # fmt: skip
    model.compile(optimizers.Muon(0.01, clipvalue=0.01), CATEGORICAL)
    return model, {"x": SPARSE, "y": LABELS}


def squared(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """One number for its rows, and the gradient of that."""
    return np.mean((y_pred - y_true) ** 2), 2 * (y_pred - y_true) / y_pred.size


class Linear(layers.NumPyLayer):
    """x W"""

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (None, 8)

    def create_weights(self, input_shape: Any) -> None:
        self.add_weight((input_shape[1], 8), "he_uniform", "kernel")

    def forward(self, x: Any, kernel: Any) -> Any:
        return x @ kernel

    def backward(self, x: Any, y: Any, dy: Any, kernel: Any) -> Any:
        return dy @ kernel.T, x.T @ dy


def functions() -> tuple[Any, dict[str, Any]]:
    """A loss and a layer that are functions, and batches of an iterable."""
    model = fnn.Sequential(
        [layers.Input((37,)), layers.Dense(8, "gelu"), layers.LayerNormalization(), Linear(),
         layers.Dense(3)]
    )  # fmt: skip
    model.compile(optimizers.RMSprop(0.01), squared)

    def batches() -> Iterator[Any]:
        for first in itertools.cycle(range(0, ROWS, 32)):
            yield X[first : first + 32], X[first : first + 32, :3]

    return model, {"x": batches(), "steps_per_epoch": 5, "validation_data": (X[:40], X[:40, :3])}


NETS = [dense, pictures, branches, nonzeros, functions]


def trained(
    net: Callable[[], tuple[Any, dict[str, Any]]], distribution: Any = None, **settings: Any
) -> tuple[np.ndarray[Any, Any], dict[str, list[float]]]:
    """Weights and history after two epochs; without batches of an iterable a third is held out."""
    first = distribution is None or distribution.rank == 0
    # What the others draw is not used.
    fnn.utils.set_random_seed(3 if first else 100 + distribution.rank)
    model, arguments = net()
    if "validation_data" not in arguments:
        arguments |= {"batch_size": 32}
        if not isinstance(arguments["x"], list):
            arguments |= {"validation_data": (arguments["x"][:43], arguments["y"][:43])}
    history = model.fit(
        **arguments, epochs=2, verbose=0, distribution=distribution, **settings
    ).history
    return weights_of(model), history


def weights_of(model: Any) -> np.ndarray[Any, Any]:
    return np.concatenate([v.numpy().reshape(-1) for v in model.weights])


# What processes do


def equal(distribution: Any, directory: Path) -> None:
    """Train the nets, on one and on two threads."""
    found: dict[str, Any] = {}
    for net in NETS:
        for threads in (1, 2):
            fnn.set_num_threads(threads)
            weights, history = trained(net, distribution)
            found[f"{net.__name__}/weights/{threads}"] = weights
            for name, values in history.items():
                found[f"{net.__name__}/{name}/{threads}"] = values
    found |= moving_statistics(distribution)
    np.savez(directory / f"{distribution.rank}.npz", **found)


def moving_statistics(distribution: Any) -> dict[str, Any]:
    """Of one batch of 30 rows; and a normalization that trains."""
    normalization = layers.BatchNormalization(momentum=0.0)
    model = classifier((37,), normalization)
    model.compile(optimizers.SGD(0.0), CATEGORICAL)
    model.fit(
        X[:30], LABELS[:30], batch_size=30, shuffle=False, verbose=0, distribution=distribution
    )
    return {
        "moving/mean": normalization.moving_mean.numpy(),
        "moving/variance": normalization.moving_variance.numpy(),
    }


class Failing(callbacks.Callback):
    """Does something after so many batches, in one process."""

    def __init__(self, there: bool, act: Callable[[Any], None], epoch: int = 0) -> None:
        self._there, self._act, self._at, self._epoch = there, act, epoch, 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self._there and self._epoch == self._at and batch == 2:
            self._act(self.model)


class Alarm(callbacks.Callback):
    """A signal soon after a batch has begun, in one process."""

    def __init__(self, there: bool) -> None:
        self._there = there

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if self._there:
            signal.setitimer(signal.ITIMER_REAL, 0.15)


def small() -> Any:
    fnn.utils.set_random_seed(5)
    model = classifier((37,), layers.Dense(16, activation="relu"))
    model.compile("adam", CATEGORICAL)
    return model


def failing(distribution: Any, directory: Path) -> None:
    """Fail in every way that must not leave a process waiting."""
    last = distribution.rank == distribution.size - 1
    found: dict[str, Any] = {}

    def attempt(name: str, x: Any = X, y: Any = LABELS, model: Any = None, **settings: Any) -> None:
        model = model or small()
        settings = {"batch_size": 32, "epochs": 2, "verbose": 0, **settings}
        try:
            model.fit(x, y, distribution=distribution, **settings)
            error = ["none", ""]
        except BaseException as caught:
            error = [type(caught).__name__, str(caught)]
        found[name] = [*error, weights_of(model).tobytes().hex(), model.optimizer.iterations]

    def doing(act: Callable[[Any], None]) -> list[Any]:
        return [Failing(last, act)]

    def raise_error(model: Any) -> None:
        raise KeyError("a callback's own")

    attempt("callback", callbacks=doing(raise_error))
    attempt("ctrl_c", callbacks=doing(lambda model: os.kill(os.getpid(), signal.SIGINT)))
    attempt("stop", callbacks=doing(lambda model: setattr(model, "stop_training", True)))
    attempt("other_weights", callbacks=doing(lambda model: model.set_weights(
        [2 * w for w in model.get_weights()]
    )))  # fmt: skip
    attempt("other_rate", callbacks=doing(
        lambda model: setattr(model.optimizer, "learning_rate", 0.5)
    ))  # fmt: skip
    huge = X.copy()
    huge[::40] *= 1e30  # few rows, which one process or another has
    attempt("nonfinite", x=huge)
    attempt("bad_input", x=X[:, :3] if last else X)
    attempt("other_data", x=2 * X if last else X)
    attempt("other_batch_size", batch_size=16 if last else 32)
    attempt("statistics", callbacks=[callbacks.GradientHealth()])

    def batches(of: Any) -> list[Any]:
        return [(of[k : k + 32], LABELS[k : k + 32]) for k in range(0, 96, 32)]

    attempt("other_batches", x=batches(2 * X if last else X), y=None)
    attempt("fewer_batches", x=batches(X)[: 2 if last else 3], y=None)

    faults = [last]

    def breaks(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
        if any(faults):
            raise ZeroDivisionError("in a loss")
        return squared(y_true, y_pred)

    model = fnn.Sequential([layers.Input((37,)), layers.Dense(3)])
    model.compile("sgd", breaks)
    attempt("loss", y=X[:, :3], model=model, shuffle=False)
    faults.clear()
    again = fnn.Sequential([layers.Input((37,)), layers.Dense(3)])
    again.compile("sgd", breaks)
    again.set_weights(model.get_weights())
    attempt("loss_again", y=X[:, :3], model=model, shuffle=False)
    attempt("loss_anew", y=X[:, :3], model=again, shuffle=False)
    found["losses"] = [model.history.history, again.history.history]
    # A step of about a second in each process; the signal comes in its midst.
    model = fnn.Sequential([layers.Input((37,)), *(layers.Dense(2048) for _ in range(2))])
    model.compile("sgd", "mse")
    many = np.tile(X, (32, 1))
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    attempt(
        "within_a_step", many, np.tile(many, (1, 56))[:, :2048], model, epochs=1,
        batch_size=len(many), callbacks=[Alarm(last)],
    )  # fmt: skip
    attempt("none")
    (directory / f"{distribution.rank}.json").write_text(json.dumps(found))


class Counting(callbacks.Callback):
    """A callback of the user's, which runs everywhere."""

    def __init__(self) -> None:
        self.logs: list[float] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.logs.append(logs["val_loss"])


def resuming(distribution: Any, directory: Path) -> None:
    """What writes does so once; a training that is cut off goes on to the same bits."""
    settings = {
        "x": X, "y": LABELS, "batch_size": 32, "epochs": 3, "validation_split": 0.3, "verbose": 2,
        "distribution": distribution,
    }  # fmt: skip

    def run(*more: Any) -> tuple[str, Any]:
        model = classifier((37,), layers.Dense(16, activation="relu"), layers.Dropout(0.3))
        model.compile("adam", CATEGORICAL)
        counting = Counting()
        early = callbacks.EarlyStopping(patience=1, restore_best_weights=True, verbose=1)
        try:
            model.fit(**settings, callbacks=[counting, early, *more])
        except (KeyError, fnn.distribution.ProcessError):
            return "cut off", None
        return weights_of(model).tobytes().hex(), [model.history.history, counting.logs]

    def backup() -> Any:
        return callbacks.BackupAndRestore(directory / "backup", save_freq=1)

    def raise_error(model: Any) -> None:
        raise KeyError

    found: dict[str, Any] = {}
    for name in ("whole", "cut off", "gone on"):
        fnn.utils.set_random_seed(9 if name != "gone on" else 77)
        if name == "whole":
            logger = callbacks.CSVLogger(directory / "log.csv")
            saver = callbacks.ModelCheckpoint(directory / "{epoch}.safetensors")
            found[name] = run(logger, saver)
        elif name == "cut off":
            found[name] = run(backup(), Failing(distribution.rank == 0, raise_error, epoch=1))
        else:
            # What never happens is there for the same batches to be heard of.
            found[name] = run(backup(), Failing(False, raise_error))
    (directory / f"{distribution.rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    globals()[sys.argv[1]](fnn.distribution.DataParallel(), Path(sys.argv[2]))
