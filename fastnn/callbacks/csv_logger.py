"""The logs as a table in a file."""

from __future__ import annotations

import os
from typing import IO, Any

from fastnn.callbacks.base import Callback, Logs, is_of_layer


class CSVLogger(Callback):
    """Write the logs of every epoch to a CSV file, as it ends; Keras 3's columns.

    The columns are ``epoch`` (from 0) and the first epoch's logs in alphabetical order, with the
    ``val_`` names added where the first epoch had no validation. What is missing is ``NA``.

    Args:
        filename: the file.
        separator: one character between columns.
        append: go on with a file that exists; its header stays.

    Raises:
        ValueError: ``separator`` is not one character.
    """

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

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Open the file."""
        self._close()
        mode = "a" if self.append else "w"
        # Closed in on_train_end.
        self._file = open(self.filename, mode, newline="")  # noqa: SIM115

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Write a row."""
        logs = logs or {}
        if self._file is None:
            return
        if self._writer is None:
            self._writer = self._begin_table(self._file, sorted(logs))
        self._writer.writerow({"epoch": epoch, **logs})
        self._file.flush()

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Close the file."""
        self._close()

    def _begin_table(self, file: IO[str], names: list[str]) -> Any:
        from csv import DictWriter

        if not any(name.startswith("val_") for name in names):
            names = names + [f"val_{name}" for name in names if not is_of_layer(name)]
        writer = DictWriter(
            file,
            ["epoch", *names],
            restval="NA",
            extrasaction="ignore",
            delimiter=self.separator,
        )
        if file.tell() == 0:
            writer.writeheader()
        return writer

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = None
        self._writer = None
