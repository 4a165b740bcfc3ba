"""What callbacks print."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TextIO

_silent = ContextVar("silent", default=False)


@contextmanager
def silenced(silent: bool = True) -> Iterator[None]:
    """Nothing is printed to stdout until the block ends: another process prints the same."""
    token = _silent.set(silent)
    try:
        yield
    finally:
        _silent.reset(token)


def print_message(text: str, file: TextIO | None = None) -> None:
    """Print a line to ``file``, stdout by default, above a progress bar if one is drawn."""
    if file is None and _silent.get():
        return
    # Whoever draws a bar has imported tqdm; nobody else should pay for the import.
    tqdm = sys.modules.get("tqdm")
    if tqdm is None:
        print(text, file=file, flush=True)
    else:
        tqdm.tqdm.write(text, file=file)
