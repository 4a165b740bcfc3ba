"""Go on with a training that was cut off."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from fastnn._background import Background
from fastnn._checks import check_flag, check_integer
from fastnn._files import check_writable, remove_leftovers
from fastnn._locks import FileLock
from fastnn._warnings import warn
from fastnn.callbacks.base import Callback, Logs
from fastnn.callbacks.messages import print_message

FILE = "latest.safetensors"
PREVIOUS = "latest.safetensors.bkp"
LOCK = "backup.lock"


class BackupAndRestore(Callback):
    """Back up the state of training, and go on from there after an interruption, to the same bits.

    ``fit``, called again with the same arguments in the same or another process, goes on from the
    last backup, in the midst of an epoch too. Its end is equal to the last bit to that of a
    training that was never cut off, for any number of threads before and after: weights, the
    optimizer's state and learning rate, fastnn's random numbers, ``history``, and what callbacks
    know, in ``Callback.state_dict``. When ``fit`` ends by itself, the backup is deleted.

    A backup is a copy in memory, which a thread writes while training goes on: beside the last one,
    synced, then renamed. Where one can't be written (a full disk, say), a warning says so, training
    goes on, the last good one stays, and the next is tried; if backups by epochs or batches come
    faster than the disk takes them, some are left out.

    What must be the same: the model, the data, and the callbacks that keep a state, by position and
    class. A training of another net, optimizer, loss or metrics, of other ``batch_size``,
    ``shuffle``, ``steps_per_epoch``, numbers of rows, or ``settings`` is refused. ``epochs`` may
    differ; the learning rate is the backup's. Of an iterable, the batches that were taken
    before are taken again and dropped: it must yield the same ones again. A generator can't be
    rewound: give one that is made anew. One that is half used up gives other batches, which is
    found out only if it ends too early. Random numbers that are not fastnn's, in an iterable or in
    your functions, are yours to restore.

    Args:
        backup_dir: a directory for the backup, which is made, and no other training may use: while
            one does, others are refused.
        save_freq: when to save: ``"epoch"``, a number of batches, or a time such as ``"30s"``.
            Training runs on until a backup is due, and does not come back to Python for each batch.
            (Keras's False isn't there.)
        double_checkpoint: keep the backup before the last one as well, and use it, with a warning,
            if the last one is damaged. Keras's default is False.
        delete_checkpoint: delete the backup when ``fit`` ends by itself. Otherwise the last one is
            of the end: ``fit`` called again returns at once, and a process that is killed before it
            has saved its model has lost nothing.
        settings: JSON values that a training must have in common with its backup; a difference is
            a ValueError that names it.
        verbose: 1 says where training goes on.

    Attributes:
        resumed_at (int | None): the optimizer's ``iterations`` where the last ``fit`` went on; None
            if it began at the beginning.

    Raises:
        ValueError: ``backup_dir`` is empty or ``save_freq`` none of these; in ``fit``, the model is
            not built yet, or the backup is of another model or training, or can't be read.
        BlockingIOError: in ``fit``, another training uses the directory.
        OSError: in ``fit``, before it trains, the directory can't be read or written.
    """

    only_first_process = True

    def __init__(
        self,
        backup_dir: str | os.PathLike[str],
        save_freq: int | str = "epoch",
        double_checkpoint: bool = True,
        delete_checkpoint: bool = True,
        *,
        settings: Mapping[str, Any] | None = None,
        verbose: int = 0,
    ) -> None:
        import json

        owner = type(self).__name__
        self.backup_dir = os.fspath(backup_dir)
        if not self.backup_dir:
            raise ValueError(f"{owner}: backup_dir must be a directory, got an empty name")
        self.save_freq = save_freq
        self._seconds, self._batches = _frequency(owner, save_freq)
        self.double_checkpoint = check_flag(owner, "double_checkpoint", double_checkpoint)
        self.delete_checkpoint = check_flag(owner, "delete_checkpoint", delete_checkpoint)
        self.settings = dict(settings or {})
        try:
            json.dumps(self.settings, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise TypeError(f"{owner}: settings must be JSON values: {error}") from error
        self.verbose = verbose
        self._path = os.path.join(self.backup_dir, FILE)
        self._previous_path = os.path.join(self.backup_dir, PREVIOUS)
        self.resumed_at: int | None = None
        self.found: tuple[str, Any] | None = None
        self._lock: FileLock | None = None
        self._writer: Background | None = None
        self._process = 0
        self._good = False
        self._steps_of_save = 0
        self._time_of_save = 0.0
        self._asked = False
        self._then: BaseException | None = None

    def save_now(self, then: BaseException | None = None) -> bool:
        """Ask for a backup as soon as training comes to a border between batches or epochs, within
        about a tenth of a second; or, in a validation, after it. ``fit`` waits until it is written.

        For signal handlers and other threads: it only leaves a note.

        Args:
            then: Raised in ``fit`` once the backup is written; the model stays usable.

        Returns:
            Whether a ``fit`` goes on that will do so; otherwise nothing is done.
        """
        if self._lock is None:
            return False
        self._then, self._asked = then or self._then, True
        return True

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Take the directory, and read the backup, if there is one."""
        if not self.model.built:
            raise ValueError(
                "BackupAndRestore: the model must be built before fit: call build(input_shape), or "
                "begin it with an Input"
            )
        self._asked, self._then, self.found = False, None, None
        os.makedirs(self.backup_dir, exist_ok=True)
        self._lock = FileLock(os.path.join(self.backup_dir, LOCK), "another training")
        self._process = os.getpid()
        check_writable(self._path)
        remove_leftovers(self._path)
        self.found = self._read()
        self._writer = Background()
        self._note_place()
        self.resumed_at = None

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Delete the backup."""
        if self._writer is None or self._process != os.getpid():
            return
        self._writer.wait()
        if self.delete_checkpoint:
            for path in (self._path, self._previous_path):
                with suppress(FileNotFoundError):
                    os.unlink(path)

    # For fit, which knows what to save

    def note_resumption(self, epoch: int) -> None:
        """The model was put to where the backup says, in this epoch or before it."""
        self._note_place()
        self.resumed_at = self._steps_of_save
        if self.verbose and self.found is not None:
            print_message(
                f"Going on from {self.found[0]}: epoch {epoch + 1}, after {self.resumed_at} steps"
            )

    def batches_to_go(self) -> int | None:
        """Batches until a backup is due; None if that is told by something else."""
        if self._batches is None:
            return None
        done: int = self.model.optimizer.iterations - self._steps_of_save
        return max(1, self._batches - done)

    def is_due(self, *, epoch_ended: bool = False, training_ended: bool = False) -> bool:
        """Whether ``save`` is to be called at this border between batches or epochs."""
        if self._writer is None or self._process != os.getpid():
            return False  # in a child, say, which was forked by a callback
        self._warn_of_failure()
        if self._asked or (training_ended and not self.delete_checkpoint):
            return True
        if self._seconds is not None:
            return time.monotonic() - self._time_of_save >= self._seconds
        if self._batches is None:
            return epoch_ended
        done: int = self.model.optimizer.iterations - self._steps_of_save
        return done >= self._batches

    def save(self, content: Any) -> None:
        """Have it written; it must not change any more."""
        assert self._writer is not None
        self._note_place()
        self._writer.submit(lambda: self._write(content))
        if self._asked:
            self._writer.wait()
            self._warn_of_failure()
            self.settle()

    def give_up(self, error: Exception) -> None:
        """There is nothing to be written this time: the next one is tried."""
        self._note_place()
        self._warn(error)
        self.settle()

    def settle(self) -> None:
        """Raise what ``save_now`` was given and nobody has raised."""
        self._asked = False
        then, self._then = self._then, None
        if then is not None:
            raise then

    def close(self) -> None:
        """``fit`` is over, or was ended by an exception: what is to be written is."""
        if self._process != os.getpid():
            return
        self.found = None
        try:
            if self._writer is not None:
                self._writer.close()
        finally:  # Ctrl-C may come while a slow disk is waited for
            if self._lock is not None:
                self._lock.release()
                self._lock = None
        with suppress(OSError):  # it isn't empty
            os.rmdir(self.backup_dir)
        self._warn_of_failure()
        self._writer = None

    def _note_place(self) -> None:
        self._steps_of_save = self.model.optimizer.iterations
        self._time_of_save = time.monotonic()

    def _write(self, content: Any) -> None:
        # What is damaged must not take the place of the one before, which is good.
        keep = self.double_checkpoint and self._good
        self.model._write_backup(self._path, content, self._previous_path if keep else None)
        self._good = True

    def _warn_of_failure(self) -> None:
        error = self._writer.take_error() if self._writer is not None else None
        if error is not None:
            self._warn(error)

    def _warn(self, error: Exception) -> None:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        warn(
            f"BackupAndRestore: {self._path} could not be written: {reason}; training goes on, "
            "and what was saved before is still there"
        )

    def _read(self) -> tuple[str, Any] | None:
        """The last backup that can be read, and its file."""
        self._good = False
        there = [p for p in (self._path, self._previous_path) if os.path.exists(p)]
        for path in there:
            try:
                content = self.model._read_backup(path)
            except (OSError, ValueError) as error:
                if path == there[-1]:
                    raise
                warn(f"BackupAndRestore: {error}; going on from {there[-1]}, which is older")
            else:
                self._good = path == self._path
                return path, content
        return None


def _frequency(owner: str, save_freq: int | str) -> tuple[float | None, int | None]:
    """(seconds, batches) between backups; both None for each epoch."""
    if not isinstance(save_freq, str):
        return None, check_integer(owner, "save_freq", save_freq, at_least=1)
    if save_freq == "epoch":
        return None, None
    seconds = re.fullmatch(r"(\d+(?:\.\d+)?)s", save_freq)
    if seconds is None or not float(seconds[1]):
        raise ValueError(
            f"{owner}: save_freq must be 'epoch', an integer >= 1 or a time such as '30s', got "
            f"{save_freq!r}"
        )
    return float(seconds[1]), None
