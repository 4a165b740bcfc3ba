"""Taking turns, and what the times say."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from fastnn.bench.entrant import Entrant

# Idle workers of a thread pool spin for some milliseconds before they sleep.
_SETTLE_SECONDS = 0.03


def enter(stack: ExitStack, crew: Sequence[tuple[str, int]]) -> list[Entrant]:
    """Start a worker for each name and number of threads; they end with ``stack``."""
    return [stack.enter_context(Entrant(name, threads)) for name, threads in crew]


def in_turn(
    entrants: Sequence[Entrant],
    turns: int,
    act: Callable[[Entrant], float],
    before: Callable[[], object] | None = None,
) -> list[list[float]]:
    """Let each act once, A B C A B C ..., ``turns`` times; the seconds of each entrant's turns.

    Args:
        before: Called before the first of each turn.
    """
    seconds: list[list[float]] = [[] for _ in entrants]
    for _ in range(turns):
        if before is not None:
            before()
        for entrant, own in zip(entrants, seconds, strict=True):
            time.sleep(_SETTLE_SECONDS)
            own.append(act(entrant))
    return seconds


@dataclass(frozen=True)
class Spread:
    """Median of some figures, and their range."""

    median: float
    min: float
    max: float

    @classmethod
    def of(cls, figures: Sequence[float]) -> Spread:
        return cls(statistics.median(figures), min(figures), max(figures))


@dataclass(frozen=True)
class Median:
    """Median of some figures, and an interval that holds that of all there could be, at 95 %.

    The interval goes from figure to figure, in order of size: so many of each side of the median
    as a binomial distribution asks for. No assumption is made of how they are distributed.
    """

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, figures: Sequence[float]) -> Median:
        ordered, n = sorted(figures), len(figures)
        outside = 0
        while outside < n // 2 and 2 * _below(outside, n) <= 0.05:
            outside += 1
        outside = max(0, outside - 1)
        return cls(statistics.median(ordered), ordered[outside], ordered[n - 1 - outside])


def _below(count: int, n: int) -> float:
    """Probability that at most so many of n fair coins show heads."""
    return sum(math.comb(n, heads) for heads in range(count + 1)) / float(2**n)


def speed_up(slow: Sequence[float], fast: Sequence[float]) -> Spread:
    """How many times as fast ``fast`` is, turn by turn: what slows both in a turn drops out."""
    return Spread.of([a / b for a, b in zip(slow, fast, strict=True)])


def fastest_reference(medians: dict[str, float]) -> str | None:
    """The fastest of all but fastnn; None if there is no other."""
    others = [name for name in medians if name != "fastnn"]
    return min(others, key=medians.__getitem__, default=None)
