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


class Patient(callbacks.BackupAndRestore):
    """Waits for each backup to be written. Otherwise some are left out, for these nets learn faster
    than a disk writes."""

    def save(self, content: Any) -> None:
        super().save(content)
        assert self._writer is not None
        self._writer.wait()


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
    backup = Patient(tmp_path / "backup")
    first = classifier(optimizer=OPTIMIZERS[name]())
    with pytest.raises(CutOff):
        train(first, *extra, backup, cut_off(hook, epoch, number))
    assert (tmp_path / "backup").exists() is (epoch > 0)

    # Another process: other weights, other random numbers but those of the backup.
    fnn.utils.set_random_seed(5 if epoch == 0 else 77)
    second = classifier(optimizer=OPTIMIZERS[name](), seed=0 if epoch == 0 else 9)
    history = train(second, *extra, callbacks.BackupAndRestore(tmp_path / "backup"))
    assert_same_bits(second.get_weights(), whole.get_weights())
    assert history.epoch == list(range(5))
    assert history.history == wanted.history
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
from test_backup import Patient
from fastnn import callbacks, utils
from fastnn.layers import Dense
x, y = blobs(100)
class Die(callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if self.model.optimizer.iterations == 17:
            import os
            os._exit(3)
hooks = [Patient(sys.argv[1])] if sys.argv[1] else []
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
    backup = Patient(tmp_path, delete_checkpoint=False)
    model = classifier()
    train(model, backup)
    assert sorted(os.listdir(tmp_path)) == ["latest.safetensors", "latest.safetensors.bkp"]
    weights = model.get_weights()
    model.set_weights([0 * w for w in weights])
    assert train(model, backup).epoch == [0, 1, 2, 3, 4]
    assert_same_bits(model.get_weights(), weights)
    assert train(model, backup, epochs=7).epoch == [0, 1, 2, 3, 4, 5, 6]
    # Without the callback nothing is left of it.
    assert train(model).epoch == [0, 1, 2, 3, 4]
    model.set_weights(weights)
    assert train(model, epochs=4, initial_epoch=2).epoch == [2, 3]


@pytest.mark.parametrize("save_freq", [1, 4, 7, "0.001s", "30s"])
@pytest.mark.parametrize("steps", [1, 5, 14])
def test_backups_within_an_epoch(save_freq: int | str, steps: int, tmp_path: Path) -> None:
    """Five batches an epoch; cut off after so many. "30s" never comes."""
    fnn.utils.set_random_seed(5)
    whole = classifier()
    wanted = train(whole, callbacks.EarlyStopping(patience=1))

    class Count(callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if self.model.optimizer.iterations == steps:
                raise CutOff

    fnn.utils.set_random_seed(5)
    with pytest.raises(CutOff):
        backup = Patient(tmp_path / "b", save_freq)
        train(classifier(), callbacks.EarlyStopping(patience=1), backup, Count())
    saved = (tmp_path / "b").exists()
    fnn.utils.set_random_seed(77 if saved else 5)
    second = classifier(seed=3 if saved else 0)
    backup = callbacks.BackupAndRestore(tmp_path / "b", save_freq)
    history = train(second, callbacks.EarlyStopping(patience=1), backup)
    if isinstance(save_freq, int):
        assert backup.resumed_at == ((steps - 1) // save_freq * save_freq or None)
    else:
        assert (backup.resumed_at is not None) is (save_freq == "0.001s" and steps > 1)
    assert_same_bits(second.get_weights(), whole.get_weights())
    assert history.history == wanted.history


def test_saving_by_batches_brings_training_to_python_only_then(tmp_path: Path) -> None:
    """However the steps are bundled, the bits are the same."""
    seen: list[int] = []
    backup = callbacks.BackupAndRestore(tmp_path, save_freq=3)
    progress = callbacks.LambdaCallback(
        on_train_progress=lambda done, logs: seen.append(model.optimizer.iterations)
    )
    assert not callbacks.CallbackList([backup, progress]).has_batch_hooks
    fnn.utils.set_random_seed(5)
    model = classifier()
    split = train(model, backup, progress, epochs=2)
    # Five batches an epoch, at whose end it comes back anyway; more often only on a slow machine.
    assert {3, 5, 6, 9, 10} <= set(seen)
    fnn.utils.set_random_seed(5)
    alone = classifier()
    assert train(alone, epochs=2).history == split.history
    assert_same_bits(model.get_weights(), alone.get_weights())


def test_the_backup_before_the_last(tmp_path: Path) -> None:
    whole = classifier()
    fnn.utils.set_random_seed(5)
    train(whole)
    fnn.utils.set_random_seed(5)
    with pytest.raises(CutOff):
        train(
            classifier(),
            Patient(tmp_path),
            cut_off("on_train_batch_end", 3, 0),
        )
    assert sorted(os.listdir(tmp_path)) == ["latest.safetensors", "latest.safetensors.bkp"]
    (tmp_path / "latest.safetensors").write_bytes(b"torn")
    model = classifier(seed=2)
    backup = callbacks.BackupAndRestore(tmp_path)
    with pytest.warns(UserWarning, match=r"latest.safetensors is damaged.*going on from .*bkp"):
        history = train(model, backup)
    assert history.epoch == [0, 1, 2, 3, 4]
    assert backup.resumed_at == 10
    assert_same_bits(model.get_weights(), whole.get_weights())


def test_a_damaged_file_never_takes_the_place_of_a_good_one(tmp_path: Path) -> None:
    interrupted(tmp_path)
    (tmp_path / "latest.safetensors").write_bytes(b"torn")
    good = (tmp_path / "latest.safetensors.bkp").read_bytes()
    with pytest.warns(UserWarning, match="damaged"), pytest.raises(CutOff):
        train(
            classifier(),
            Patient(tmp_path),
            cut_off("on_train_batch_end", 2, 0),
        )
    assert (tmp_path / "latest.safetensors.bkp").read_bytes() == good
    train(classifier(), callbacks.BackupAndRestore(tmp_path))


@pytest.mark.parametrize("at", [0.3, 0.6, 0.9])
def test_a_changed_byte_is_found_out(at: float, tmp_path: Path) -> None:
    interrupted(tmp_path)
    (tmp_path / "latest.safetensors.bkp").unlink()
    path = tmp_path / "latest.safetensors"
    content = bytearray(path.read_bytes())
    header = 8 + int.from_bytes(content[:8], "little")
    content[header + int(at * (len(content) - header))] ^= 1
    path.write_bytes(content)
    refused(classifier(), tmp_path, "damaged: its checksum is wrong")


def interrupted(path: Path) -> None:
    with pytest.raises(CutOff):
        train(classifier(), Patient(path), cut_off("on_train_batch_end", 2, 0))


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
    refused(classifier([9, 8, 4]), tmp_path, r"latest.safetensors can't be restored: .* layers ")
    refused(
        classifier(optimizer="sgd"), tmp_path, "can't be restored: .* optimizer .*'Adam', .*'SGD'"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda backup: backup.clear(), "it holds no backup"),
        (lambda backup: backup["position"].update(epoch=-1), "epoch must be an integer >= 0"),
        (lambda backup: backup["position"].update(epoch="2"), "epoch must be an integer"),
        (lambda backup: backup["position"].update(drawn=[0]), "position is malformed"),
        (lambda backup: backup["position"].update(stopped=0), "stopped must be True or False"),
        (lambda backup: backup["position"].update(within={"row": 2}), "malformed"),
        (lambda backup: backup.update(position=3), "malformed"),
        (lambda backup: backup.update(callbacks=[{}]), "malformed"),
        (lambda backup: backup.update(callbacks=[]), "must be those of the backup"),
        (lambda backup: backup.update(callbacks={"$array": "x"}), "array 'x' .* is missing"),
        (lambda backup: backup.update(seeds=[[1]]), "0 layers that use random numbers, the file 1"),
        (lambda backup: backup.update(settings=None), "malformed"),
        (lambda backup: backup["settings"].update(batch_size=8), "batch_size 8, this one has 16"),
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
    (tmp_path / "latest.safetensors.bkp").unlink()
    content = container.read(path)
    change(content.configs["backup"])
    container.write(path, content)
    refused(classifier(), tmp_path, message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda within: within.update(row=-1), "row must be an integer >= 0"),
        (lambda within: within.update(random=3), "its epoch is malformed"),
        (lambda within: within["progress"].update(rows="x"), "rows must be an integer"),
        (lambda within: within["progress"].pop("batches"), "malformed: 'batches'"),
        (lambda within: within["progress"].update(sums=[1]), "malformed"),
        (lambda within: within["progress"].update(examples=[]), "the metrics that need all rows"),
    ],
)
def test_malformed_places_in_an_epoch(change: Any, message: str, tmp_path: Path) -> None:
    from fastnn.models import container

    with pytest.raises(CutOff):
        train(classifier(), Patient(tmp_path, 1), cut_off("on_train_batch_end", 2, 3))
    path = tmp_path / "latest.safetensors"
    (tmp_path / "latest.safetensors.bkp").unlink()
    content = container.read(path)
    change(content.configs["backup"]["position"]["within"])
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
        ({"save_freq": "batch"}, ValueError, "save_freq must be 'epoch', .* got 'batch'"),
        ({"save_freq": 0}, ValueError, "save_freq"),
        ({"save_freq": "0s"}, ValueError, "save_freq .* got '0s'"),
        ({"save_freq": "-3s"}, ValueError, "save_freq"),
        ({"save_freq": False}, TypeError, "save_freq"),
        ({"double_checkpoint": 1}, TypeError, "double_checkpoint"),
        ({"delete_checkpoint": None}, TypeError, "delete_checkpoint"),
        ({"settings": {"data": object()}}, TypeError, "settings must be JSON values"),
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
