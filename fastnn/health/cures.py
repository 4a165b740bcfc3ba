"""Changes are tried on copies, and ranked by what came of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fastnn.health.attempt import Attempt
from fastnn.health.blueprint import Blueprint
from fastnn.health.changes import Change, combine
from fastnn.health.ranking import ranked, recommended
from fastnn.health.report import Remedy, Trial
from fastnn.health.sample import Sample, n_rows_of

if TYPE_CHECKING:
    from fastnn.models import Model

MARGIN = 0.05
"""A change has helped if the net learned so much more: three standard errors of an accuracy on
1000 rows."""

CURED = 0.8
"""Of what a sound net has learned, a cured one has this much after a trial; while the best change
does not reach it, others are added to it."""

_STAGES = ((6, 8), (3, 4))
"""After a sixth of a trial the best eight go on, after a third the best four, to its end: on 34
nets of the calibration's setting half, the best of a whole trial of all was always among them."""

_ROUNDS = 2
_PARTNERS = 4
"""To the best change, so many others are added in each round, each for a whole trial: what cures
one of two faults is slow to show."""

_MOST_WEIGHTS = 2**26
"""Of nets that wait in memory to go on: with an optimizer's two slots, 0.8 GB."""


class Cures:
    """Tries changes, all on the same rows: one with larger batches for fewer steps, for it is as
    many epochs that a user will train with or without it.

    Args:
        model: A copy of the user's, with the weights of the beginning; it stays as it is.
        untreated: Its trial.
        verdict: On it.
        reference: What a sound net learned in one.
        steps, batch_size: Of a trial of the model as it is.
    """

    def __init__(
        self,
        model: Model,
        untreated: Trial,
        verdict: str,
        reference: float,
        sample: Sample,
        steps: int,
        batch_size: int,
    ) -> None:
        self._model, self._untreated, self._reference = model, untreated, reference
        self._verdict = verdict
        self._blueprint = Blueprint.of(model)
        self._sample, self._steps, self._batch_size = sample, steps, batch_size
        self._waiting = _MOST_WEIGHTS // max(1, sum(weight.size for weight in model.weights))

    def try_all(self, changes: Sequence[Change]) -> tuple[Remedy, ...]:
        """All, and combinations of those that did best: the best first, the useless last."""
        whole, others = self._race([each for each in changes if each.changes_steps], _STAGES)
        whole += self._combine(whole, others)
        best_first = recommended(whole, self._verdict, n_rows_of(self._sample.held_out[0]))
        remedies = [
            *(self._remedy(each.change, each.trial) for each in [*best_first, *others]),
            *(self._remedy(each, self._untreated) for each in changes if not each.changes_steps),
        ]
        return (*(r for r in remedies if r.helped), *(r for r in remedies if not r.helped))

    def _race(
        self, changes: Sequence[Change], stages: Sequence[tuple[int, int]]
    ) -> tuple[list[Attempt], list[Attempt]]:
        """Those that went on to the end of a trial, and the others, those that came further before
        those that did not; best first.

        Args:
            stages: The part of a trial after which so many go on.
        """
        running = [
            Attempt(each, self._blueprint, self._sample, self._steps, self._batch_size)
            for each in changes
        ]
        others: list[Attempt] = []
        for part, count in stages:
            seen: list[Attempt] = []
            for attempt in running:
                seen = ranked([*seen, attempt.go_on(part)])
                for each in seen[min(count, self._waiting) :]:
                    each.rest()
            running, others = seen[:count], seen[count:] + others
        for attempt in running:
            attempt.go_on().rest()
        return ranked(running), others

    def _combine(self, whole: Sequence[Attempt], others: Sequence[Attempt]) -> list[Attempt]:
        """Combinations with the best one, after a whole trial."""
        changes = [each.change for each in [*whole, *others]]
        best = whole[0] if whole else None
        tried: list[Attempt] = []
        for _ in range(_ROUNDS):
            if best is None or best.trial.learned >= CURED * self._reference:
                break
            partners = _partners(best.change, changes)
            both = [combine(best.change, each) for each in partners]
            found, _ = self._race(both, ())
            tried += found
            better = ranked([best, *found])[0]
            if better is best:
                break
            best = better
        return tried

    def _remedy(self, change: Change, trial: Trial) -> Remedy:
        helped = trial.error is None and trial.learned >= self._untreated.learned + MARGIN
        return Remedy(
            change.name, change.change, trial, helped, lambda: change.apply(self._model),
            change.fit_arguments,
        )  # fmt: skip


def _partners(best: Change, changes: Sequence[Change]) -> list[Change]:
    """The first of each category that is not in it."""
    taken = set(best.category.split("+"))
    found: list[Change] = []
    for change in changes:
        if change.category not in taken:
            taken.add(change.category)
            found.append(change)
    return found[:_PARTNERS]
