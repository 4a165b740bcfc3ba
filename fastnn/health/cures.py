"""Changes are tried on copies, and ranked by what came of them."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, isfinite
from typing import TYPE_CHECKING

from fastnn.health.changes import Change, combine
from fastnn.health.report import Remedy, Trial
from fastnn.health.sample import Sample
from fastnn.health.trial import Course

if TYPE_CHECKING:
    from fastnn.models import Model

MARGIN = 0.05
"""A change has helped if the net learned so much more: three standard errors of an accuracy on
1000 rows."""

CURED = 0.8
"""Of what a sound net has learned, a cured one has this much after a trial; while the best change
does not reach it, others are added to it."""

_SCREENING = 3
"""All changes are tried for this part of a trial, and the best of them for a whole one."""

_WHOLE = 6
"""So many."""

_ROUNDS = 2
_PARTNERS = 4
"""To the best change, so many others are added in each round."""

_FEWEST = 5
"""Steps of a trial, however few rows they are to see."""

_EVERY = 5
"""Steps of the model's batches of which the statistics of one are taken."""

_Tried = tuple[Change, Trial]


class Cures:
    """Tries changes, all on the same rows: one with larger batches for fewer steps, for it is as
    many epochs that a user will train with or without it.

    Args:
        model: A copy of the user's, with the weights of the beginning; it stays as it is.
        untreated: Its trial.
        reference: What a sound net learned in one.
        steps, batch_size: Of a trial of the model as it is.
    """

    def __init__(
        self,
        model: Model,
        untreated: Trial,
        reference: float,
        sample: Sample,
        steps: int,
        batch_size: int,
    ) -> None:
        self._model, self._untreated, self._reference = model, untreated, reference
        self._sample, self._steps, self._batch_size = sample, steps, batch_size

    def try_all(self, changes: Sequence[Change]) -> tuple[Remedy, ...]:
        """All, and combinations of those that did best: the best first, the useless last."""
        screened = _ranked([(change, self._try(change, _SCREENING)) for change in changes])
        whole = _ranked([(change, self._try(change)) for change, _ in screened[:_WHOLE]])
        combined = self._combine(whole, [change for change, _ in [*whole, *screened[_WHOLE:]]])
        remedies = [
            self._remedy(*tried) for tried in [*_ranked(whole + combined), *screened[_WHOLE:]]
        ]
        return (*(r for r in remedies if r.helped), *(r for r in remedies if not r.helped))

    def _combine(self, whole: Sequence[_Tried], changes: Sequence[Change]) -> list[_Tried]:
        tried: list[_Tried] = []
        best = whole[0] if whole else None
        for _ in range(_ROUNDS):
            if best is None or best[1].learned >= CURED * self._reference:
                break
            found = [
                (both, self._try(both))
                for both in (combine(best[0], other) for other in _partners(best[0], changes))
            ]
            tried += found
            better = _ranked([best, *found])[0]
            if better is best:
                break
            best = better
        return tried

    def _try(self, change: Change, part: int = 1) -> Trial:
        arguments = change.fit_arguments()
        batch_size = arguments.get("batch_size", self._batch_size)
        rows = self._steps * self._batch_size // part
        every = max(1, _EVERY * self._batch_size // batch_size)
        try:
            course = Course(change.apply(self._model), self._sample, batch_size, every)
        except ValueError as error:
            # Labels of the wrong kind, which this change does not mend.
            return Trial((), error=str(error), batch_size=batch_size)
        return course.go_on(max(_FEWEST, rows // batch_size))

    def _remedy(self, change: Change, trial: Trial) -> Remedy:
        helped = trial.error is None and trial.learned >= self._untreated.learned + MARGIN
        return Remedy(
            change.name, change.change, trial, helped, lambda: change.apply(self._model),
            change.fit_arguments,
        )  # fmt: skip


def _ranked(tried: Sequence[_Tried]) -> list[_Tried]:
    return sorted(tried, key=lambda pair: _merit(pair[1]), reverse=True)


def _merit(trial: Trial) -> tuple[float, float]:
    """More is better: what was learned; if nothing was, the loss decides."""
    return trial.learned, -trial.loss if isfinite(trial.loss) else -inf


def _partners(best: Change, changes: Sequence[Change]) -> list[Change]:
    """The first of each category that is not in it."""
    taken = set(best.category.split("+"))
    found: list[Change] = []
    for change in changes:
        if change.category not in taken:
            taken.add(change.category)
            found.append(change)
    return found[:_PARTNERS]
