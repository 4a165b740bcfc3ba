"""The data that a layer learns from before training."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn._checks import check_integer
from fastnn.frames import is_of_table
from fastnn.layers.preprocessing import as_array


def batches_of(data: Any, name: str, steps: int | None = None) -> Iterator[NDArray[Any]]:
    """An array or table as one batch; else each batch of an iterable, of (x, y) its x.

    Args:
        steps: So many batches of an iterable at most.

    Raises:
        TypeError, ValueError: There is nothing, or no arrays.
    """
    whole = is_one_batch(data)
    if not whole and not hasattr(data, "__iter__"):
        raise TypeError(f"{name} must be an array or an iterable of batches, got {data!r:.80}")
    if steps is not None:
        check_integer(name, "steps", steps, at_least=1)
        if whole:
            raise ValueError(f"{name}: steps is for iterables of batches, got an array")
    rows = 0
    for batch in [data] if whole else islice(data, steps):
        x = batch[0] if not whole and isinstance(batch, (list, tuple)) else batch
        array = as_array(x, name)
        if not array.ndim:
            raise ValueError(f"{name} must have shape (N, ...), got a single {array.dtype}")
        if array.size:
            rows += len(array)
            yield np.atleast_1d(array)
    if not rows:
        raise ValueError(f"{name} is empty")


def is_one_batch(data: Any) -> bool:
    """Whether this is an array or a table, not an iterable of them."""
    return isinstance(data, (list, tuple)) or hasattr(data, "__array__") or is_of_table(data)
