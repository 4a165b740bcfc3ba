"""A change in training, on a copy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from fastnn.health.baseline import baseline_loss
from fastnn.health.blueprint import Blueprint
from fastnn.health.changes import Change
from fastnn.health.report import Trial
from fastnn.health.sample import Sample
from fastnn.health.trial import Course
from fastnn.models.feeding import feed

if TYPE_CHECKING:
    from fastnn.models import Model

_FEWEST = 5
"""Steps of an attempt, however few rows it is to see."""

_EVERY = 10
"""Steps of the model's own batches of which the statistics of one are taken."""


class Attempt:
    """A change that may be seen for a while, and later for longer.

    Args:
        blueprint: Of the model with the weights of the beginning.
        steps, batch_size: Of a whole trial, if the change does not say other. With batches of
            another size it takes as many steps as there are in those rows.

    Attributes:
        trial: What came of it so far.
    """

    def __init__(
        self, change: Change, blueprint: Blueprint, sample: Sample, steps: int, batch_size: int
    ) -> None:
        self.change = change
        self._blueprint, self._sample = blueprint, sample
        self._batch_size: int = change.fit_arguments().get("batch_size", batch_size)
        self._every = max(1, _EVERY * batch_size // self._batch_size)
        self.trial = Trial((), batch_size=self._batch_size)
        self._rows = steps * batch_size
        self._course: Course | None = None
        self._steps = 0

    def go_on(self, part: int = 1) -> Attempt:
        """To the end of such a part of a trial, a third for 3, or to the first step after which its
        outcome says something; returns itself."""
        try:
            course = self._course or self._begin()
        except ValueError as error:
            # Labels of the wrong kind, which this change does not mend.
            self.trial = Trial((), error=str(error), batch_size=self._batch_size)
            return self
        least = min(course.settling, self._rows // self._batch_size)
        steps = max(_FEWEST, least, self._rows // part // self._batch_size)
        self.trial = course.go_on(steps - self._steps)
        self._course, self._steps = course, steps
        return self

    def looks(
        self, after: Sequence[int], batch_size: int, sample: Sample | None = None
    ) -> Iterator[tuple[int, float | None]]:
        """From the beginning, the outcome alone: what has been learned in the rows of so many steps
        of ``batch_size``; None if training broke off.

        Args:
            after: Ascending.
            sample: Other rows than those of the trial.
        """
        course, done = self._begin(sample), 0
        for steps in after:
            total = max(_FEWEST, steps * batch_size // self._batch_size)
            yield steps, course.hurry_on(total - done)
            done = total

    def rest(self) -> None:
        """Give the memory back; if it goes on, it does so from the beginning."""
        self._course, self._steps = None, 0

    def _begin(self, sample: Sample | None = None) -> Course:
        model = self.change.edit(self._blueprint).make()
        rows = self._sample if sample is None else sample
        return Course(model, rows, self._batch_size, self._every, unit=self._unit(model))

    def _unit(self, model: Model) -> float:
        """The loss of a constant, weighted as the untreated model does it, by that of ``model``."""
        before, after = self._blueprint.loss_weights, model._check_compiled().loss_weights
        if before == after:
            return 1.0
        data = feed(model, *self._sample.held_out)
        mine = baseline_loss(model, data)
        model_as_given = replace(self.change.edit(self._blueprint), loss_weights=before).make()
        theirs = baseline_loss(model_as_given, data)
        return float(theirs / mine) if mine and theirs else 1.0
