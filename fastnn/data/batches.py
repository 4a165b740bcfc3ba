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

    Attributes:
        drawn: Batches taken from the source so far.
    """

    def __init__(self, source: Iterable[Any], steps: int | None, argument: str) -> None:
        self._source = source
        self._steps = steps
        self._argument = argument
        self._iterator: Iterator[Any] | None = iter(source) if iter(source) is source else None
        self.drawn = 0

    def epoch(self, done: int = 0) -> Iterator[tuple[Any, Any, Any]]:
        """The batches of the next epoch, without the first ``done``, which are drawn at once.

        Raises:
            ValueError: There are not so many.
        """
        batches = self._batches()
        for number in range(done):
            if next(batches, None) is None:
                raise ValueError(self._ended(number, done))
        return batches

    def catch_up(self, drawn: int, done: int) -> None:
        """Go to where another ``Batches`` of the same source was when it had drawn that many,
        ``done`` of them in the epoch that ``epoch(done)`` will go on with.

        An iterator is drawn from; what can be iterated over again has each epoch begin anew.

        Raises:
            ValueError: The iterator ends before.
        """
        if self._iterator is None:
            self.drawn = drawn - done
            return
        for number in range(drawn - done):
            if next(self._iterator, self) is self:
                raise ValueError(self._ended(number, drawn))
            self.drawn += 1

    def _batches(self) -> Iterator[tuple[Any, Any, Any]]:
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
            self.drawn += 1
            yield unpack_batch(batch, self._argument)

    def _ended(self, found: int, wanted: int) -> str:
        return (
            f"{self._argument} ended after {found} of the {wanted} batches that the training had "
            "taken before it was interrupted: to go on, give a source that begins anew, such as a "
            "generator that is made again"
        )
