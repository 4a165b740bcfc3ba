"""Which change is the best."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, isfinite, sqrt

from fastnn.health.attempt import Attempt
from fastnn.health.changes import Change
from fastnn.health.report import Trial

UNDOING = {
    "input_scale": {"input_scale"},
    "target_scale": {"target_scale"},
    "loss_mismatch": {"loss"},
    "learning_rate": {"learning_rate"},
    "nonfinite": {"initialization"},
    "exploding": {"initialization"},
    "vanishing": {"initialization", "activation"},
    "saturated": {"initialization", "activation"},
    "dead": {"initialization", "activation"},
}
"""Verdict -> categories of changes that undo the cause that it names."""


def ranked(attempts: Sequence[Attempt]) -> list[Attempt]:
    """By what was learned alone, the best first."""
    return sorted(attempts, key=lambda each: _merit(each.trial), reverse=True)


def recommended(attempts: Sequence[Attempt], verdict: str, rows: int) -> list[Attempt]:
    """The best first; but of those that are as good as the best of them, within its standard error,
    first what undoes the cause that the verdict names, and a single change before a combination.

    Args:
        rows: On which they were evaluated. What was learned is about a share of them.
    """
    left, found = ranked(attempts), list[Attempt]()
    while left:
        best = left[0].trial.learned
        level = best - sqrt(best * (1 - best) / rows)
        equals = [each for each in left if each.trial.learned >= level]
        found += sorted(equals, key=lambda each: place(each.change, verdict))
        left = left[len(equals) :]
    return found


def place(change: Change, verdict: str) -> tuple[bool, int]:
    """Of changes that are as good: whether it does not undo the cause, and its parts."""
    categories = change.category.split("+")
    return UNDOING.get(verdict, set()).isdisjoint(categories), len(categories)


def _merit(trial: Trial) -> tuple[float, float]:
    """More is better: what was learned; if nothing was, the loss decides."""
    return trial.learned, -trial.loss if isfinite(trial.loss) else -inf
