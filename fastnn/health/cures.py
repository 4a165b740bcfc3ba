"""Changes are tried on copies, and ranked by what came of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fastnn.health.attempt import Attempt
from fastnn.health.blueprint import Blueprint
from fastnn.health.changes import Change, combine, known_to_help, overhaul
from fastnn.health.changes.training import with_rate
from fastnn.health.outlook import Outlook
from fastnn.health.ranking import UNDOING, place, ranked, recommended
from fastnn.health.report import Progress, Remedy, Trial
from fastnn.health.sample import Sample, n_rows_of

if TYPE_CHECKING:
    from fastnn.models import Model

MARGIN = 0.05
"""A change has helped if the net learned so much more: three standard errors of an accuracy on
1000 rows."""

CURED = 0.9
"""Of what a sound net has learned, a cured one has this much after a trial; while the best change
does not reach it, others are added to it."""

_STAGES = ((6, 8), (3, 4))
"""After a sixth of a trial the best eight go on, after a third the best four, to its end: on 34
nets of the calibration's setting half, the best of a whole trial of all was always among them."""

_ROUNDS = 2
_PARTNERS = 4
"""To the best change, so many others are added in each round; in the first, all that is known to
help is tried at once, too, for a whole trial."""

_STAGES_OF_COMBINATIONS = ((3, 2),)
"""What cures one of two faults is slow to show: no combination is given up before a third."""

_LONGER = 4
_LAST = 4
"""Where nothing cures, so many of the best are tried once more for so many times the steps."""

_SIMPLE = 2
"""Of the changes that undo the cause, so many are looked at first, as long as a net in doubt."""

SURELY = 0.95
"""By what a sound net has learned in the end: a remedy with which the net comes to less is not the
first, if there is another."""

_MATERIALLY = 0.5
"""By what a sound net has learned in a trial: what undoes a cause that is known in numbers comes
before combinations if the net learns so much with it alone, in a longer trial."""

_LOOKED_AT = 8
"""Where they don't do, so many of the best, combinations among them."""

_MOST_WEIGHTS = 2**26
"""Of nets that wait in memory to go on: with an optimizer's two slots, 0.8 GB."""


class Cures:
    """Tries changes, all on the same rows: one with larger batches for fewer steps, for it is as
    many epochs that a user will train with or without it.

    Args:
        model: A copy of the user's, with the weights of the beginning; it stays as it is.
        untreated: Its trial.
        verdict: On it.
        progress: What it and a sound net learned in one, and in longer ones; may be empty.
        steps, batch_size: Of a trial of the model as it is.
        outlook: Tells whether a change makes the net healthy; without it, a trial must do.
        certain: The category of the change that undoes the cause, where that is known in numbers.
    """

    def __init__(
        self,
        model: Model,
        untreated: Trial,
        verdict: str,
        progress: Sequence[Progress],
        sample: Sample,
        steps: int,
        batch_size: int,
        outlook: Outlook | None = None,
        certain: str = "",
    ) -> None:
        self._certain = certain
        self._model, self._untreated, self._progress = model, untreated, progress
        self._reference = progress[0].reference if progress else 1.0
        self._verdict = verdict
        self._outlook = outlook
        self._blueprint = Blueprint.of(model)
        self._sample, self._steps, self._batch_size = sample, steps, batch_size
        self._waiting = _MOST_WEIGHTS // max(1, sum(weight.size for weight in model.weights))

    def try_all(self, changes: Sequence[Change]) -> tuple[Remedy, ...]:
        """All, and combinations of those that did best: the best first, the useless last."""
        whole, others = self._race([each for each in changes if each.changes_steps], _STAGES)
        alone = [*self._undoing(whole, others), *filter(self._cures, whole[:1])]
        first = self._simplest(alone)
        given_up: list[Attempt] = []
        best_first = self._recommended(whole)
        if first is None:
            combined, given_up = self._combine(whole, others)
            best_first = self._recommended([*whole, *combined])
            if not any(map(self._cures, best_first)):
                longer = self._seen_longer(best_first[:_LAST])
                best_first = self._recommended([*longer, *best_first[_LAST:]])
            candidates = [*alone, *best_first[:_LOOKED_AT]]
            first = self._simplest(candidates) or self._furthest(candidates)
        heads = [each for each in (self._undone(first, [*whole, *others]), first) if each]
        names = {each.change.name for each in heads}
        best_first = [*heads, *(each for each in best_first if each.change.name not in names)]
        others = [each for each in others if each.change.name not in names]
        remedies = [
            *(self._remedy(each.change, each.trial) for each in [*best_first, *given_up, *others]),
            *(self._remedy(each, self._untreated) for each in changes if not each.changes_steps),
        ]
        return (*(r for r in remedies if r.helped), *(r for r in remedies if not r.helped))

    def try_each(self, changes: Sequence[Change]) -> tuple[Remedy, ...]:
        """Each for a whole trial, the best first."""
        whole, _ = self._race([each for each in changes if each.changes_steps], ())
        found = [self._remedy(each.change, each.trial) for each in self._recommended(whole)]
        return (*(r for r in found if r.helped), *(r for r in found if not r.helped))

    def learns_at(self, rate: float) -> bool:
        """Whether the model cures with another learning rate, in a trial."""
        change = Change("learning_rate", "", "learning_rate", with_rate(rate))
        attempt = self._attempt(change, self._steps).go_on()
        attempt.rest()
        return self._cures(attempt)

    def _recommended(self, attempts: Sequence[Attempt]) -> list[Attempt]:
        return recommended(attempts, self._verdict, n_rows_of(self._sample.held_out[0]))

    def _cures(self, attempt: Attempt) -> bool:
        return attempt.trial.learned >= CURED * self._reference

    def _undoing(self, whole: Sequence[Attempt], others: Sequence[Attempt]) -> list[Attempt]:
        """The best of the changes that do nothing but undo the cause."""
        undoing = UNDOING.get(self._verdict, set())
        found = [each for each in [*whole, *others] if each.change.category in undoing]
        return found[:_SIMPLE]

    def _undone(self, first: Attempt | None, attempts: Sequence[Attempt]) -> Attempt | None:
        """The change that undoes a cause known in numbers, if with it alone the net learns, and
        only a combination would come first: that goes further, but replaces half the net."""
        if first is not None and len(first.change.category.split("+")) == 1:
            return None
        for each in attempts:
            if each.change.category == self._certain:
                longer = self._seen_longer([each])[0]
                learned = longer.trial.error is None and longer.trial.learned
                return longer if learned >= _MATERIALLY * self._reference else None
        return None

    def _simplest(self, attempts: Sequence[Attempt]) -> Attempt | None:
        """Of those that surely make the net healthy, or where no sound net goes along, cure in a
        trial: one that undoes the cause before others, and then the smallest."""
        outlook = self._outlook
        # In this order, because each that is asked about is trained for long.
        for each in sorted(attempts, key=lambda each: place(each.change, self._verdict)):
            if self._cures(each) if outlook is None else outlook.share(each) > SURELY:
                return each if self._cures(each) else self._seen_longer([each])[0]
        return None

    def _furthest(self, attempts: Sequence[Attempt]) -> Attempt | None:
        """Of those that make the net healthy, though not surely, the one that leaves least to
        chance: with which it has learned most in the end."""
        outlook = self._outlook
        if outlook is None or not attempts:
            return None
        best = max(attempts, key=outlook.share)
        if not outlook.was_healthy(best.change.name):
            return None
        return best if self._cures(best) else self._seen_longer([best])[0]

    def _seen_longer(self, attempts: Sequence[Attempt]) -> list[Attempt]:
        steps = _LONGER * self._steps
        longer = [self._attempt(each.change, steps) for each in attempts]
        for attempt in longer:
            attempt.go_on().rest()
        return longer

    def _attempt(self, change: Change, steps: int) -> Attempt:
        return Attempt(change, self._blueprint, self._sample, steps, self._batch_size)

    def _race(
        self, changes: Sequence[Change], stages: Sequence[tuple[int, int]]
    ) -> tuple[list[Attempt], list[Attempt]]:
        """Those that went on to the end of a trial, and the others, those that came further before
        those that did not; best first.

        Args:
            stages: The part of a trial after which so many go on.
        """
        running = [self._attempt(each, self._steps) for each in changes]
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

    def _combine(
        self, whole: Sequence[Attempt], others: Sequence[Attempt]
    ) -> tuple[list[Attempt], list[Attempt]]:
        """Combinations, as from ``_race``: with the best change, and of all that is known to
        help."""
        changes = [each.change for each in [*whole, *others]]
        best = whole[0] if whole else None
        tried: list[Attempt] = []
        given_up: list[Attempt] = []
        everything = overhaul(changes)
        known = set() if everything is None else {_parts(everything)}
        for number in range(_ROUNDS):
            if best is None or (self._cures(best) and self._outlook is None):
                break
            both = [combine(best.change, each) for each in _partners(best.change, changes)]
            if number == 0:
                both += self._with_undoing(whole, others, changes)
            new: list[Change] = []
            for each in both:
                if _parts(each) not in known:
                    known.add(_parts(each))
                    new.append(each)
            found, dropped = self._race(new, _STAGES_OF_COMBINATIONS)
            if number == 0 and everything is not None:
                found += self._race([everything], ())[0]
            tried += found
            given_up += dropped
            better = ranked([best, *found])[0]
            if better is best:
                break
            best = better
        return tried, given_up

    def _with_undoing(
        self, whole: Sequence[Attempt], others: Sequence[Attempt], changes: Sequence[Change]
    ) -> list[Change]:
        """What undoes the cause, with each of what is known to help: by itself it may show nothing
        if there is another fault."""
        bases = self._undoing(whole, others)[:1]
        return [
            combine(base.change, each)
            for base in bases
            for each in known_to_help(changes)
            if each.category != base.change.category
        ]

    def _remedy(self, change: Change, trial: Trial) -> Remedy:
        rows = len(trial.losses) * trial.batch_size
        seen = [each for each in self._progress if each.steps * self._batch_size <= rows]
        without = seen[-1].learned if seen else self._untreated.learned
        lasting = self._outlook is not None and self._outlook.was_healthy(change.name)
        helped = trial.error is None and (lasting or trial.learned >= without + MARGIN)
        return Remedy(
            change.name, change.change, trial, helped, lambda: change.apply(self._model),
            change.fit_arguments,
        )  # fmt: skip


def _parts(change: Change) -> frozenset[str]:
    """In another order a combination is the same, or nearly."""
    return frozenset(change.name.split("+"))


def _partners(best: Change, changes: Sequence[Change]) -> list[Change]:
    """The first of each category that is not in it."""
    taken = set(best.category.split("+"))
    found: list[Change] = []
    for change in changes:
        if change.category not in taken:
            taken.add(change.category)
            found.append(change)
    return found[:_PARTNERS]
