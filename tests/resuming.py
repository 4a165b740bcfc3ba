"""Trainings that are killed and go on, for test_resume.py and tools/kill.py.

As a program, ``python resuming.py CASE DIRECTORY``, it trains CASE with backups in
DIRECTORY, prints "training" when that begins, and leaves all that came of it in DIRECTORY/result.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

CASES = ("batchnorm", "regression", "pictures", "noise", "generator")
SEED = 5


class Batches:
    """An iterable that begins anew with each epoch."""

    def __init__(self, x: Any, y: Any, size: int) -> None:
        self._x, self._y, self._size = x, y, size

    def __iter__(self) -> Iterator[Any]:
        for first in range(0, len(self._x), self._size):
            part = slice(first, first + self._size)
            yield self._x[part], self._y[part]


def forever(batches: Batches) -> Iterator[Any]:
    """A generator, which can't be begun again."""
    while True:
        yield from batches


def data(n_features: int = 32, n: int = 700) -> tuple[Any, Any]:
    """Rows and their classes, out of 5; many of them can't be told."""
    generator = np.random.default_rng(1)
    y = generator.integers(0, 5, n)
    x = generator.normal(size=(5, n_features))[y] + 2.5 * generator.normal(size=(n, n_features))
    return x.astype(np.float32), y


def compiled(net: list[Any], optimizer: Any, loss: str, metrics: Any, shape: Any = (32,)) -> Any:
    """A model of these layers."""
    import fastnn as fnn

    model = fnn.Sequential([fnn.layers.Input(shape), *net])
    model.compile(optimizer, loss, metrics=metrics)
    return model


def batchnorm(directory: Path) -> tuple[Any, dict[str, Any], int | str]:
    """Normalization, dropout, a schedule, averages, validation, early stopping, checkpoints."""
    from fastnn import callbacks, layers, optimizers

    rate = optimizers.schedules.CosineDecay(3e-3, 1600)
    net = [
        layers.Dense(96), layers.BatchNormalization(), layers.Activation("relu"),
        layers.Dropout(0.3), layers.Dense(96, "relu"), layers.Dropout(0.2),
        layers.Dense(5, "softmax"),
    ]  # fmt: skip
    model = compiled(
        net, optimizers.Adam(rate, use_ema=True, ema_overwrite_frequency=50, global_clipnorm=1.0),
        "sparse_categorical_crossentropy", ["accuracy"],
    )  # fmt: skip
    x, y = data()
    best = directory / "{epoch:03d}-{val_accuracy:.4f}.safetensors"
    hooks = [
        callbacks.EarlyStopping(patience=25, restore_best_weights=True),
        callbacks.CSVLogger(directory / "log.csv"),
        callbacks.ModelCheckpoint(best, "val_accuracy", save_best_only=True, max_to_keep=2),
    ]
    arguments = {"x": x, "y": y, "validation_split": 0.3, "batch_size": 32, "epochs": 100}
    return model, arguments | {"callbacks": hooks}, 7


def regression(directory: Path) -> tuple[Any, dict[str, Any], int | str]:
    """Weighted rows, metrics of whole epochs, batches to validate with, a plateau."""
    from fastnn import callbacks, layers, optimizers

    net = [layers.Dense(96, "tanh"), layers.LayerNormalization(), layers.Dense(1)]
    model = compiled(
        net, optimizers.SGD(0.02, momentum=0.9, nesterov=True), "mse", ["r2_score", "mae"]
    )
    x, _ = data()
    y = x[:, :3].sum(1, keepdims=True)
    hooks = [
        callbacks.ReduceLROnPlateau(patience=3, factor=0.5, cooldown=1),
        callbacks.CSVLogger(directory / "log.csv", separator=";"),
    ]
    weight = np.linspace(0.5, 2, 500)
    arguments = {
        "x": x[:500], "y": y[:500], "sample_weight": weight, "batch_size": 20, "epochs": 60,
        "validation_data": Batches(x[500:], y[500:], 50),
    }  # fmt: skip
    return model, arguments | {"callbacks": hooks}, "0.03s"


def pictures(directory: Path) -> tuple[Any, dict[str, Any], int | str]:
    """A small convolutional net with augmentation."""
    from fastnn import callbacks, layers, optimizers

    x, y = data(64, 300)
    pixels = np.clip(128 + 30 * x.reshape(-1, 8, 8, 1), 0, 255).astype(np.uint8)
    net = [
        layers.Rescaling(1 / 255), layers.RandomFlip("horizontal"),
        layers.RandomTranslation(0.1, 0.1), layers.Conv2D(8, 3, padding="same", activation="relu"),
        layers.BatchNormalization(), layers.MaxPooling2D(), layers.SpatialDropout2D(0.1),
        layers.Flatten(), layers.Dense(5, "softmax"),
    ]  # fmt: skip
    model = compiled(
        net, optimizers.RMSprop(1e-3), "sparse_categorical_crossentropy", ["accuracy"], (8, 8, 1)
    )
    last = directory / "{epoch}.safetensors"
    hooks = [
        callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.97),
        callbacks.ModelCheckpoint(last, save_weights_only=True, max_to_keep=3),
    ]
    arguments = {"x": pixels, "y": y, "validation_split": 0.2, "batch_size": 16, "epochs": 50}
    return model, arguments | {"callbacks": hooks}, "epoch"


def noise(directory: Path) -> tuple[Any, dict[str, Any], int | str]:
    """Epochs of several passes, noise, dropped connections, figures of layers, files by batches."""
    from fastnn import callbacks, layers, optimizers

    net = [
        layers.GaussianNoise(0.2), layers.Dense(96, "gelu", dropconnect=0.2),
        layers.Residual([layers.Dense(96, "relu"), layers.Dropout(0.2)]),
        layers.Dense(5, "softmax"),
    ]  # fmt: skip
    model = compiled(
        net,
        optimizers.AdamW(1e-3, adaptive_clip=0.05),
        "sparse_categorical_crossentropy",
        ["f1_score"],
    )
    x, y = data()
    by_batch = directory / "{epoch}-{batch}.safetensors"
    hooks = [callbacks.ModelCheckpoint(by_batch, save_freq=9, max_to_keep=2)]
    arguments = {"x": x, "y": y, "steps_per_epoch": 30, "batch_size": 40, "epochs": 25}
    return model, arguments | {"callbacks": hooks}, 4


def generator(directory: Path) -> tuple[Any, dict[str, Any], int | str]:
    """Batches of a generator, and others to validate with."""
    from fastnn import callbacks, layers, optimizers

    net = [layers.Dense(96, "relu"), layers.Dropout(0.1), layers.Dense(5, "softmax")]
    model = compiled(net, optimizers.Muon(1e-3), "sparse_categorical_crossentropy", ["accuracy"])
    x, y = data()
    hooks = [callbacks.CSVLogger(directory / "log.csv")]
    arguments = {
        "x": forever(Batches(x[:500], y[:500], 30)), "steps_per_epoch": 23, "epochs": 40,
        "validation_data": forever(Batches(x[500:], y[500:], 30)), "validation_steps": 3,
    }  # fmt: skip
    return model, arguments | {"callbacks": hooks}, 5


def train(case: str, directory: Path) -> None:
    """Train, or go on; leave ``result``."""
    import fastnn as fnn
    from fastnn import callbacks

    backup = directory / "backup"
    # What follows a backup is in it: other weights and seeds must make no difference.
    # (The first write may have been killed half way: its leftover is no backup.)
    resumed = any(backup.glob("latest.safetensors*"))
    fnn.utils.set_random_seed(random.SystemRandom().randrange(2**31) if resumed else SEED)
    make: Callable[[Path], Any] = globals()[case]
    model, arguments, save_freq = make(directory)
    print("training", flush=True)
    hooks = [callbacks.BackupAndRestore(backup, save_freq), *arguments.pop("callbacks")]
    history = model.fit(**arguments, callbacks=hooks, verbose=0)
    arrays = {f"weight {i}": w for i, w in enumerate(model.get_weights())}
    arrays |= {name: value for name, value in enumerate_state(model)}
    known = {
        "history": history.history,
        "epochs": history.epoch,
        "rate": float(model.optimizer.learning_rate),
        "callbacks": [described(each) for each in hooks[1:]],
        "random": fnn.utils.random_state()["counters"],
    }
    np.savez(directory / "arrays.npz", **arrays)
    (directory / "known.json").write_text(json.dumps(known))
    (directory / "result").touch()


def enumerate_state(model: Any) -> Iterator[tuple[str, Any]]:
    """The optimizer's state, without the model's automatic names."""
    for number, (name, value) in enumerate(model._training_state().items()):
        yield f"state {number} {name.rpartition('/')[2]}", value


def described(callback: Any) -> dict[str, Any]:
    """What a callback knows, but for weights and directories."""
    names = ("best", "best_epoch", "wait", "cooldown_counter", "stopped_epoch")
    known = {name: getattr(callback, name) for name in names if hasattr(callback, name)}
    if hasattr(callback, "kept"):
        known["kept"] = [os.path.basename(path) for path in callback.kept]
    if getattr(callback, "best_weights", None) is not None:
        known["best_weights"] = [float(np.sum(w, dtype=np.float64)) for w in callback.best_weights]
    return known


def outcome(directory: Path) -> dict[str, Any]:
    """All that a training has left, to be compared with ==."""
    from fastnn.models import container

    with np.load(directory / "arrays.npz") as arrays:
        found: dict[str, Any] = {
            name: (arrays[name].dtype.str, arrays[name].shape, arrays[name].tobytes())
            for name in arrays
        }
    found |= json.loads((directory / "known.json").read_text())
    for path in directory.iterdir():
        if path.suffix == ".csv":
            found[path.name] = path.read_bytes()
        elif path.suffix == ".safetensors":
            # Not the bytes of the file: safetensors writes its header in any order.
            content = container.read(path)
            arrays = [*content.weights.values(), *content.training_state.values()]
            found[path.name] = [array.tobytes() for array in arrays]
    return found


@dataclass
class Killed:
    """What came of one training that was killed now and then.

    Attributes:
        kills: How many kills it had.
        differences: Names of what is not as it is without.
    """

    kills: int
    differences: list[str]


def start(case: str, directory: Path, threads: int) -> subprocess.Popen[str]:
    """A training in a process of its own, which has just begun."""
    folder = str(Path(__file__).parent)
    path = os.pathsep.join([folder, *filter(None, [os.environ.get("PYTHONPATH")])])
    process = subprocess.Popen(
        [sys.executable, __file__, case, str(directory)],
        env=os.environ | {"PYTHONPATH": path, "FASTNN_NUM_THREADS": str(threads)},
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "training\n"
    return process


def run_whole(case: str, directory: Path, threads: int = 2) -> tuple[dict[str, Any], float]:
    """What comes of a training that is left alone, and the seconds that it takes."""
    directory.mkdir()
    process = start(case, directory, threads)
    begun = time.perf_counter()
    process.communicate(timeout=300)
    assert process.returncode == 0
    return outcome(directory), time.perf_counter() - begun


def run_killed(
    case: str, directory: Path, wanted: dict[str, Any], seconds: float, kills: int, dice: Any
) -> Killed:
    """Kill a training at random moments, let it go on each time, and at last to its end."""
    directory.mkdir()
    done = 0
    while not (directory / "result").exists():
        process = start(case, directory, dice.choice([1, 2, 3]))
        try:
            process.wait(dice.uniform(0, 1.2 * seconds / kills) if done < kills else 300)
            assert process.returncode == 0, f"{case} failed"
        except subprocess.TimeoutExpired:
            assert done < kills, f"{case} hangs"
            process.kill()
            process.wait()
            done += 1
        finally:
            assert process.stdout is not None
            process.stdout.close()
    found = outcome(directory)
    names = sorted({*found, *wanted})
    return Killed(done, [n for n in names if found.get(n) != wanted.get(n)])


if __name__ == "__main__":
    train(sys.argv[1], Path(sys.argv[2]))
