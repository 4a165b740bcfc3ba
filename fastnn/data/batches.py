"""Iterables of batches: generators, data loaders, lists of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from fastnn.data.sparse import is_sparse
from fastnn.frames import is_of_table


def is_batches(x: Any) -> bool:
    """Whether ``x`` yields batches, and is no array, list or table."""
    return (
        hasattr(x, "__iter__")
        and not isinstance(x, (list, tuple, dict, str, bytes))
        and not hasattr(x, "__array__")
        and not hasattr(x, "__array_interface__")
        and not is_sparse(x)
        and not is_of_table(x)
    )


def is_list_of_batches(x: Any) -> bool:
    """Whether ``x``, beside which no targets came, is a list of tuples (x, y[, sample_weight])."""
    return isinstance(x, list) and bool(x) and all(isinstance(batch, tuple) for batch in x)


def unpack_batch(batch: Any, argument: str) -> tuple[Any, Any, Any]:
    """(x, y, sample_weight) of a batch that holds one to three of them."""
    if not isinstance(batch, (tuple, list)):
        return batch, None, None
    if not 1 <= len(batch) <= 3:
        raise ValueError(
            f"{argument} must yield (x, y) or (x, y, sample_weight), got {len(batch)} items"
        )
    return (*batch, None, None)[:3]


class Batches:
    """Batches of an iterable, epoch after epoch.

    An iterator that ends is not begun again: with ``steps``, an epoch takes the next so many
    batches; without, the first epoch takes all.
    """

    def __init__(self, source: Iterable[Any], steps: int | None, argument: str) -> None:
        self._source = source
        self._steps = steps
        self._argument = argument
        self._iterator: Iterator[Any] | None = iter(source) if iter(source) is source else None

    def epoch(self) -> Iterator[tuple[Any, Any, Any]]:
        """The batches of the next epoch."""
        one_shot = self._iterator is not None
        iterator = self._iterator or iter(self._source)
        taken = 0
        while self._steps is None or taken < self._steps:
            try:
                batch = next(iterator)
            except StopIteration:
                if self._steps is None or one_shot:
                    return
                iterator = iter(self._source)
                try:
                    batch = next(iterator)
                except StopIteration:
                    return
            taken += 1
            yield unpack_batch(batch, self._argument)
