"""The logs as a table in a file."""

from __future__ import annotations

import os
from typing import IO, Any

from fastnn.callbacks.base import Callback, Logs, is_of_layer


class CSVLogger(Callback):
    """Write the logs of every epoch to a CSV file, as it ends; Keras 3's columns.

    A file that is not appended to is emptied when the first epoch begins, not before: a training
    that goes on from a backup keeps the rows that it has.

    The columns are ``epoch`` (from 0) and the first epoch's logs in alphabetical order, with the
    ``val_`` names added where the first epoch had no validation. What is missing is ``NA``.

    Args:
        filename: the file.
        separator: one character between columns.
        append: go on with a file that exists; its header stays.

    Raises:
        ValueError: ``separator`` is not one character.
    """

    only_first_process = True

    def __init__(
        self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False
    ) -> None:
        if not isinstance(separator, str) or len(separator) != 1:
            raise ValueError(f"CSVLogger: separator must be one character, got {separator!r}")
        self.filename = os.fspath(filename)
        self.separator = separator
        self.append = append
        self._file: IO[str] | None = None
        self._writer: Any = None
        self._columns: list[str] = []
        self._before = 0
        self._begun = False

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Open the file."""
        self._close()
        # Closed in on_train_end.
        self._file = open(self.filename, "a+", newline="", encoding="utf-8")  # noqa: SIM115
        self._before = self._file.tell() if self.append else 0
        self._columns, self._begun = [], False

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Empty the file, if it is the first epoch and nothing is to be appended to."""
        if self._file is not None and not self._begun:
            self._cut(self._file)
            self._begun = True

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Write a row."""
        logs = logs or {}
        if self._file is None:
            return
        if self._writer is None:
            columns = self._columns or ["epoch", *_with_validation(sorted(logs))]
            self._begin_table(self._file, columns)
        self._writer.writerow({"epoch": epoch, **logs})
        self._file.flush()

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Close the file."""
        self._close()

    def state_dict(self) -> dict[str, Any]:
        """The rows of this training: the file may have lost or gained some after an interruption,
        or be another one."""
        rows = ""
        if self._file is not None and self._begun:
            self._file.seek(self._before)
            rows = self._file.read()
        return {"before": self._before, "columns": self._columns, "rows": rows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Have the file hold just these rows, after what was there before the training."""
        if self._file is None:
            return
        self._writer, self._columns, self._begun = None, list(state["columns"]), True
        self._before = min(state["before"], self._file.seek(0, os.SEEK_END))
        self._cut(self._file)
        self._file.write(state["rows"])
        self._file.flush()

    def _cut(self, file: IO[str]) -> None:
        """Leave what was there before."""
        file.truncate(self._before)
        file.seek(0, os.SEEK_END)

    def _begin_table(self, file: IO[str], columns: list[str]) -> None:
        from csv import DictWriter

        self._columns = columns
        self._writer = DictWriter(
            file, columns, restval="NA", extrasaction="ignore", delimiter=self.separator
        )
        if file.tell() == 0:
            self._writer.writeheader()

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = None
        self._writer = None

    def __del__(self) -> None:
        # A fit that was cut off had no on_train_end.
        if hasattr(self, "_file"):
            self._close()


def _with_validation(names: list[str]) -> list[str]:
    if any(name.startswith("val_") for name in names):
        return names
    return names + [f"val_{name}" for name in names if not is_of_layer(name)]
