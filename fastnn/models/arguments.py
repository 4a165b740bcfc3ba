"""Arguments that fit, evaluate and predict share."""

from __future__ import annotations

from fastnn._checks import check_integer

BATCH_SIZE = 32
"""Where the caller does not say: Keras's."""


def count(function: str, argument: str, value: int | None) -> int | None:
    """``value`` if it is None or an integer >= 1; else TypeError or ValueError."""
    return None if value is None else check_integer(function, argument, value, at_least=1)


def check_verbose(function: str, verbose: str | int) -> None:
    """ValueError if ``verbose`` is none of its values."""
    if verbose not in ("auto", 0, 1, 2):
        raise ValueError(f"{function}: verbose must be 'auto', 0, 1 or 2, got {verbose!r}")
