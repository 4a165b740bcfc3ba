"""Changes are tried on copies, and ranked by what came of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

from fastnn.health.changes import Change, combine
from fastnn.health.report import Remedy, Trial
from fastnn.health.sample import Sample
from fastnn.health.trial import Course

if TYPE_CHECKING:
    from fastnn.models import Model

MARGIN = 0.05
"""A change has helped if the net learned so much more: three standard errors of an accuracy on
1000 rows."""

CURED = 0.7
"""What a net should have learned in a trial; while the best change does not reach it, others are
added to it."""

_ROUNDS = 2
_PARTNERS = 4
"""To the best change, so many others are added in each round."""


def try_changes(
    model: Model,
    changes: Sequence[Change],
    untreated: Trial,
    sample: Sample,
    steps: int,
    batch_size: int,
) -> tuple[Remedy, ...]:
    """All of them, and combinations of those that did best; the best first, the useless last.

    Args:
        model: A copy of the user's, with the weights of the beginning; it stays as it is.
    """

    def trial(change: Change) -> Trial:
        arguments = change.fit_arguments()
        rows = arguments.get("batch_size", batch_size)
        try:
            return Course(change.apply(model), sample, rows, every=5).go_on(steps)
        except ValueError as error:
            # Labels of the wrong kind, which this change does not mend.
            return Trial((), error=str(error))

    tried = [(change, trial(change)) for change in changes]
    singles = sorted(tried, key=lambda pair: _merit(pair[1]), reverse=True)
    best = singles[0] if singles else None
    for _ in range(_ROUNDS):
        if best is None or best[1].learned >= CURED:
            break
        found = [
            (both, trial(both))
            for both in (combine(best[0], other) for other in _partners(best[0], singles))
        ]
        tried += found
        better = max(found, key=lambda pair: _merit(pair[1]), default=best)
        if _merit(better[1]) <= _merit(best[1]):
            break
        best = better
    ranked = sorted(tried, key=lambda pair: _merit(pair[1]), reverse=True)
    remedies = [_remedy(model, change, result, untreated) for change, result in ranked]
    return (*(r for r in remedies if r.helped), *(r for r in remedies if not r.helped))


def _partners(best: Change, singles: Sequence[tuple[Change, Trial]]) -> list[Change]:
    taken = set(best.category.split("+"))
    found: list[Change] = []
    for change, _ in singles:
        if change.category not in taken:
            taken.add(change.category)
            found.append(change)
    return found[:_PARTNERS]


def _merit(trial: Trial) -> tuple[float, float]:
    """More is better: what was learned; if nothing was, the loss decides."""
    return (trial.learned, -trial.loss if isfinite(trial.loss) else -float("inf"))


def _remedy(model: Model, change: Change, trial: Trial, untreated: Trial) -> Remedy:
    helped = trial.error is None and trial.learned >= untreated.learned + MARGIN
    apply: Callable[[], Model] = lambda: change.apply(model)  # noqa: E731
    arguments: Callable[[], dict[str, Any]] = change.fit_arguments
    return Remedy(change.name, change.change, trial, helped, apply, arguments)
