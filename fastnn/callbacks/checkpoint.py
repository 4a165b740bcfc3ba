"""Save the model as it is trained."""

from __future__ import annotations

import os
from typing import Any

from fastnn._checks import check_flag, check_integer, check_real
from fastnn._model_files import check_suffix
from fastnn._warnings import warn
from fastnn.callbacks.base import Logs
from fastnn.callbacks.messages import print_message
from fastnn.callbacks.monitor import MonitorCallback


class ModelCheckpoint(MonitorCallback):
    """Save the model, or its weights, after every epoch or every so many batches; as Keras 3.

    Args:
        filepath: where to, ending in ``.safetensors``; ``{epoch}`` (from 1), ``{batch}`` (from 1)
            and the logs' names are filled in, as in ``"{epoch:02d}-{val_loss:.4f}.safetensors"``.
            Directories are made.
        monitor: the log that tells which model is the best.
        verbose: 1 says what is done.
        save_best_only: save only when ``monitor`` has improved. Where it is missing, warn and save.
        save_weights_only: call ``model.save_weights``, not ``model.save``.
        mode: ``"auto"``, ``"min"`` or ``"max"``.
        save_freq: ``"epoch"``, or a number of batches, which brings training back to Python after
            every batch.
        initial_value_threshold: a value that the first save has to beat.
        max_to_keep: how many files to keep, of those that this callback has saved: the last ones,
            which with ``save_best_only`` are the best ones. None keeps all. The name and meaning
            are those of Keras's ``OrbaxCheckpoint``; Keras's ModelCheckpoint has no such argument.

    Attributes:
        best (float | None): the best value so far.
        kept (list[str]): files that were saved and not deleted, the last one last.

    Raises:
        ValueError: ``filepath`` does not end in ``.safetensors``, or names a log that does not
            exist.
    """

    only_first_process = True

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: int | str = "epoch",
        initial_value_threshold: float | None = None,
        *,
        max_to_keep: int | None = None,
    ) -> None:
        owner = type(self).__name__
        if initial_value_threshold is not None:
            check_real(owner, "initial_value_threshold", initial_value_threshold)
        super().__init__(monitor, mode, best=initial_value_threshold)
        self.filepath = check_suffix(f"{owner}: filepath", filepath)
        self.verbose = verbose
        self.save_best_only = check_flag(owner, "save_best_only", save_best_only)
        self.save_weights_only = check_flag(owner, "save_weights_only", save_weights_only)
        self.save_freq = save_freq
        if max_to_keep is not None:
            check_integer(owner, "max_to_keep", max_to_keep, at_least=1)
        self.max_to_keep = max_to_keep
        self.kept: list[str] = []
        self._epoch = 0
        self._batches_since_save = 0
        if isinstance(save_freq, str):
            if save_freq != "epoch":
                raise ValueError(
                    f"{owner}: save_freq must be 'epoch' or an integer >= 1, got {save_freq!r}"
                )
        else:
            self._batches_between_saves = check_integer(owner, "save_freq", save_freq, at_least=1)
            # On the instance: a batch hook on the class would slow down every other checkpoint.
            self.on_train_batch_end = self._count_batch  # type: ignore[method-assign]

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Raise now, not after an epoch, if it can't be told which values are good."""
        if self.save_best_only:
            super().on_train_begin(logs)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Remember the epoch, for the names of files saved within it."""
        self._epoch = epoch

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Save, if it is time."""
        if self.save_freq == "epoch":
            self._save_if_wanted(epoch, None, logs or {})

    def _count_batch(self, batch: int, logs: Logs | None = None) -> None:
        self._batches_since_save += 1
        if self._batches_since_save >= self._batches_between_saves:
            self._batches_since_save = 0
            self._save_if_wanted(self._epoch, batch, logs or {})

    def _save_if_wanted(self, epoch: int, batch: int | None, logs: Logs) -> None:
        path = self._path(epoch, batch, logs)
        if self.save_best_only and not self._is_best(epoch, logs):
            return
        os.makedirs(os.path.dirname(path) or os.curdir, exist_ok=True)
        if self.save_weights_only:
            self.model.save_weights(path)
        else:
            self.model.save(path)
        if self.verbose:
            print_message(f"Epoch {epoch + 1}: saved to {path}")
        self._delete_old(path)

    def _delete_old(self, path: str) -> None:
        """Once the new file is there, so that there is always one."""
        self.kept = [each for each in self.kept if each != path] + [path]
        while self.max_to_keep is not None and len(self.kept) > self.max_to_keep:
            oldest = self.kept.pop(0)
            try:
                os.unlink(oldest)
            except FileNotFoundError:
                pass  # deleted before an interruption
            except OSError as error:
                warn(f"ModelCheckpoint: {oldest} can't be deleted: {error.strerror}")

    def state_dict(self) -> dict[str, Any]:
        """The best value, the files that are kept, and how far it is to the next one."""
        return {
            "best": self.best,
            "kept": self.kept,
            "epoch": self._epoch,
            "batches_since_save": self._batches_since_save,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on comparing with the best, and deleting the oldest."""
        self.best = state["best"]
        self.kept = list(state["kept"])
        self._epoch = state["epoch"]
        self._batches_since_save = state["batches_since_save"]

    def _is_best(self, epoch: int, logs: Logs) -> bool:
        current = logs.get(self.monitor)
        if current is None:
            warn(
                f"ModelCheckpoint: there is no {self.monitor!r} in epoch {epoch + 1}, so every "
                f"model is saved; there are {', '.join(logs)}"
            )
            return True
        before = "nothing" if self.best is None else f"{self.best:.5f}"
        if self._is_improvement(current, self.best):
            self.best = current
            if self.verbose:
                print_message(
                    f"Epoch {epoch + 1}: {self.monitor} improved from {before} to {current:.5f}"
                )
            return True
        if self.verbose:
            print_message(f"Epoch {epoch + 1}: {self.monitor} did not improve from {before}")
        return False

    def _path(self, epoch: int, batch: int | None, logs: Logs) -> str:
        fields = {"epoch": epoch + 1, **({} if batch is None else {"batch": batch + 1}), **logs}
        try:
            return self.filepath.format(**fields)
        except KeyError as error:
            raise ValueError(
                f"ModelCheckpoint: filepath {self.filepath!r} names {error}; "
                f"there are {', '.join(fields)}"
            ) from error
