"""Automatic names, as Keras gives them: "dense", "dense_1", "dense_2", ..."""

from __future__ import annotations

import re
from _thread import allocate_lock

_lock = allocate_lock()
_counts: dict[str, int] = {}


def snake_case(class_name: str) -> str:
    """``"LeakyReLU"`` -> ``"leaky_re_lu"``, ``"GlorotUniform"`` -> ``"glorot_uniform"``."""
    name = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", class_name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def auto_name(prefix: str) -> str:
    """The next free name of ``prefix`` in this process."""
    with _lock:
        count = _counts.get(prefix, 0)
        _counts[prefix] = count + 1
    return f"{prefix}_{count}" if count else prefix


def reset() -> None:
    """Count from the start again."""
    with _lock:
        _counts.clear()
