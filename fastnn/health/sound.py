"""What there is to learn: what nets learn that are known to be sound, from the same batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastnn.health.reference import (
    plain_reference_for,
    reference_for,
    small_reference_for,
)
from fastnn.health.sample import Sample
from fastnn.health.trial import Course
from fastnn.models.feeding import feed

if TYPE_CHECKING:
    from fastnn.models import Model


class Sound:
    """Sound nets, in training.

    Args:
        model: The user's, built and compiled.
        sample: Rows to train with and to evaluate on.
        batch_size: Rows of a step.
        several: Of three nets, the one that has learned more counts: in the long run the noise of
            batch statistics stands in the way of the last few per cent of a smooth function, and on
            a small or noisy table a smaller net learns less of the noise.
    """

    def __init__(self, model: Model, sample: Sample, batch_size: int, several: bool) -> None:
        targets = feed(model, *sample.train).targets
        makers = [reference_for]
        if several:
            makers += [plain_reference_for, small_reference_for]
        self._courses = [
            Course(make(model, targets), sample.dense(), batch_size) for make in makers
        ]
        self._learned = {0: 0.0}

    def after(self, steps: int) -> float:
        """What they have learned after so many. Numbers may be too large even for them: then they
        have learned nothing."""
        if steps not in self._learned:
            more = steps - max(self._learned)
            self._learned[steps] = max(course.hurry_on(more) or 0.0 for course in self._courses)
        return self._learned[steps]

    def widen(self, sample: Sample) -> None:
        """As ``Course.widen``."""
        for course in self._courses:
            course.widen(sample.dense())
