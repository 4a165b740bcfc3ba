"""Backups of ``fastnn train --resume``."""

from __future__ import annotations

import argparse
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastnn.cli import training
from fastnn.cli.problem import Problem

if TYPE_CHECKING:
    from fastnn.callbacks import BackupAndRestore

SAVE_FREQ = "10s"
_ROWS = 1000
"""Of which the data is known again."""


def backup(directory: Path, problem: Problem, arguments: argparse.Namespace) -> BackupAndRestore:
    """Keeps backups in ``directory``, the last of which is of the end, and says when training goes
    on from one. Those of a training with other options or data are refused in ``fit``."""
    from fastnn import callbacks

    options = [*training.SETTINGS]
    if arguments.schedule != "constant":
        options.append("epochs")  # on which the rate of each step depends
    settings = {f"--{name.replace('_', '-')}": getattr(arguments, name) for name in options}
    settings |= {
        "--task": problem.task,
        "data of": f"{len(problem.x)} examples, checksum {_checksum(problem.x, problem.y)}",
    }
    return callbacks.BackupAndRestore(
        directory, SAVE_FREQ, delete_checkpoint=False, settings=settings,
        verbose=0 if arguments.quiet else 1,
    )  # fmt: skip


def _checksum(*arrays: NDArray[Any]) -> str:
    """Of some rows of each, from all over."""
    found = 0
    for array in arrays:
        rows = np.ascontiguousarray(array[:: max(1, len(array) // _ROWS)])
        found = zlib.crc32(rows.reshape(-1).view(np.uint8).data, found)
    return f"{found:08x}"
