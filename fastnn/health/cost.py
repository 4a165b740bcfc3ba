"""What an illness costs a net that learns in spite of it."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan

from fastnn.health.report import Remedy, Trial
from fastnn.health.words import number, percent


def cost_of(untreated: Trial, tried: Sequence[Remedy]) -> float:
    """By how much more the net learns with the best change of as long a trial."""
    learned = [remedy.trial.learned for remedy in tried if remedy.trial]
    return max([untreated.learned, *learned]) - untreated.learned


def price_of(untreated: Trial, tried: Sequence[Remedy]) -> str:
    """The cost in words."""
    seen = [(remedy.trial.learned, remedy) for remedy in tried if remedy.trial]
    if not seen:
        return "Nothing could be tried against it"
    best = max(seen, key=lambda each: each[0])[1].trial
    assert best is not None
    if best.learned <= untreated.learned:
        return "No change against it did better in a trial"
    mine, other = _score(untreated), _score(best)
    return (
        f"After {len(untreated.losses)} steps it has {mine}, and {other} with the best change "
        "against it"
    )


def _score(trial: Trial) -> str:
    """What a trial came to, in the terms of the targets."""
    if not isnan(trial.accuracy):
        return f"an accuracy of {percent(trial.accuracy)} %"
    if not isnan(trial.r2):
        return f"an R2 of {number(trial.r2)}"
    return f"learned {percent(trial.learned)} %"
