"""Shares of nets, and how sure they are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

_Z = 1.959963984540054
"""Of a normal distribution, 95 % lie within so many deviations."""


@dataclass(frozen=True)
class Share:
    """``count`` of ``of`` nets; ``count`` may be a sum of probabilities."""

    count: float
    of: int

    @property
    def value(self) -> float:
        """NaN of no nets."""
        return self.count / self.of if self.of else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % score interval (Wilson 1927)."""
        if not self.of:
            return 0.0, 1.0
        share, square = self.value, _Z * _Z / self.of
        middle = (share + square / 2) / (1 + square)
        half = _Z * math.sqrt(share * (1 - share) / self.of + square / (4 * self.of)) / (1 + square)
        return max(0.0, middle - half), min(1.0, middle + half)

    def to_dict(self) -> dict[str, Any]:
        """JSON values; ``share`` is None of no nets."""
        return {
            "count": self.count,
            "of": self.of,
            "share": self.value if self.of else None,
            "interval": list(self.interval),
        }

    def __str__(self) -> str:
        """E.g. "98.0 % (49 of 50, 95 % interval 89.5 .. 99.6)"; a dash of no nets."""
        if not self.of:
            return "-"
        low, high = self.interval
        return (
            f"{self.value:.1%} ({self.count:.4g} of {self.of}, "
            f"95% interval {100 * low:.1f}..{100 * high:.1f})"
        )
