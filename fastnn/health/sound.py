"""What there is to learn: what nets learn that are known to be sound, from the same batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastnn.health.reference import plain_reference_for, reference_for, small_reference_for
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
        dense = sample.dense()
        data = feed(model, *dense.train)
        nets = [reference_for(model, data.targets)]
        if several:
            rows = [np.asarray(values) for values in data.inputs]
            nets.append(plain_reference_for(model, data.targets, rows))
            nets.append(small_reference_for(model, data.targets, rows))
        self._courses = [Course(net, dense, batch_size) for net in nets]
        self._learned: dict[int, tuple[float, ...]] = {0: (0.0,) * len(nets)}

    def after(self, steps: int) -> tuple[float, ...]:
        """What each has learned after so many. Numbers may be too large even for them: then they
        have learned nothing."""
        if steps not in self._learned:
            more = steps - max(self._learned)
            self._learned[steps] = tuple(each.hurry_on(more) or 0.0 for each in self._courses)
        return self._learned[steps]

    def widen(self, sample: Sample) -> None:
        """As ``Course.widen``."""
        for course in self._courses:
            course.widen(sample.dense())
