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
from nets import assert_same_bits, blobs, classifier, set_seeded_weights
from test_backup import CutOff, Patient, cut_off, train

import fastnn as fnn
from fastnn import callbacks

X, Y = blobs(100)


@pytest.mark.parametrize("case", resuming.CASES)
def test_killed_at_random_moments(case: str, tmp_path: Path) -> None:
    """``tools/kill.py`` does it two hundred times."""
    wanted, seconds = resuming.run_whole(case, tmp_path / "whole")
    found = resuming.run_killed(case, tmp_path / "killed", wanted, seconds, 2, random.Random(case))
    assert not found.differences, f"after {found.kills} kills"


def alone() -> tuple[Any, Any]:
    """A model that was trained without backups, and its history."""
    fnn.utils.set_random_seed(5)
    model = classifier()
    return model, train(model)


def begin(*hooks: callbacks.Callback) -> tuple[Any, Any]:
    fnn.utils.set_random_seed(5)
    model = classifier()
    return model, train(model, *hooks)


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
    def interrupted(self: Any) -> None:
        raise KeyboardInterrupt

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


# What is kept, and what must fit


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
