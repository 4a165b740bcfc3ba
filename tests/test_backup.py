"""BackupAndRestore: a training that was cut off goes on to the same bits."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nets import assert_same_bits, blobs, classifier

import fastnn as fnn
from fastnn import callbacks, layers, optimizers
from fastnn.optimizers import schedules

X, Y = blobs(100)


class CutOff(RuntimeError):
    """What ends a training in these tests."""


def cut_off(hook: str, epoch: int, number: int) -> callbacks.Callback:
    """Raises in a batch's or epoch's hook, in that epoch."""
    now = [0]

    def begin(at: int, logs: Any = None) -> None:
        now[0] = at

    def end(at: int, logs: Any = None) -> None:
        if now[0] == epoch and at == number:
            raise CutOff

    return callbacks.LambdaCallback(on_epoch_begin=begin, **{hook: end})  # type: ignore[arg-type]


def train(model: Any, *hooks: callbacks.Callback, **settings: Any) -> Any:
    arguments = {"batch_size": 16, "epochs": 5, "validation_split": 0.2, "verbose": 0}
    return model.fit(X, Y, callbacks=list(hooks), **(arguments | settings))


OPTIMIZERS = {
    "sgd": lambda: optimizers.SGD(0.1, momentum=0.9),
    "adam": lambda: optimizers.Adam(0.01),
    "averages": lambda: optimizers.AdamW(0.01, use_ema=True, global_clipnorm=0.5),
    "schedule": lambda: optimizers.RMSprop(schedules.ExponentialDecay(0.01, 5, 0.9)),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize(
    ("hook", "epoch", "number"),
    [("on_train_batch_end", 0, 2), ("on_train_batch_end", 3, 2), ("on_epoch_end", 2, 2)],
)
def test_same_bits_as_without_interruption(
    name: str, hook: str, epoch: int, number: int, tmp_path: Path
) -> None:
    rates = callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.7)
    extra = [] if name == "schedule" else [rates]
    fnn.utils.set_random_seed(5)
    whole = classifier(optimizer=OPTIMIZERS[name]())
    wanted = train(whole, *extra)

    fnn.utils.set_random_seed(5)
    backup = callbacks.BackupAndRestore(tmp_path / "backup")
    first = classifier(optimizer=OPTIMIZERS[name]())
    with pytest.raises(CutOff):
        train(first, *extra, backup, cut_off(hook, epoch, number))
    assert (tmp_path / "backup").exists() is (epoch > 0)

    # Another process: other weights, other random numbers but those of the backup.
    fnn.utils.set_random_seed(5 if epoch == 0 else 77)
    second = classifier(optimizer=OPTIMIZERS[name](), seed=0 if epoch == 0 else 9)
    history = train(second, *extra, callbacks.BackupAndRestore(tmp_path / "backup"))
    assert_same_bits(second.get_weights(), whole.get_weights())
    done = epoch + 1 if hook == "on_epoch_end" else epoch
    assert history.epoch == list(range(done, 5))
    for key, values in history.history.items():
        assert values == wanted.history[key][done:]
    assert second.optimizer.iterations == whole.optimizer.iterations
    assert second.optimizer.learning_rate == whole.optimizer.learning_rate
    # What follows is the same, too: slots and random numbers came back.
    fnn.utils.set_random_seed(8)
    for model in (second, whole):
        train(model, shuffle=False)
    assert_same_bits(second.get_weights(), whole.get_weights())


def test_in_another_process(tmp_path: Path) -> None:
    code = """
import sys, numpy as np
from nets import blobs, classifier
from fastnn import callbacks, utils
from fastnn.layers import Dense
x, y = blobs(100)
class Die(callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if self.model.optimizer.iterations == 17:
            import os
            os._exit(3)
hooks = [callbacks.BackupAndRestore(sys.argv[1])] if sys.argv[1] else []
if sys.argv[3] == "die":
    hooks.append(Die())
if sys.argv[3] != "resume":
    utils.set_random_seed(4)
model = classifier()
model.fit(x, y, batch_size=16, epochs=4, callbacks=hooks, verbose=0)
np.savez(sys.argv[2], *model.get_weights())
"""

    def run(*arguments: str) -> int:
        command = [sys.executable, "-c", code, *arguments]
        return subprocess.run(command, timeout=120, check=False).returncode

    backup, resumed, whole = (str(tmp_path / name) for name in ("backup", "a.npz", "b.npz"))
    assert run("", whole, "whole") == 0
    assert run(backup, resumed, "die") == 3
    assert not os.path.exists(resumed)
    assert run(backup, resumed, "resume") == 0
    with np.load(resumed) as a, np.load(whole) as b:
        assert_same_bits([a[key] for key in a], [b[key] for key in b])


def test_it_changes_nothing_and_cleans_up(tmp_path: Path) -> None:
    fnn.utils.set_random_seed(5)
    alone = classifier()
    train(alone)
    fnn.utils.set_random_seed(5)
    backed_up = classifier()
    train(backed_up, callbacks.BackupAndRestore(tmp_path / "backup", double_checkpoint=True))
    assert_same_bits(backed_up.get_weights(), alone.get_weights())
    assert not (tmp_path / "backup").exists()


def test_files_of_others_stay(tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_text("mine")
    train(classifier(), callbacks.BackupAndRestore(tmp_path))
    assert os.listdir(tmp_path) == ["own.txt"]


def test_a_kept_backup_ends_the_next_fit_at_once(tmp_path: Path) -> None:
    backup = callbacks.BackupAndRestore(tmp_path, delete_checkpoint=False)
    model = classifier()
    train(model, backup)
    assert os.listdir(tmp_path) == ["latest.safetensors"]
    weights = model.get_weights()
    assert train(model, backup).epoch == []
    assert train(model, backup, epochs=7).epoch == [5, 6]
    # Without the callback nothing is left of it.
    assert train(model).epoch == [0, 1, 2, 3, 4]
    model.set_weights(weights)
    assert train(model, epochs=4, initial_epoch=2).epoch == [2, 3]


@pytest.mark.parametrize(("save_freq", "steps"), [(1, 13), (4, 12), (7, 7)])
def test_backups_by_batches(save_freq: int, steps: int, tmp_path: Path) -> None:
    backup = callbacks.BackupAndRestore(tmp_path, save_freq=save_freq)
    first = classifier()
    # Five batches an epoch: the fourteenth has been trained when it is cut off.
    seen: list[Any] = []

    class Watch(callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            seen.append(self.model.get_weights())

    with pytest.raises(CutOff):
        train(first, cut_off("on_train_batch_end", 2, 3), backup, Watch())
    second = classifier(seed=3)
    begun: list[Any] = []
    begin = callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: begun.append((epoch, second.get_weights()))
    )
    history = train(second, backup, begin)
    # As in Keras, the epoch of the backup begins anew.
    assert history.epoch[0] == begun[0][0] == (steps - 1) // 5
    assert_same_bits(begun[0][1], seen[steps - 1])
    assert second.optimizer.iterations == steps + 5 * len(history.epoch)


def test_the_backup_before_the_last(tmp_path: Path) -> None:
    whole = classifier()
    fnn.utils.set_random_seed(5)
    train(whole)
    fnn.utils.set_random_seed(5)
    with pytest.raises(CutOff):
        train(
            classifier(),
            callbacks.BackupAndRestore(tmp_path, double_checkpoint=True),
            cut_off("on_train_batch_end", 3, 0),
        )
    assert sorted(os.listdir(tmp_path)) == ["latest.safetensors", "latest.safetensors.bkp"]
    (tmp_path / "latest.safetensors").write_bytes(b"torn")
    model = classifier(seed=2)
    history = train(model, callbacks.BackupAndRestore(tmp_path, double_checkpoint=True))
    assert history.epoch == [2, 3, 4]
    assert_same_bits(model.get_weights(), whole.get_weights())


def interrupted(path: Path) -> None:
    with pytest.raises(CutOff):
        train(classifier(), callbacks.BackupAndRestore(path), cut_off("on_train_batch_end", 2, 0))


def refused(model: Any, path: Path, message: str) -> None:
    """``fit`` refuses the backup, and nothing has changed."""
    weights, state = model.get_weights(), model._training_state()
    random = fnn.utils.random_state()
    with pytest.raises(ValueError, match=message):
        train(model, callbacks.BackupAndRestore(path))
    assert_same_bits(model.get_weights(), weights)
    assert model._training_state().keys() == state.keys()
    assert model.optimizer.iterations == 0
    assert fnn.utils.random_state() == random


def test_a_backup_of_another_model(tmp_path: Path) -> None:
    interrupted(tmp_path)
    refused(classifier([9, 8, 4]), tmp_path, r"latest.safetensors can't be restored: the model has")
    refused(classifier(optimizer="sgd"), tmp_path, "can't be restored: optimizer state")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda backup: backup.clear(), "it holds no backup"),
        (lambda backup: backup.update(epoch=-1), "epoch must be an integer >= 0, got -1"),
        (lambda backup: backup.update(epoch="2"), "epoch must be an integer"),
        (lambda backup: backup.update(learning_rate=-1), "learning_rate must be"),
        (lambda backup: backup.update(random=None), "random numbers is malformed"),
        (lambda backup: backup["random"].update(seed="x"), "random numbers is malformed"),
        (lambda backup: backup["random"].update(counters=[[[], 1]]), "random numbers is malformed"),
        (lambda backup: backup["random"].update(counters=[["a", -1]]), "random numbers is malf"),
    ],
)
def test_malformed_backups(change: Any, message: str, tmp_path: Path) -> None:
    from fastnn.models import container

    interrupted(tmp_path)
    path = tmp_path / "latest.safetensors"
    content = container.read(path)
    change(content.configs["backup"])
    container.write(path, content)
    refused(classifier(), tmp_path, message)


def test_damaged_and_foreign_files(tmp_path: Path) -> None:
    path = tmp_path / "latest.safetensors"
    path.write_bytes(b"torn")
    refused(classifier(), tmp_path, "damaged")
    classifier().save(path)
    refused(classifier(), tmp_path, "it holds no backup")


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"backup_dir": ""}, ValueError, "backup_dir must be a directory, got an empty name"),
        ({"save_freq": "batch"}, ValueError, "save_freq must be 'epoch' .* got 'batch'"),
        ({"save_freq": 0}, ValueError, "save_freq"),
        ({"save_freq": False}, TypeError, "save_freq"),
        ({"double_checkpoint": 1}, TypeError, "double_checkpoint"),
        ({"delete_checkpoint": None}, TypeError, "delete_checkpoint"),
    ],
)
def test_refused_arguments(settings: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"BackupAndRestore: {message}"):
        callbacks.BackupAndRestore(**({"backup_dir": "backup"} | settings))


def test_an_unbuilt_model(tmp_path: Path) -> None:
    model = fnn.Sequential([layers.Dense(4, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match="the model must be built before fit"):
        model.fit(iter([(X, Y)]), callbacks=[callbacks.BackupAndRestore(tmp_path)], verbose=0)
    # With arrays it is built before callbacks are called.
    model.fit(X, Y, callbacks=[callbacks.BackupAndRestore(tmp_path)], verbose=0)


def test_only_backups_by_batches_are_called_for_each_batch(tmp_path: Path) -> None:
    for save_freq, wanted in (("epoch", False), (3, True)):
        backup = callbacks.BackupAndRestore(tmp_path, save_freq)
        assert callbacks.CallbackList(backup).has_batch_hooks is wanted
