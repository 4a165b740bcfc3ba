"""Whether a change makes a net healthy, and not only better for a hundred steps."""

from __future__ import annotations

from collections.abc import Sequence

from fastnn.health.attempt import Attempt
from fastnn.health.folds import Folds
from fastnn.health.judge import final, is_cheap, learns, stages
from fastnn.health.report import Progress
from fastnn.health.sample import Sample
from fastnn.health.sound import Sound
from fastnn.verdicts import Thresholds

_MOST_WORK = 2**32
"""Multiplications of forward passes: a look ends there, after about a second."""

_MOST_WORK_OF_CONVOLUTIONS = 2**34
"""Each of their weights is used many times: less would be less than a trial."""


class Outlook:
    """Trains with a change as long as a net in doubt is trained, or as long as it may cost.

    Args:
        folds: Rows, and what sound nets have learned of them. Of a net that costs little, two are
            looked at.
        work: Multiplications of the net for a row.
        convolutions: Whether it has some.
        numbers: Whether it is a regression.
        steps, batch_size: Of a trial.
        thresholds: By which a net is healthy.
    """

    def __init__(
        self,
        folds: Folds,
        work: int,
        convolutions: bool,
        numbers: bool,
        steps: int,
        batch_size: int,
        thresholds: Thresholds,
    ) -> None:
        self._folds, self._thresholds = folds, thresholds
        self._batch_size, self._numbers = batch_size, numbers
        most = _MOST_WORK_OF_CONVOLUTIONS if convolutions else _MOST_WORK
        affordable = most // max(1, work * batch_size)
        self._cheap = is_cheap(work, steps, batch_size)
        looks = stages(steps, batch_size, self._cheap)
        self._looks = [n for n in looks if n <= affordable] or [steps]
        self._known: dict[str, float] = {}

    def share(self, attempt: Attempt) -> float:
        """What the net has learned in the end with the change, by what a sound net has; 0 if it
        would not be called healthy. Of a remedy, what it has lost again is not made allowance
        for."""
        name = attempt.change.name
        if name not in self._known:
            broken = attempt.trial.error is not None
            self._known[name] = 0.0 if broken else self._seen_to_the_end(attempt)
        return self._known[name]

    def was_healthy(self, name: str) -> bool:
        """False too if nobody asked."""
        return self._known.get(name, 0.0) > 0.0

    def _seen_to_the_end(self, attempt: Attempt) -> float:
        """Two folds of a cheap net, and the means of both: with one, the best of several changes
        would be the luckiest."""
        seen: list[list[Progress]] = []
        for fold in range(2 if self._cheap else 1):
            sample, sound = self._folds.at(fold)
            progress = self._seen(attempt, sample if self._cheap else None, sound)
            if not self._learns([*seen, progress]):
                return 0.0
            seen.append(progress)
        kept, reference = final(*seen)
        return kept / reference if reference > 0 else 0.0

    def _seen(self, attempt: Attempt, sample: Sample | None, sound: Sound) -> list[Progress]:
        """As far as it is worth a look.

        Args:
            sample: By default, that of the attempt.
        """
        progress: list[Progress] = []
        for steps, learned in attempt.looks(self._looks, self._batch_size, sample):
            broken = learned is None
            progress.append(Progress(steps, learned or 0.0, sound.after(steps), broken))
            if self._learns([progress]) is False:
                break
        return progress

    def _learns(self, seen: Sequence[Sequence[Progress]]) -> bool | None:
        progress, *others = seen
        ended = progress[-1].steps == self._looks[-1]
        return learns(progress, ended, self._thresholds, self._cheap, self._numbers, others)
