"""Tables to read and a file for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table with its columns aligned."""
    widths = [max(map(len, column)) for column in zip(head, *lines, strict=True)]
    rows = [head, ["-" * width for width in widths], *lines]
    return "\n".join(
        "| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |"
        for row in rows
    )


def ratio(spread: dict[str, float] | None, against: str | None) -> str:
    """E.g. ``3.12x jax (2.98..3.20)``; a dash where there is nothing to compare with."""
    if spread is None:
        return "-"
    return f"{spread['median']:.2f}x {against} ({spread['min']:.2f}..{spread['max']:.2f})"


def write(path: Path, result: dict[str, Any]) -> None:
    """Write the result as JSON."""
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
