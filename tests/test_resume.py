"""Killed, disturbed, started twice: what a training with backups comes through."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import resuming
from nets import assert_same_bits, blobs, classifier
from test_backup import CutOff, Patient, cut_off, train
from trainings import X, Y, alone, begin

import fastnn as fnn
from fastnn import callbacks
from fastnn._background import Background


@pytest.mark.parametrize("case", resuming.CASES)
def test_killed_at_random_moments(case: str, tmp_path: Path) -> None:
    """``tools/kill.py`` does it two hundred times."""
    wanted, seconds = resuming.run_whole(case, tmp_path / "whole")
    found = resuming.run_killed(case, tmp_path / "killed", wanted, seconds, 2, random.Random(case))
    assert not found.differences, f"after {found.kills} kills"


# Disks


@contextmanager
def small_disk(directory: Path) -> Iterator[Path]:
    directory.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(directory)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no file system can be mounted here")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=True)


def at_epoch(number: int, function: Any) -> callbacks.Callback:
    return callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: function() if epoch == number else None
    )


def test_a_disk_that_fills_up(tmp_path: Path) -> None:
    whole, _ = alone()
    with small_disk(tmp_path / "disk") as disk:
        backup = disk / "backup"

        def fill() -> None:
            with open(disk / "filler", "wb", buffering=0) as file:
                while True:
                    file.write(bytes(512))

        def filled() -> None:
            with pytest.raises(OSError, match="No space left"):
                fill()

        # Training goes on, and ends as it would have without backups.
        full = r"latest.safetensors could not be written: No space left on device; training goes on"
        with pytest.warns(UserWarning, match=full):
            model, _ = begin(Patient(backup, delete_checkpoint=False), at_epoch(2, filled))
        assert_same_bits(model.get_weights(), whole.get_weights())
        # What was there before is still there, and nothing else.
        assert sorted(os.listdir(backup)) == ["latest.safetensors", "latest.safetensors.bkp"]
        (disk / "filler").unlink()
        second = classifier(seed=3)
        again = Patient(backup)
        train(second, again)
        assert again.resumed_at == 10
        assert_same_bits(second.get_weights(), whole.get_weights())


@contextmanager
def not_root() -> Iterator[Path]:
    """A directory, for a user whom permissions bind."""
    root = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as name:
        if root:
            os.chown(name, 65534, 65534)
            os.seteuid(65534)
        try:
            directory = Path(name, "backup")
            directory.mkdir()
            yield directory
        finally:
            if root:
                os.seteuid(0)


def test_a_directory_that_becomes_read_only(tmp_path: Path) -> None:
    # With backups, for what is imported when needed may lie where only root can read it.
    whole, _ = begin(Patient(tmp_path / "other"))
    assert_same_bits(whole.get_weights(), whole.get_weights())
    with not_root() as directory:
        close = at_epoch(2, lambda: os.chmod(directory, 0o555))
        with pytest.warns(UserWarning, match="could not be written: Permission denied"):
            model, _ = begin(Patient(directory, delete_checkpoint=False), close)
        assert_same_bits(model.get_weights(), whole.get_weights())
        # Before any training, it is an error.
        weights = model.get_weights()
        with pytest.raises(PermissionError):
            train(model, callbacks.BackupAndRestore(directory))
        assert_same_bits(model.get_weights(), weights)
        os.chmod(directory, 0o755)
        second = classifier(seed=3)
        again = Patient(directory)
        train(second, again)
        assert again.resumed_at == 10
        assert_same_bits(second.get_weights(), whole.get_weights())


def test_leftovers_of_a_killed_writer_are_removed(tmp_path: Path) -> None:
    (tmp_path / ".latest.safetensors.0123.tmp").write_bytes(b"half")
    (tmp_path / ".other.0123.tmp").write_bytes(b"not ours")
    begin(Patient(tmp_path))
    assert os.listdir(tmp_path) == [".other.0123.tmp"]


# Two at once


def started(directory: Path) -> subprocess.Popen[str]:
    return resuming.start("noise", directory, 1)


def test_a_second_training_in_the_directory_is_refused(tmp_path: Path) -> None:
    first = started(tmp_path)
    try:
        while not (tmp_path / "backup" / "latest.safetensors").exists():
            time.sleep(0.01)
        model = classifier()
        weights = model.get_weights()
        message = rf"another training, process {first.pid}, uses it at this moment: .*backup'"
        with pytest.raises(BlockingIOError, match=message):
            train(model, callbacks.BackupAndRestore(tmp_path / "backup"))
        assert_same_bits(model.get_weights(), weights)
        assert first.poll() is None
    finally:
        first.kill()
        first.communicate()
    # The kernel has forgotten the lock; the backup is of another training.
    with pytest.raises(ValueError, match="can't be restored: it is of a training with"):
        train(model, callbacks.BackupAndRestore(tmp_path / "backup"))


def test_within_one_process(tmp_path: Path) -> None:
    def again() -> None:
        with pytest.raises(BlockingIOError, match=f"another training, process {os.getpid()}"):
            train(classifier(), callbacks.BackupAndRestore(tmp_path))

    begin(callbacks.BackupAndRestore(tmp_path), at_epoch(1, again))
    begin(callbacks.BackupAndRestore(tmp_path))


FORKS = """
import os, sys, time
from nets import blobs, classifier
from fastnn import callbacks
x, y = blobs(100)
def fork(epoch, logs):
    if epoch == 1 and os.fork() == 0:
        time.sleep(60)
        os._exit(0)
    if epoch == 1:
        print("forked", flush=True)
        time.sleep(60)
hooks = [callbacks.BackupAndRestore(sys.argv[1]), callbacks.LambdaCallback(on_epoch_begin=fork)]
classifier().fit(x, y, epochs=3, callbacks=hooks, verbose=0)
"""


def test_a_child_does_not_keep_the_lock_of_a_killed_parent(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", FORKS, str(tmp_path / "b")], stdout=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "forked\n"
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        os.killpg(parent.pid, 0)  # the child is there
        train(classifier(), callbacks.BackupAndRestore(tmp_path / "b"), batch_size=32,
              validation_split=0, epochs=3)  # fmt: skip
    finally:
        os.killpg(parent.pid, signal.SIGKILL)
        parent.communicate()


def test_a_child_that_trains_on_leaves_the_backup_alone(tmp_path: Path) -> None:
    reader, writer = os.pipe()

    def fork() -> None:
        if os.fork() == 0:
            done.append("child")

    done: list[str] = []
    pid = os.getpid()
    try:
        model, _ = begin(Patient(tmp_path, delete_checkpoint=False), at_epoch(2, fork))
        if os.getpid() != pid:
            os.write(writer, b"trained")
    finally:
        if os.getpid() != pid:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        assert file.read() == b"trained"
    os.wait()
    whole, _ = alone()
    assert_same_bits(model.get_weights(), whole.get_weights())
    assert sorted(os.listdir(tmp_path)) == ["latest.safetensors", "latest.safetensors.bkp"]


# At once


class Stop(Exception):
    pass


def test_save_now_from_a_signal_handler(tmp_path: Path) -> None:
    whole, wanted = alone()
    backup = callbacks.BackupAndRestore(tmp_path, save_freq="1000s")
    before = signal.signal(signal.SIGUSR1, lambda *_: backup.save_now(then=Stop()))
    seen: list[int] = []

    class Signal(callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if self.model.optimizer.iterations == 13:
                os.kill(os.getpid(), signal.SIGUSR1)
            seen.append(self.model.optimizer.iterations)

    try:
        with pytest.raises(Stop):
            begin(backup, Signal())
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert seen[-1] == 13
    model = classifier(seed=3)
    history = train(model, backup)
    assert backup.resumed_at == 13
    assert_same_bits(model.get_weights(), whole.get_weights())
    assert history.history == wanted.history


def test_save_now_outside_of_a_training_does_nothing(tmp_path: Path) -> None:
    backup = callbacks.BackupAndRestore(tmp_path / "b")
    assert not backup.save_now(then=Stop())
    begin(backup)
    assert not backup.save_now(then=Stop())


def test_what_is_to_be_raised_is_raised_after_the_last_border_too(tmp_path: Path) -> None:
    backup = callbacks.BackupAndRestore(tmp_path, delete_checkpoint=False)
    late = callbacks.LambdaCallback(on_train_end=lambda logs: backup.save_now(then=Stop()))
    with pytest.raises(Stop):
        begin(backup, late)


def test_another_call_does_not_take_back_what_is_to_be_raised(tmp_path: Path) -> None:
    backup = callbacks.BackupAndRestore(tmp_path)

    def ask(batch: int, logs: Any) -> None:
        backup.save_now(then=Stop())
        backup.save_now()

    with pytest.raises(Stop):
        begin(backup, callbacks.LambdaCallback(on_train_batch_end=ask))


def test_ctrl_c_while_a_slow_disk_is_waited_for_gives_the_directory_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: Background) -> None:
        close(self)  # or the thread would keep pytest from ending
        raise KeyboardInterrupt

    close = Background.close
    backup = callbacks.BackupAndRestore(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr("fastnn._background.Background.close", interrupted)
        with pytest.raises(KeyboardInterrupt):
            begin(backup)
    assert not backup.save_now()
    begin(callbacks.BackupAndRestore(tmp_path))


def no_thread(*arguments: Any) -> None:
    raise RuntimeError("can't start new thread")


def no_memory(*arguments: Any) -> None:
    raise MemoryError


@pytest.mark.parametrize(
    ("name", "fault", "reason"),
    [
        ("threading.Thread.start", no_thread, "can't start new thread"),
        ("fastnn.models.backups.capture", no_memory, "MemoryError"),
    ],
)
def test_a_backup_that_there_is_no_room_for_is_no_end(
    name: str, fault: Any, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(name, fault)
    with pytest.warns(UserWarning, match=f"could not be written: {reason}; training goes on"):
        model, _ = begin(callbacks.BackupAndRestore(tmp_path))
    whole, _ = alone()
    assert_same_bits(model.get_weights(), whole.get_weights())


# What must fit


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"activation": "tanh"}, "layers .*'tanh'"),
        ({"loss": "categorical_crossentropy"}, "losses"),
        ({"metrics": ["accuracy"]}, "metrics"),
        ({"optimizer": "rmsprop"}, "optimizer .*RMSprop"),
        ({"optimizer": fnn.optimizers.Adam(beta_1=0.8)}, "optimizer .*0.8"),
        ({"sample_weight": np.ones(100)}, "weights of rows False, this one has True"),
    ],
)
def test_another_net_or_way_of_training_is_refused(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    def run(epochs: int, activation: str = "relu", **given: Any) -> None:
        hidden = fnn.layers.Dense(8, activation)
        model = fnn.Sequential([fnn.layers.Input((9,)), hidden, fnn.layers.Dense(4, "softmax")])
        weights = given.pop("sample_weight", None)
        model.compile(**{"optimizer": "adam", "loss": "sparse_categorical_crossentropy", **given})
        y = Y if "sparse" in str(given.get("loss", "sparse")) else np.eye(4)[Y]
        kept = callbacks.BackupAndRestore(tmp_path, delete_checkpoint=False)
        model.fit(X, y, epochs=epochs, sample_weight=weights, verbose=0, callbacks=[kept])

    run(2)
    with pytest.raises(ValueError, match=f"it is of a training with {message}"):
        run(4, **change)
    run(4, optimizer=fnn.optimizers.Adam(0.5))  # the rate is the backup's


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 8}, "batch_size 16, this one has 8"),
        ({"shuffle": False}, "shuffle True, this one has False"),
        ({"steps_per_epoch": 2}, "steps_per_epoch None, this one has 2"),
        ({"validation_split": 0.5}, "rows to train on 80, this one has 50"),
        ({"validation_freq": 2}, "validation_freq 1, this one has 2"),
    ],
)
def test_another_training_is_refused(
    settings: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(CutOff):
        begin(Patient(tmp_path), cut_off("on_train_batch_end", 2, 3))
    with pytest.raises(ValueError, match=f"it is of a training with {message}"):
        train(classifier(), Patient(tmp_path), **settings)


def test_settings_of_the_users(tmp_path: Path) -> None:
    with pytest.raises(CutOff):
        begin(Patient(tmp_path, settings={"data": "a"}), cut_off("on_train_batch_end", 2, 3))
    with pytest.raises(ValueError, match="it is of a training with data 'a', this one has 'b'"):
        train(classifier(), Patient(tmp_path, settings={"data": "b"}))


def test_two_backups_are_one_too_many(tmp_path: Path) -> None:
    two = [callbacks.BackupAndRestore(tmp_path / name) for name in "ab"]
    with pytest.raises(ValueError, match="one BackupAndRestore at most, got 2"):
        begin(*two)


def test_a_step_that_is_refused_is_not_passed_over(tmp_path: Path) -> None:
    """A gradient that is not finite ends the training; the next run comes to the same batch."""
    x, y = blobs(100)
    x[37] = 3e38
    for _ in range(2):
        fnn.utils.set_random_seed(5)
        model = classifier()
        backup = Patient(tmp_path, save_freq="0.000001s")
        with pytest.raises(fnn.NonFiniteGradientError) as caught:
            model.fit(x, y, batch_size=16, callbacks=[backup], verbose=0)
        assert 37 in caught.value.samples


# Iterables


def fit_batches(source: Any, *hooks: callbacks.Callback, **settings: Any) -> Any:
    model = classifier()
    model.fit(source, epochs=3, callbacks=list(hooks), verbose=0, **settings)
    return model


def test_a_generator_is_drawn_from_its_beginning(tmp_path: Path) -> None:
    def batches() -> Any:
        return resuming.forever(resuming.Batches(X, Y, 12))

    whole = fit_batches(batches(), steps_per_epoch=4)
    with pytest.raises(CutOff):
        fit_batches(
            batches(), Patient(tmp_path, 1), cut_off("on_train_batch_end", 1, 2), steps_per_epoch=4
        )
    resumed = fit_batches(batches(), Patient(tmp_path, 1), steps_per_epoch=4)
    assert_same_bits(resumed.get_weights(), whole.get_weights())


def test_a_generator_that_ends_too_early_is_refused(tmp_path: Path) -> None:
    cut = cut_off("on_train_batch_end", 1, 2)
    with pytest.raises(CutOff):
        source = resuming.forever(resuming.Batches(X, Y, 12))
        fit_batches(source, Patient(tmp_path, 1), cut, steps_per_epoch=4)
    for short in (4, 1):
        used = iter(list(resuming.Batches(X, Y, 12))[:short])
        with pytest.raises(ValueError, match=r"x ended after .* give a source that begins anew"):
            fit_batches(used, Patient(tmp_path, 1), steps_per_epoch=4)
