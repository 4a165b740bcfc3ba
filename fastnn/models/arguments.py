"""Arguments that fit, evaluate and predict share."""

from __future__ import annotations

from typing import Any

from fastnn._checks import check_integer
from fastnn.images.dataset import ImageDataset

BATCH_SIZE = 32
"""Where the caller does not say: Keras's."""


def count(function: str, argument: str, value: int | None) -> int | None:
    """``value`` if it is None or an integer >= 1; else TypeError or ValueError."""
    return None if value is None else check_integer(function, argument, value, at_least=1)


def check_verbose(function: str, verbose: str | int) -> None:
    """ValueError if ``verbose`` is none of its values."""
    if verbose not in ("auto", 0, 1, 2):
        raise ValueError(f"{function}: verbose must be 'auto', 0, 1 or 2, got {verbose!r}")


def held_arrays(
    function: str, x: ImageDataset, y: Any, batch_size: int | None
) -> tuple[Any, Any, int | None]:
    """x, y and batch size of a data set of pictures; the caller's batch size goes first.

    Raises:
        ValueError: ``y`` came beside it.
    """
    if y is not None:
        raise ValueError(f"{function}: x has its labels with it, so y can't be given")
    return x.images, x.labels, batch_size or x.batch_size
