"""Callbacks on a fake model: what they decide, write and print, and when they are called."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from reference.callback_runs import STREAMS, FakeModel, arguments, run

from fastnn import callbacks, metrics
from fastnn.callbacks.base import Logs

REFERENCE = json.loads((Path(__file__).parent / "reference" / "callbacks.json").read_text())


def identifier(case: dict[str, Any]) -> str:
    settings = "-".join(f"{key}={value}" for key, value in case["config"].items())
    return f"{case['class_name']}-{settings}-{case['stream']}"


@pytest.mark.parametrize("case", REFERENCE["cases"], ids=identifier)
def test_decisions_are_those_of_keras(case: dict[str, Any], tmp_path: Path) -> None:
    config = arguments(case["class_name"], case["config"], tmp_path)
    if "filepath" in config:
        config["filepath"] += ".safetensors"
    callback = getattr(callbacks, case["class_name"])(**config)
    for _ in range(2):  # a callback may serve twice
        result = run(callback, STREAMS[case["stream"]])
        # As texts, because nan is not equal to nan.
        assert json.dumps(result) == json.dumps(case["result"])
        if case["class_name"] == "ModelCheckpoint" or config.get("append"):
            break  # it keeps its best value, or its file, as Keras's does


def train(
    hooks: list[callbacks.Callback],
    epochs: list[Logs],
    model: Any = None,
    *,
    progress: int = 0,
    **params: Any,
) -> callbacks.CallbackList:
    """Call the hooks as ``fit`` does, two batches an epoch."""
    params = {"verbose": 0, "epochs": len(epochs), "steps": 2, "examples": 64} | params
    hooklist = callbacks.CallbackList(
        hooks, add_history=True, add_progbar=True, model=model or FakeModel(), **params
    )
    hooklist.on_train_begin()
    for epoch, logs in enumerate(epochs):
        hooklist.on_epoch_begin(epoch)
        batch_logs = {name: value for name, value in logs.items() if not name.startswith("val_")}
        for batch in range(2):
            hooklist.on_train_batch_begin(batch)
            hooklist.on_train_batch_end(batch, batch_logs)
        for done in range(progress):
            hooklist.on_train_progress(64 * (done + 1) // progress, batch_logs)
        hooklist.on_test_begin()
        hooklist.on_test_end(logs)
        hooklist.on_epoch_end(epoch, logs)
        if hooklist.callbacks[0].model.stop_training:
            break
    hooklist.on_train_end()
    return hooklist


def find(hooklist: callbacks.CallbackList, kind: type) -> Any:
    return next(each for each in hooklist.callbacks if isinstance(each, kind))


EPOCHS: list[Logs] = [
    {"loss": 1.0, "accuracy": 0.5, "val_loss": 1.5},
    {"loss": 0.5, "accuracy": 0.75, "val_loss": 0.0004},
]


# The list


def test_history() -> None:
    model = FakeModel()
    history = find(train([], EPOCHS, model), callbacks.History)
    assert history.history == {
        "loss": [1.0, 0.5],
        "accuracy": [0.5, 0.75],
        "val_loss": [1.5, 0.0004],
    }
    assert history.epoch == [0, 1]
    assert history.params["epochs"] == 2
    assert model.history is history  # type: ignore[attr-defined]


def test_own_history_and_progress_bar_are_kept() -> None:
    own: list[callbacks.Callback] = [callbacks.History(), callbacks.ProgbarLogger()]
    hooklist = callbacks.CallbackList(own, add_history=True, add_progbar=True)
    assert hooklist.callbacks == own
    assert callbacks.CallbackList(own[0]).callbacks == own[:1]
    assert callbacks.CallbackList().callbacks == []


def test_a_callback_need_not_call_super() -> None:
    class Own(callbacks.Callback):
        def __init__(self) -> None:
            self.seen: list[int] = []

        def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
            self.seen.append(self.params["epochs"])

    own = Own()
    assert own.model is None and dict(own.params) == {}
    train([own], EPOCHS)
    assert own.seen == [2, 2]


def test_what_one_callback_adds_to_the_logs_the_next_ones_see() -> None:
    add = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(extra=7.0))
    epochs = [dict(logs) for logs in EPOCHS]
    history = find(train([add], epochs), callbacks.History)
    assert history.history["extra"] == [7.0, 7.0]
    assert epochs == EPOCHS  # the caller's dict stays his


@pytest.mark.parametrize("bad", [3, ["History"], [callbacks.History], [lambda: 1], "History"])
def test_not_a_callback(bad: Any) -> None:
    with pytest.raises(TypeError, match="callbacks must be"):
        callbacks.CallbackList(bad)


class OldHook(callbacks.Callback):
    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self.last = batch


@pytest.mark.parametrize(
    ("callback", "train_hooks", "test_hooks", "predict_hooks"),
    [
        (callbacks.Callback(), False, False, False),
        (callbacks.History(), False, False, False),
        (callbacks.ProgbarLogger(), False, False, False),
        (callbacks.EarlyStopping(), False, False, False),
        (callbacks.ReduceLROnPlateau(), False, False, False),
        (callbacks.CSVLogger("x"), False, False, False),
        (callbacks.LearningRateScheduler(lambda epoch: 0.1), False, False, False),
        (callbacks.ModelCheckpoint("a.safetensors"), False, False, False),
        (callbacks.ModelCheckpoint("a.safetensors", save_freq=3), True, False, False),
        (callbacks.TerminateOnNaN(), True, False, False),
        (OldHook(), True, False, False),
        (callbacks.LambdaCallback(on_epoch_end=print), False, False, False),
        (callbacks.LambdaCallback(on_train_batch_begin=print), True, False, False),
        (callbacks.LambdaCallback(on_test_batch_end=print), False, True, False),
        (callbacks.LambdaCallback(on_predict_batch_end=print), False, False, True),
        (callbacks.LambdaCallback(on_train_progress=print), False, False, False),
    ],
)
def test_who_must_be_called_for_every_batch(
    callback: callbacks.Callback, train_hooks: bool, test_hooks: bool, predict_hooks: bool
) -> None:
    hooklist = callbacks.CallbackList([callbacks.Callback(), callback])
    assert hooklist.has_batch_hooks is train_hooks
    assert hooklist.has_test_batch_hooks is test_hooks
    assert hooklist.has_predict_batch_hooks is predict_hooks


def test_the_old_name_of_a_batch_hook() -> None:
    old = OldHook()
    train([old], EPOCHS)
    assert old.last == 1


def test_predict_and_test_hooks_reach_the_callbacks() -> None:
    calls: list[str] = []
    names = [
        f"on_{mode}_{part}"
        for mode in ("test", "predict")
        for part in ("begin", "batch_begin", "batch_end", "end")
    ]
    hooks = {name: lambda *args, name=name: calls.append(name) for name in names}
    hooklist = callbacks.CallbackList(callbacks.LambdaCallback(**hooks))  # type: ignore[arg-type]
    for name in names:
        getattr(hooklist, name)(*([0] if "batch" in name else []))
    assert calls == names


# Monitors


@pytest.mark.parametrize(
    ("monitor", "names", "better"),
    [
        ("loss", [], "min"),
        ("val_loss", [], "min"),
        ("val_digit_loss", [], "min"),
        ("val_accuracy", [], "max"),
        ("digit_acc", [], "max"),
        ("val_mse", ["mse"], "min"),
        ("val_digit_mae", ["mae"], "min"),
        ("top3", [metrics.SparseTopKCategoricalAccuracy(3, "top3")], "max"),
    ],
)
def test_auto_mode(monitor: str, names: list[Any], better: str) -> None:
    model = FakeModel()
    model.metrics = [metrics.get(name) for name in names]  # type: ignore[attr-defined]
    epochs: list[Logs] = [{monitor: value} for value in (0.5, 0.6, 0.4)]
    stop = callbacks.EarlyStopping(monitor, patience=5)
    train([stop], epochs, model)
    assert stop.best == (0.4 if better == "min" else 0.6)


@pytest.mark.parametrize(
    "callback",
    [
        callbacks.EarlyStopping("val_f1"),
        callbacks.ReduceLROnPlateau("val_f1"),
        callbacks.ModelCheckpoint("a.safetensors", "val_f1", save_best_only=True),
    ],
)
def test_unknown_direction_is_said_before_training(callback: callbacks.Callback) -> None:
    callback.set_model(FakeModel())
    with pytest.raises(ValueError, match=r"'val_f1' .* mode='max' or mode='min'"):
        callback.on_train_begin()


@pytest.mark.parametrize(
    ("callback", "n_warnings"),
    [
        (callbacks.EarlyStopping("val_f1", mode="max"), 2),
        (callbacks.ReduceLROnPlateau("val_f1", mode="max"), 2),
        (callbacks.ModelCheckpoint("a.safetensors", "f1", save_best_only=True, mode="max"), 2),
    ],
)
def test_a_missing_log_warns(callback: callbacks.Callback, n_warnings: int) -> None:
    with pytest.warns(UserWarning, match=r"no '.*f1' in epoch \d.*; there are loss") as seen:
        train([callback], EPOCHS)
    assert len(seen) == n_warnings


def test_best_weights_come_back_when_epochs_run_out(capsys: pytest.CaptureFixture[str]) -> None:
    model = FakeModel()
    stop = callbacks.EarlyStopping(patience=100, restore_best_weights=True, verbose=1)
    stop.set_model(model)
    stop.on_train_begin()
    for epoch, value in enumerate([3.0, 1.0, 2.0]):
        model.weights = epoch + 1
        stop.on_epoch_end(epoch, {"val_loss": value})
    stop.on_train_end()
    assert (model.weights, model.stop_training, stop.best_epoch) == (2, False, 1)
    assert capsys.readouterr().out == "Restoring the weights of the best epoch, 2\n"


def test_reduce_lr_logs_and_says(capsys: pytest.CaptureFixture[str]) -> None:
    epochs: list[Logs] = [{"val_loss": 1.0}] * 3
    reduce = callbacks.ReduceLROnPlateau(patience=1, factor=0.5, verbose=1)
    history = find(train([reduce], epochs), callbacks.History)
    assert history.history["learning_rate"] == [0.1, 0.1, 0.05]
    assert "Epoch 2: learning rate reduced to 0.05" in capsys.readouterr().out


# Learning rate


@pytest.mark.parametrize(
    "schedule", [lambda epoch, rate: rate / 2, lambda epoch: 0.1 / 2 ** (epoch + 1)]
)
def test_learning_rate_scheduler(schedule: Any) -> None:
    scheduler = callbacks.LearningRateScheduler(schedule)
    history = find(train([scheduler], EPOCHS), callbacks.History)
    assert history.history["learning_rate"] == [0.05, 0.025]


def test_learning_rate_scheduler_refuses() -> None:
    with pytest.raises(TypeError, match="schedule must be a function"):
        callbacks.LearningRateScheduler(0.1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"must give a number, got None .* epoch 1"):
        train([callbacks.LearningRateScheduler(lambda epoch, rate: None)], EPOCHS)  # type: ignore

    def faulty(epoch: int, rate: float) -> float:
        raise TypeError("inside")

    with pytest.raises(TypeError, match="inside"):
        train([callbacks.LearningRateScheduler(faulty)], EPOCHS)


# Files


def test_checkpoint_paths(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = FakeModel()
    path = tmp_path / "new" / "{epoch:02d}-{val_loss:.4f}.safetensors"
    train([callbacks.ModelCheckpoint(path, verbose=1, save_best_only=True)], EPOCHS, model)
    assert (tmp_path / "new").is_dir()
    assert model.saved == [f"model {tmp_path}/new/01-1.5000", f"model {tmp_path}/new/02-0.0004"]
    assert capsys.readouterr().out.splitlines() == [
        "Epoch 1: val_loss improved from nothing to 1.50000",
        f"Epoch 1: saved to {tmp_path}/new/01-1.5000.safetensors",
        "Epoch 2: val_loss improved from 1.50000 to 0.00040",
        f"Epoch 2: saved to {tmp_path}/new/02-0.0004.safetensors",
    ]


def test_checkpoint_by_batches() -> None:
    model = FakeModel()
    checkpoint = callbacks.ModelCheckpoint(
        "{epoch}-{batch}.safetensors", save_freq=2, save_weights_only=True
    )
    train([checkpoint], EPOCHS, model)
    assert model.saved == ["weights 1-2", "weights 2-2"]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: callbacks.ModelCheckpoint("model.keras"), ValueError, "must end in"),
        (lambda: callbacks.ModelCheckpoint("a.safetensors", save_freq=0), ValueError, "save_freq"),
        (lambda: callbacks.ModelCheckpoint("a.safetensors", save_freq="b"), ValueError, "'b'"),
        (lambda: callbacks.ModelCheckpoint("a.safetensors", save_freq=1.5), TypeError, "1.5"),
        (lambda: callbacks.EarlyStopping(mode="lowest"), ValueError, "EarlyStopping: mode"),
        (lambda: callbacks.EarlyStopping(patience=-1), ValueError, "EarlyStopping: patience"),
        (lambda: callbacks.EarlyStopping(patience=2.5), TypeError, "EarlyStopping: patience"),
        (lambda: callbacks.ReduceLROnPlateau(factor=1.0), ValueError, "factor .* < 1, got 1.0"),
        (lambda: callbacks.CSVLogger("a", separator="::"), ValueError, "separator"),
        (lambda: callbacks.LambdaCallback(on_epoch=print), TypeError, "no hook 'on_epoch'"),
        (lambda: callbacks.LambdaCallback(on_train_end=3), TypeError, "on_train_end"),
    ],
)
def test_refusals(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_checkpoint_path_with_an_unknown_log() -> None:
    checkpoint = callbacks.ModelCheckpoint("{val_lss}.safetensors")
    with pytest.raises(ValueError, match=r"'val_lss'; there are epoch, loss, accuracy, val_loss"):
        train([checkpoint], EPOCHS)


def rows(path: Path, **options: Any) -> list[list[str]]:
    with open(path, newline="") as file:
        return list(csv.reader(file, **options))


def test_csv_logger(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    train([callbacks.CSVLogger(path)], EPOCHS)
    wanted = [
        ["epoch", "accuracy", "loss", "val_loss"],
        ["0", "0.5", "1.0", "1.5"],
        ["1", "0.75", "0.5", "0.0004"],
    ]
    assert rows(path) == wanted
    train([callbacks.CSVLogger(path, append=True)], EPOCHS[:1])
    assert rows(path) == [*wanted, wanted[1]]
    train([callbacks.CSVLogger(path, separator=";")], EPOCHS)
    assert rows(path, delimiter=";") == wanted


def test_csv_logger_with_validation_in_some_epochs(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    train([callbacks.CSVLogger(path)], [{"loss": 1.0}, {"loss": 0.5, "val_loss": 2.0, "new": 1.0}])
    assert rows(path) == [["epoch", "loss", "val_loss"], ["0", "1.0", "NA"], ["1", "0.5", "2.0"]]


# Small ones


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_terminate_on_nan(loss: float, capsys: pytest.CaptureFixture[str]) -> None:
    epochs: list[Logs] = [{"loss": 1.0}, {"loss": loss}, {"loss": 1.0}]
    hooklist = train([callbacks.TerminateOnNaN()], epochs)
    assert find(hooklist, callbacks.History).epoch == [0, 1]
    assert f"Batch 0: the loss is {loss}" in capsys.readouterr().out
    with pytest.raises(RuntimeError, match="Batch 0"):
        train([callbacks.TerminateOnNaN(raise_error=True)], epochs)


# Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, **params: Any) -> str:
    monkeypatch.setattr(sys, "stdout", stream)
    train([], EPOCHS, progress=4, **params)
    return stream.getvalue()


@pytest.mark.parametrize("verbose", ["auto", 2])
def test_plain_lines(monkeypatch: pytest.MonkeyPatch, verbose: Any) -> None:
    lines = shown(monkeypatch, io.StringIO(), verbose=verbose).splitlines()
    assert len(lines) == 2
    parts = lines[1].split("  ")
    assert parts[:4] == ["Epoch 2/2", "loss 0.5000", "accuracy 0.7500", "val_loss 4.000e-04"]
    assert parts[4].endswith(" s") and parts[5].endswith(" examples/s")


@pytest.mark.parametrize("verbose", ["auto", 1])
@pytest.mark.parametrize("examples", [64, None])
def test_bar(monkeypatch: pytest.MonkeyPatch, verbose: Any, examples: int | None) -> None:
    monkeypatch.setattr("fastnn.callbacks.progress.SECONDS_BETWEEN_DRAWS", 0.0)
    text = shown(monkeypatch, Terminal(), verbose=verbose, examples=examples)
    assert "Epoch 1/2" in text and "left  loss 1.0000  accuracy 0.5000" in text
    if examples:
        assert " 50%|" in text and "100%|" in text
    # The bars are wiped, the lines stay.
    final = [part.rsplit("\r", 1)[-1] for part in text.split("\n")]
    assert [line.split("  ")[0] for line in final if line.strip()] == ["Epoch 1/2", "Epoch 2/2"]


def test_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, Terminal(), verbose=0) == ""


def test_messages_do_not_break_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stdout", stream)
    reduce = callbacks.ReduceLROnPlateau(patience=0, factor=0.5, verbose=1, min_delta=10)
    train([reduce], EPOCHS, progress=4, verbose=1)
    final = [part.rsplit("\r", 1)[-1] for part in stream.getvalue().split("\n")]
    assert "Epoch 2: learning rate reduced to 0.05" in final


def test_evaluate_and_predict_print_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    progress = callbacks.ProgbarLogger()
    hooklist = callbacks.CallbackList(progress, verbose=2, steps=1, examples=1000)
    hooklist.on_test_begin()
    hooklist.on_test_end({"loss": 0.25})
    hooklist.on_predict_begin()
    hooklist.on_predict_end()
    test, predict = capsys.readouterr().out.splitlines()
    assert test.startswith("Test  loss 0.2500  0.0 s  ") and test.endswith(" examples/s")
    assert predict.startswith("Predict  0.0 s  ")


def test_verbose_is_checked() -> None:
    with pytest.raises(ValueError, match="verbose must be 'auto', 0, 1 or 2, got 3"):
        callbacks.CallbackList(callbacks.ProgbarLogger(), verbose=3)
