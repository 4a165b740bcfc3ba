"""What callbacks print."""

from __future__ import annotations

import os
import sys


def print_message(text: str) -> None:
    """Print a line to stdout, above a progress bar if one is drawn."""
    # Whoever draws a bar has imported tqdm; nobody else should pay for the import.
    tqdm = sys.modules.get("tqdm")
    if tqdm is None:
        print(text, flush=True)
    else:
        tqdm.tqdm.write(text)


def users_level() -> int:
    """For ``warnings.warn`` in the function that calls this: the line outside of the package that
    led here."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(package):
        frame, level = frame.f_back, level + 1
    return level
