"""Warnings as a user of the command line wants them: a line each, without file and source."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastnn.callbacks.messages import print_message


@contextmanager
def printed(command: str) -> Iterator[None]:
    """Within the block, print each warning on stderr as errors are printed, the same one once.

    Python's filters choose, as ever, which ones are shown.
    """
    shown: set[str] = set()

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        line = f"fastnn {command}: warning: {' '.join(str(message).split())}"
        if line not in shown:
            shown.add(line)
            print_message(line, sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
