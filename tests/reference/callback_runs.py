"""What callbacks decide on a stream of metrics, written down epoch by epoch.

The same code drives Keras's callbacks (``make_callbacks.py``) and fastnn's (``test_callbacks.py``).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAN = float("nan")

STREAMS: dict[str, list[float | None]] = {
    "falls": [1.0, 0.8, 0.6, 0.5, 0.4, 0.3, 0.25, 0.2, 0.15, 0.1],
    "rises": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0],
    "flat": [0.5] * 12,
    "valley": [0.9, 0.7, 0.5, 0.4, 0.45, 0.42, 0.41, 0.405, 0.6, 0.7, 0.8, 0.9],
    "noisy": [0.9, 0.95, 0.7, 0.75, 0.71, 0.69, 0.8, 0.65, 0.66, 0.67, 0.64, 0.9, 0.91, 0.92],
    "slow": [0.5, 0.4995, 0.499, 0.4985, 0.498, 0.4975, 0.497, 0.4965, 0.496, 0.4955],
    "nan later": [0.9, 0.8, NAN, 0.7, NAN, NAN, NAN, 0.6],
    "nan first": [NAN, 0.8, 0.7, 0.6, 0.5],
    "infinite": [float("inf"), 0.8, float("-inf"), 0.6, 0.5],
    # None: an epoch without this log.
    "missing": [None, 0.9, None, 0.8, None, None, 0.85, 0.86, None, 0.87],
}

EARLY_STOPPING: list[dict[str, Any]] = [
    {},
    {"patience": 1},
    {"patience": 3},
    {"patience": 3, "restore_best_weights": True},
    {"patience": 3, "mode": "max", "restore_best_weights": True},
    {"patience": 2, "min_delta": 0.01, "restore_best_weights": True},
    {"patience": 2, "min_delta": -0.01, "mode": "max"},
    {"patience": 3, "baseline": 0.5, "restore_best_weights": True},
    {"patience": 2, "baseline": 0.01, "restore_best_weights": True},
    {"patience": 2, "start_from_epoch": 4, "restore_best_weights": True},
    {"patience": 0, "start_from_epoch": 3, "baseline": 0.45, "mode": "max"},
    {"patience": 50, "restore_best_weights": True},
    {"patience": 2, "baseline": 0.6, "mode": "max", "restore_best_weights": True},
    {"patience": 1, "start_from_epoch": 2, "min_delta": 0.05, "restore_best_weights": True},
    {"patience": 2, "start_from_epoch": 50, "restore_best_weights": True},
]

REDUCE_LR: list[dict[str, Any]] = [
    {"patience": 1},
    {"patience": 0, "factor": 0.5},
    {"patience": 2, "factor": 0.5},
    {"patience": 2, "factor": 0.2, "cooldown": 2},
    {"patience": 1, "factor": 0.5, "min_lr": 0.03125},
    {"patience": 2, "mode": "max", "factor": 0.5, "cooldown": 1},
    {"patience": 1, "min_delta": 0.1, "factor": 0.5},
    {"patience": 1, "factor": 0.5, "min_lr": 0.1},
    {"patience": 0, "factor": 0.5, "cooldown": 3, "min_delta": 0},
]

FILEPATH = "{epoch:02d}-{val_loss:.3f}"

CHECKPOINT: list[dict[str, Any]] = [
    {},
    {"save_best_only": True},
    {"save_best_only": True, "mode": "max"},
    {"save_best_only": True, "initial_value_threshold": 0.5},
    {"save_best_only": True, "initial_value_threshold": 0.5, "mode": "max"},
    {"save_best_only": True, "save_weights_only": True},
    {"save_freq": 4},
    {"save_freq": 5, "save_best_only": True, "mode": "min"},
    {"filepath": "best", "save_best_only": True},
    {"filepath": "{epoch}-{batch:03d}", "save_freq": 2, "save_weights_only": True},
]

SCHEDULER: list[dict[str, Any]] = [{"schedule": "halve"}, {"schedule": "of the epoch alone"}]

SCHEDULES: dict[str, Any] = {
    "halve": lambda epoch, rate: rate / 2,
    "of the epoch alone": lambda epoch: 0.3 / (epoch + 1),
}

CSV: list[dict[str, Any]] = [
    {},
    {"separator": ";"},
    {"append": True},
    {"append": True, "filename": "exists.csv"},
    {"filename": "exists.csv"},
]

BATCHES_PER_EPOCH = 3


class FakeOptimizer:
    """As much of an optimizer as callbacks use."""

    def __init__(self) -> None:
        self.learning_rate = 0.1


class FakeModel:
    """As much of a model as callbacks use; its weights are the number of epochs trained."""

    def __init__(self) -> None:
        self.optimizer = FakeOptimizer()
        self.stop_training = False
        self.weights = 0
        self.saved: list[str] = []

    def get_weights(self) -> list[int]:
        return [self.weights]

    def set_weights(self, weights: list[int]) -> None:
        (self.weights,) = weights

    def save(self, path: str, overwrite: bool = True) -> None:
        self.saved.append(f"model {_stem(path)}")

    def save_weights(self, path: str, overwrite: bool = True) -> None:
        self.saved.append(f"weights {_stem(path)}")


def _stem(path: str) -> str:
    for suffix in (".safetensors", ".weights.h5", ".keras"):
        path = path.removesuffix(suffix)
    return path


def cases() -> Iterator[tuple[str, dict[str, Any], str]]:
    """Class, arguments and stream of every case; a checkpoint's ``filepath`` has no suffix."""
    for name, configs in (
        ("EarlyStopping", EARLY_STOPPING),
        ("ReduceLROnPlateau", REDUCE_LR),
        ("ModelCheckpoint", CHECKPOINT),
        ("LearningRateScheduler", SCHEDULER),
        ("TerminateOnNaN", [{}, {"raise_error": True}]),
        ("CSVLogger", CSV),
    ):
        path = {"ModelCheckpoint": {"filepath": FILEPATH}, "CSVLogger": {"filename": "new.csv"}}
        for config in configs:
            full = path.get(name, {}) | config
            for stream in STREAMS:
                # A file name can't have a log that isn't there.
                if stream != "missing" or full.get("filepath") != FILEPATH:
                    yield name, full, stream


def arguments(name: str, config: dict[str, Any], directory: Path) -> dict[str, Any]:
    """The callback's arguments: what JSON can't hold, and files in ``directory``."""
    if name == "LearningRateScheduler":
        return {"schedule": SCHEDULES[config["schedule"]]}
    if name == "CSVLogger":
        path = directory / config["filename"]
        if path.name == "exists.csv":
            path.write_text("epoch,old\n0,1.5\n")
        return config | {"filename": str(path)}
    return dict(config)


def run(callback: Any, stream: list[float | None]) -> dict[str, Any]:
    """Train a fake model on ``stream``, the values of ``val_loss``, as ``fit`` would.

    Returns:
        Counters and learning rate after each epoch; names of the last logs, weights, saves, a CSV
        file and an error at the end.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of missing logs
        return _run(callback, stream)


def _run(callback: Any, stream: list[float | None]) -> dict[str, Any]:
    model = FakeModel()
    callback.set_model(model)
    callback.on_train_begin({})
    counters = [name for name in ("wait", "cooldown_counter") if hasattr(callback, name)]
    if hasattr(callback, "best"):
        counters.append("best")
    after: dict[str, list[Any]] = {name: [] for name in ["learning_rate", *counters]}
    end: dict[str, Any] = {}
    batches = 0
    for epoch, value in enumerate(stream):
        logs = {"loss": 1.0} if value is None else {"loss": value, "val_loss": value}
        callback.on_epoch_begin(epoch, {})
        for batch in range(BATCHES_PER_EPOCH):
            callback.on_train_batch_begin(batch, {})
            batches += 1
            try:
                callback.on_train_batch_end(batch, dict(logs))
            except RuntimeError:
                end["error in batch"] = batches
            if model.stop_training or "error in batch" in end:
                break
        if "error in batch" in end:
            break
        model.weights = epoch + 1
        callback.on_epoch_end(epoch, logs)
        after["learning_rate"].append(model.optimizer.learning_rate)
        end["logs"] = list(logs)
        for name in counters:
            after[name].append(getattr(callback, name))
        if model.stop_training:
            break
    callback.on_train_end({})
    if hasattr(callback, "filename"):
        end["file"] = Path(callback.filename).read_bytes().decode()
    end["stopped_epoch"] = getattr(callback, "stopped_epoch", None)
    return {**after, **end, "batches": batches, "weights": model.weights, "saved": model.saved}
