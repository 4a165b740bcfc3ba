"""What callbacks keep when a training is interrupted: patience, figures, checkpoints, logs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nets import assert_same_bits, classifier, set_seeded_weights
from test_backup import CutOff, Patient, cut_off, train
from trainings import X, Y, begin

import fastnn as fnn
from fastnn import callbacks

# The user's own


class Counting(callbacks.Callback):
    """A user's own."""

    def on_train_begin(self, logs: Any = None) -> None:
        self.seen = {"batches": 0, "sums": np.zeros(2), "worst": float("-inf"), "names": ("a", 1)}

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.seen["batches"] += 1
        self.seen["sums"] += [1, logs["loss"]]
        self.seen["worst"] = max(self.seen["worst"], logs["loss"])

    def state_dict(self) -> dict[str, Any]:
        return self.seen

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seen = state


@pytest.mark.parametrize("save_freq", ["epoch", 3])
def test_a_callback_of_the_users(save_freq: Any, tmp_path: Path) -> None:
    straight = Counting()
    begin(straight)
    with pytest.raises(CutOff):
        begin(Counting(), Patient(tmp_path, save_freq), cut_off("on_train_batch_end", 2, 3))
    resumed = Counting()
    train(classifier(seed=3), resumed, Patient(tmp_path, save_freq))
    assert resumed.seen.pop("names") == [*straight.seen.pop("names")]
    np.testing.assert_equal(resumed.seen, straight.seen)


def test_other_callbacks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CutOff):
        begin(callbacks.EarlyStopping(), Patient(tmp_path), cut_off("on_train_batch_end", 2, 3))
    message = "must be those of the backup, in its order: EarlyStopping, History; got History"
    with pytest.raises(ValueError, match=message):
        train(classifier(), Patient(tmp_path))


def test_a_state_that_no_file_can_hold(tmp_path: Path) -> None:
    class Odd(Counting):
        def state_dict(self) -> dict[str, Any]:
            return {"model": self.model}

    with pytest.raises(TypeError, match="its state must be made of JSON values and arrays"):
        begin(Odd(), Patient(tmp_path))


def test_a_state_that_a_callback_does_not_take(tmp_path: Path) -> None:
    with pytest.raises(CutOff):
        begin(Counting(), Patient(tmp_path), cut_off("on_train_batch_end", 2, 3))

    class Later(Counting):
        def load_state_dict(self, state: dict[str, Any]) -> None:
            self.seen = state["counts"]

    Later.__name__ = "Counting"
    with pytest.raises(ValueError, match=r"restored: Counting does not take its state: .*'counts'"):
        train(classifier(), Later(), Patient(tmp_path))


# Patience


@pytest.mark.parametrize("cut", range(1, 9))
def test_patience_goes_on(cut: int, tmp_path: Path) -> None:
    scores = [1.0, 0.5, 0.6, 0.55, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9]
    watch = callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: logs.update(score=scores[epoch])
    )

    def hooks() -> list[callbacks.Callback]:
        return [
            watch,
            callbacks.ReduceLROnPlateau("score", 0.5, patience=2, mode="min", cooldown=1),
            callbacks.EarlyStopping("score", patience=5, mode="min", restore_best_weights=True),
        ]

    straight = hooks()
    fnn.utils.set_random_seed(5)
    whole = classifier()
    wanted = train(whole, *straight, epochs=11)
    assert wanted.epoch == list(range(10)) and len({*wanted.history["learning_rate"]}) > 2
    fnn.utils.set_random_seed(5)
    with pytest.raises(CutOff):
        end = cut_off("on_train_batch_end", cut, 3)
        train(classifier(), *hooks(), Patient(tmp_path), end, epochs=11)
    resumed, second = hooks(), classifier(seed=3)
    history = train(second, *resumed, Patient(tmp_path), epochs=11)
    assert history.history == wanted.history
    assert_same_bits(second.get_weights(), whole.get_weights())
    for after, before in zip(resumed[1:], straight[1:], strict=True):
        np.testing.assert_equal(after.state_dict(), before.state_dict())


# GradientHealth


def test_figures_of_layers(tmp_path: Path) -> None:
    """Windows, dead units and the epoch's means go on; ``every`` is no divisor of the epoch."""

    def net(seed: int = 0) -> Any:
        model = fnn.Sequential([
            fnn.layers.Input((9,)), fnn.layers.Dense(16, "relu", name="hidden"),
            fnn.layers.Dense(4, "softmax", name="last"),
        ])  # fmt: skip
        set_seeded_weights(model, seed)
        kernel, bias, *rest = model.get_weights()
        model.set_weights([kernel, bias - 5 * (np.arange(16) < 14), *rest])
        model.compile("adam", "sparse_categorical_crossentropy")
        return model

    def health() -> callbacks.GradientHealth:
        return callbacks.GradientHealth(3, on_problem="ignore", window=9)

    fnn.utils.set_random_seed(5)
    straight = health()
    wanted = train(net(), straight)
    assert wanted.history["hidden/dead"][-1] > 0 and straight.found
    fnn.utils.set_random_seed(5)
    with pytest.raises(CutOff):
        train(net(), health(), Patient(tmp_path, 1), cut_off("on_train_batch_end", 2, 3))
    resumed = health()
    history = train(net(3), resumed, Patient(tmp_path, 1))
    assert history.history == wanted.history
    assert repr(resumed.statistics) == repr(straight.statistics)  # NaN is not equal to itself
    assert resumed.found == straight.found


def test_health_of_layers_without_names_is_not_mistaken(tmp_path: Path) -> None:
    """A model that is made again in the same process has layers of other automatic names."""

    def run(*hooks: callbacks.Callback) -> None:
        model = fnn.Sequential([fnn.layers.Input((X.shape[1],)), fnn.layers.Dense(4, "softmax")])
        model.compile("sgd", "sparse_categorical_crossentropy")
        health = callbacks.GradientHealth(every=2, on_problem="ignore")
        model.fit(X, Y, epochs=3, verbose=0, callbacks=[health, *hooks])

    backup = callbacks.BackupAndRestore(tmp_path, save_freq=2)
    with pytest.raises(CutOff):
        run(backup, cut_off("on_epoch_end", 1, 1))
    with pytest.raises(ValueError, match=r"the model has no layer 'dense.*: give layers names"):
        run(callbacks.BackupAndRestore(tmp_path, save_freq=2))


# ModelCheckpoint


def test_checkpoints_that_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "{epoch}.safetensors"
    keep = callbacks.ModelCheckpoint(path, max_to_keep=2)
    begin(keep)
    assert sorted(os.listdir(tmp_path)) == ["4.safetensors", "5.safetensors"]
    assert keep.kept == [str(tmp_path / name) for name in ("4.safetensors", "5.safetensors")]
    one = callbacks.ModelCheckpoint(tmp_path / "one.safetensors", max_to_keep=1)
    begin(one)
    assert one.kept == [str(tmp_path / "one.safetensors")] and os.path.exists(one.kept[0])
    for wrong, error in ((0, ValueError), (1.5, TypeError)):
        with pytest.raises(error, match="max_to_keep"):
            callbacks.ModelCheckpoint(path, max_to_keep=wrong)  # type: ignore[arg-type]


def test_the_best_is_known_after_an_interruption(tmp_path: Path) -> None:
    values = [5.0, 1.0, 3.0, 2.0, 0.5]
    watch = callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: logs.update(score=values[epoch])
    )

    def keep() -> callbacks.ModelCheckpoint:
        path = tmp_path / "best" / "{epoch}.safetensors"
        return callbacks.ModelCheckpoint(
            path, "score", save_best_only=True, mode="min", max_to_keep=1
        )

    with pytest.raises(CutOff):
        cut = cut_off("on_train_batch_end", 2, 3)
        begin(watch, keep(), Patient(tmp_path / "backup"), cut)
    assert os.listdir(tmp_path / "best") == ["2.safetensors"]
    resumed = keep()
    train(classifier(seed=3), watch, resumed, Patient(tmp_path / "backup"), epochs=4)
    assert resumed.best == 1.0
    # 3.0 and 2.0 would be saved by one that has forgotten 1.0.
    assert os.listdir(tmp_path / "best") == ["2.safetensors"]


# CSVLogger


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("append", [False, True])
def test_rows_of_a_log(lost: bool, append: bool, tmp_path: Path) -> None:
    """Rows that were written after the backup come once; those that were lost come back."""
    wanted, log = tmp_path / "wanted.csv", tmp_path / "log.csv"
    for path in (wanted, log):
        path.write_text("epoch,before\n0,1\n")
    begin(callbacks.CSVLogger(wanted, append=append))
    with pytest.raises(CutOff):
        cut = cut_off("on_train_batch_end", 4, 0)
        begin(callbacks.CSVLogger(log, append=append), Patient(tmp_path / "b", save_freq=9), cut)
    assert log.read_text().count("\n") == (6 if append else 5)
    if lost:
        log.write_text("epoch,before\n0,1\n" if append else "")
    train(classifier(), callbacks.CSVLogger(log, append=append), Patient(tmp_path / "b"))
    assert log.read_bytes() == wanted.read_bytes()
