"""Go on with a training that was cut off."""

from __future__ import annotations

import os

from fastnn._checks import check_flag, check_integer
from fastnn.callbacks.base import Callback, Logs

FILE = "latest.safetensors"
PREVIOUS = "latest.safetensors.bkp"


class BackupAndRestore(Callback):
    """Back up the state of training after every epoch, and go on from there after an interruption.

    ``fit``, called again with the same arguments in the same or another process, begins with the
    epoch that was cut off: weights, what the optimizer keeps, its learning rate and fastnn's random
    numbers are those of the backup. With ``save_freq="epoch"`` the end has the same bits as if
    nothing had happened. When ``fit`` ends by itself, the backup is deleted.

    As in Keras, what other callbacks remember is not backed up (the patience of an EarlyStopping
    begins anew), ``history`` begins with the first epoch after the interruption, and an epoch that
    was backed up by batches begins anew. Callbacks that change the learning rate belong before
    this one in the list, so that the backup has their last change.

    Args:
        backup_dir: a directory for the backup, which is made, and no other training may use.
        save_freq: ``"epoch"``, or a number of batches, which brings training back to Python after
            every batch. (Keras's False isn't there.)
        double_checkpoint: keep the backup before the last one as well, and use it if the last one
            can't be read. A backup is replaced at once or not at all, so only a failing disk
            needs it.
        delete_checkpoint: delete the backup when ``fit`` ends by itself.

    Raises:
        ValueError: ``backup_dir`` is empty or ``save_freq`` none of these; in ``fit``, the model is
            not built yet, or the backup is not of such a model or can't be read.
        OSError: in ``fit``, the files can't be read or written.
    """

    def __init__(
        self,
        backup_dir: str | os.PathLike[str],
        save_freq: int | str = "epoch",
        double_checkpoint: bool = False,
        delete_checkpoint: bool = True,
    ) -> None:
        owner = type(self).__name__
        self.backup_dir = os.fspath(backup_dir)
        if not self.backup_dir:
            raise ValueError(f"{owner}: backup_dir must be a directory, got an empty name")
        self.save_freq = save_freq
        self.double_checkpoint = check_flag(owner, "double_checkpoint", double_checkpoint)
        self.delete_checkpoint = check_flag(owner, "delete_checkpoint", delete_checkpoint)
        self._path = os.path.join(self.backup_dir, FILE)
        self._previous_path = os.path.join(self.backup_dir, PREVIOUS)
        self._epochs_done = 0
        self._batches_since_save = 0
        if isinstance(save_freq, str):
            if save_freq != "epoch":
                raise ValueError(
                    f"{owner}: save_freq must be 'epoch' or an integer >= 1, got {save_freq!r}"
                )
        else:
            self._batches_between_saves = check_integer(owner, "save_freq", save_freq, at_least=1)
            # On the instance: a batch hook on the class would slow down every other backup.
            self.on_train_batch_end = self._count_batch  # type: ignore[method-assign]

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Restore the backup, if there is one."""
        if not self.model.built:
            raise ValueError(
                "BackupAndRestore: the model must be built before fit: call build(input_shape), or "
                "begin it with an Input"
            )
        self._batches_since_save = 0
        self._epochs_done = 0
        if os.path.exists(self._path) or os.path.exists(self._previous_path):
            self._epochs_done = self.model._initial_epoch = self._restored()

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Remember how many epochs are done, for backups within this one."""
        self._epochs_done = epoch

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Back up, if it is time."""
        self._epochs_done = epoch + 1
        if self.save_freq == "epoch":
            self._save()

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Delete the backup, and its directory if nothing else is there."""
        if not self.delete_checkpoint:
            return
        for path in (self._path, self._previous_path):
            if os.path.exists(path):
                os.unlink(path)
        if os.path.isdir(self.backup_dir) and not os.listdir(self.backup_dir):
            os.rmdir(self.backup_dir)

    def _count_batch(self, batch: int, logs: Logs | None = None) -> None:
        self._batches_since_save += 1
        if self._batches_since_save >= self._batches_between_saves:
            self._batches_since_save = 0
            self._save()

    def _save(self) -> None:
        import shutil

        os.makedirs(self.backup_dir, exist_ok=True)
        if self.double_checkpoint and os.path.exists(self._path):
            shutil.copy(self._path, self._previous_path)
        self.model._save_backup(self._path, self._epochs_done)

    def _restored(self) -> int:
        """Restore the last backup that can be read; returns its epoch."""
        try:
            epoch: int = self.model._restore_backup(self._path)
        except (OSError, ValueError):
            if not os.path.exists(self._previous_path):
                raise
            epoch = self.model._restore_backup(self._previous_path)
        return epoch
