"""Scales that charts share: decades, colours, thinned steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import TypeVar

from fastnn.health.figures import finite

T = TypeVar("T")

# Viridis (Smith & van der Walt, matplotlib 2015): even steps to the eye, also without red or green.
VIRIDIS = (
    "#440154", "#482475", "#414487", "#355f8d", "#2a788e", "#21918c", "#22a884", "#44bf70",
    "#7ad151", "#bddf26", "#fde725",
)  # fmt: skip

MAX_COLUMNS = 80
"""A map of more steps shows several in a column: finer ones could not be told apart."""


@dataclass(frozen=True)
class Decades:
    """A logarithmic scale from ``10**low`` to ``10**high``."""

    low: int
    high: int

    def place(self, value: float) -> float:
        """From 0 at the low end to 1 at the high end, for a positive finite value."""
        return min(1.0, max(0.0, (log10(value) - self.low) / (self.high - self.low)))

    def ticks(self, at_most: int) -> list[int]:
        """Exponents, evenly spaced, the low end among them."""
        step = ceil((self.high - self.low + 1) / at_most)
        return list(range(self.low, self.high + 1, step))


def decades(values: Sequence[float], at_least: int = 4) -> Decades:
    """The whole decades that hold all positive finite ``values``, and no fewer than ``at_least``.

    On fewer, noise would fill the whole scale.
    """
    exponents = [log10(value) for value in finite(values) if value > 0] or [-2.0]
    low, high = floor(min(exponents)), ceil(max(exponents))
    lack = max(0, at_least - (high - low))
    return Decades(low - (lack + 1) // 2, high + lack // 2)


def colour(place: float) -> str:
    """The colour at ``place`` from 0 to 1, as ``"#rrggbb"``."""
    i = min(int(place * (len(VIRIDIS) - 1)), len(VIRIDIS) - 2)
    weight = place * (len(VIRIDIS) - 1) - i
    ends = [[int(stop[k : k + 2], 16) for k in (1, 3, 5)] for stop in VIRIDIS[i : i + 2]]
    mixed = (round(a + (b - a) * weight) for a, b in zip(*ends, strict=True))
    return "#" + "".join(f"{part:02x}" for part in mixed)


def columns(items: Sequence[T]) -> list[Sequence[T]]:
    """Neighbours in groups of one size, so few that at most ``MAX_COLUMNS`` come out."""
    size = ceil(len(items) / MAX_COLUMNS) or 1
    return [items[i : i + size] for i in range(0, len(items), size)]
