"""The same trial with other rows held out and in another order, for where one says too little."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fastnn.health.sample import Sample
from fastnn.health.sound import Sound

if TYPE_CHECKING:
    from fastnn.models import Model


class Folds:
    """Samples of the same data, each with its own rows held out, and what sound nets learn of each.

    Args:
        model: The user's, built and compiled.
        drawn: Draws the sample of a fold. That of fold 0 is there already.
        batch_size: Rows of a step.
        sample, sound: Of fold 0.
    """

    def __init__(
        self,
        model: Model,
        drawn: Callable[[int], Sample],
        batch_size: int,
        sample: Sample,
        sound: Sound,
    ) -> None:
        self._model, self._drawn, self._batch_size = model, drawn, batch_size
        self._known = {0: (sample, sound)}

    def at(self, fold: int) -> tuple[Sample, Sound]:
        """Drawn when first asked for."""
        if fold not in self._known:
            sample = self._drawn(fold)
            sound = Sound(self._model, sample, self._batch_size, several=True)
            self._known[fold] = sample, sound
        return self._known[fold]
