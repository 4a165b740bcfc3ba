"""What callbacks print."""

from __future__ import annotations

import sys
from typing import TextIO


def print_message(text: str, file: TextIO | None = None) -> None:
    """Print a line to ``file``, stdout by default, above a progress bar if one is drawn."""
    # Whoever draws a bar has imported tqdm; nobody else should pay for the import.
    tqdm = sys.modules.get("tqdm")
    if tqdm is None:
        print(text, file=file, flush=True)
    else:
        tqdm.tqdm.write(text, file=file)
