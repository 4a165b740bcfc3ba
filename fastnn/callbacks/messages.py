"""What callbacks print."""

from __future__ import annotations

import sys


def print_message(text: str) -> None:
    """Print a line to stdout, above a progress bar if one is drawn."""
    # Whoever draws a bar has imported tqdm; nobody else should pay for the import.
    tqdm = sys.modules.get("tqdm")
    if tqdm is None:
        print(text, flush=True)
    else:
        tqdm.tqdm.write(text)
