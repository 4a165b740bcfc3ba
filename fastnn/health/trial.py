"""A net is trained for a while: what comes of it."""

from __future__ import annotations

from dataclasses import replace
from math import isfinite, isnan, nan
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn.errors import NonFiniteGradientError
from fastnn.health.baseline import baseline_loss, chance, share_learned
from fastnn.health.report import Trial
from fastnn.health.sample import Sample
from fastnn.health.stepwise import run_stepwise
from fastnn.layers import BatchNormalization
from fastnn.layers.base import Layer
from fastnn.metrics import EpochMetric
from fastnn.models.executables import Observing
from fastnn.models.feeding import feed
from fastnn.models.lsuv import calibrate
from fastnn.models.passes import ROWS_AT_A_TIME, run_pass
from fastnn.models.totals import Totals
from fastnn.statistics import StepStatistics

if TYPE_CHECKING:
    from fastnn.models import Model

_MOMENTUM = 0.9
"""Of moving statistics: with Keras's 0.99, those of a short trial would still be those of its
beginning."""

_SETTLING = 30
"""Steps after which the first values have a share of 4 % in them."""


class Course:
    """A net in training, which goes on step by step as long as one wants to see more.

    The batches are the same for every net. Moving statistics of batch normalization follow with a
    momentum of at most 0.9.

    Args:
        model: It is trained: a copy of the user's.
        sample: Rows to train with and to evaluate on.
        batch_size: Rows of a step.
        every: Steps of which the statistics of one are taken.
        window: Steps for which a unit must be silent to count as dead.

    Attributes:
        settling: Steps before which its outcome says little: 0, or with batch normalization 30.
    """

    def __init__(
        self, model: Model, sample: Sample, batch_size: int, every: int = 1, window: int = 25
    ) -> None:
        self.settling = 0
        for layer in _flat(model.layers):
            if isinstance(layer, BatchNormalization):
                layer.momentum, self.settling = min(layer.momentum, _MOMENTUM), _SETTLING
        self._model, self._batch_size = model, batch_size
        self._data = feed(model, *sample.train)
        calibrate(model, self._data)
        self._find_nonzeros()
        self._held_out = feed(model, *sample.held_out)
        self._judged = [
            replace(each, metrics=[_RIGHT] * each.has_target, weighted_metrics=())
            for each in model._objectives()
        ]
        baseline = baseline_loss(model, self._held_out)
        self._baseline = self._test().logs()["loss"] if baseline is None else baseline
        self._losses: list[float] = []
        self._observed: list[StepStatistics] = []
        self._observing = Observing(every, window, self._observed.extend)
        self._random = np.random.default_rng(0)
        self._waiting = np.zeros(0, np.int64)
        """Rows of batches to come."""
        self._error: str | None = None

    def go_on(self, steps: int) -> Trial:
        """So many steps, each looked at; then how far it has come."""
        if self._error is None:
            self._error = self._train_closely(self._next_rows(steps))
        loss, accuracy, learned = (nan, nan, 0.0) if self._error else self._evaluate()
        return Trial(
            tuple(self._losses), loss, accuracy, gradient_ratio(self._observed), self._error,
            tuple(self._observed), learned, self._batch_size,
        )  # fmt: skip

    def hurry_on(self, steps: int) -> float | None:
        """So many steps, not looked at: what has been learned in all, or None if training broke
        off."""
        model, order = self._model, self._next_rows(steps)
        try:
            run_pass(model, self._data, order, self._batch_size, model._totals(), model._updates())
        except NonFiniteGradientError as error:
            self._error = _in_short(error)
        return self._evaluate()[-1] if self._error is None else None

    def widen(self, sample: Sample) -> None:
        """Go on with the rows to train with of a sample that begins with those so far: first with
        the others."""
        seen = len(self._data)
        self._data = feed(self._model, *sample.train)
        self._find_nonzeros()
        others = seen + self._random.permutation(len(self._data) - seen)
        self._waiting = np.concatenate([self._waiting, others])

    def _find_nonzeros(self) -> None:
        self._data.find_nonzeros(self._model._executables.scales_of_sparse_inputs())

    def _next_rows(self, steps: int) -> NDArray[np.int64]:
        while len(self._waiting) < steps * self._batch_size:
            more = self._random.permutation(len(self._data))
            self._waiting = np.concatenate([self._waiting, more])
        order, self._waiting = np.split(self._waiting, [steps * self._batch_size])
        return order

    def _train_closely(self, order: NDArray[np.int64]) -> str | None:
        """Returns why training broke off."""
        try:
            run_stepwise(
                self._model, self._data, order, self._batch_size, self._losses,
                self._model._updates(), self._observing,
                enough=lambda losses: np.isinf(losses[-1]),
            )  # fmt: skip
        except NonFiniteGradientError as error:
            return _in_short(error)
        if np.isinf(self._losses[-1]):
            return f"the loss of step {len(self._losses) - 1} is infinite"
        if all(map(isnan, self._losses)):
            return "no gradient was finite, so that every step was skipped"
        return None

    def _test(self) -> Totals:
        """Loss and accuracies on the rows held out, in one pass."""
        totals, count = self._model._totals(self._judged), len(self._held_out)
        rows = np.arange(count)
        run_pass(self._model, self._held_out, rows, min(count, ROWS_AT_A_TIME), totals)
        return totals

    def _evaluate(self) -> tuple[float, float, float]:
        """Loss and accuracy on the rows held out, and how much was learned."""
        totals = self._test()
        loss = totals.logs()["loss"]
        outputs = [each for each in totals.collector.examples if each is not None]
        rights = [each.compute(_RIGHT, weighted=False) for each in outputs]
        objectives = [o for o in self._model._objectives() if o.has_target]
        targets = [
            o.by_place(target) for o, target in zip(objectives, self._held_out.targets, strict=True)
        ]
        accuracies = zip(rights, map(chance, targets), strict=True)
        known = [pair for pair in accuracies if isfinite(pair[0])]
        accuracy = float(np.mean([right for right, _ in known])) if known else nan
        return loss, accuracy, share_learned(loss, self._baseline, known)


def _in_short(error: NonFiniteGradientError) -> str:
    """Without the advice: the report has its own."""
    return str(error).partition(";")[0]


class _ShareRight(EpochMetric):
    """``share_right`` among the metrics of a pass."""

    def compute(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> float:
        return share_right(y_true, np.asarray(y_pred, np.float32))


_RIGHT = _ShareRight("right")


def share_right(target: ArrayLike, y_pred: NDArray[np.float32]) -> float:
    """The accuracy where the targets are classes, labels or rows with a single 1; else NaN."""
    true = np.asarray(target)
    predicted = y_pred.reshape(len(y_pred), -1)
    if predicted.shape[1] == 1:
        binary = true.reshape(len(true), -1)
        if not np.isin(binary, (0, 1)).all():
            return nan
        # Probabilities lie between 0 and 1; logits do not, or not for long.
        threshold = 0.5 if predicted.min() >= 0 and predicted.max() <= 1 else 0.0
        return float(np.mean((predicted > threshold) == (binary == 1)))
    if true.ndim > 1:
        flat = true.reshape(len(true), -1)
        if flat.shape != predicted.shape or not (
            np.isin(flat, (0, 1)).all() and (flat.sum(axis=1) == 1).all()
        ):
            return nan
        true = flat.argmax(axis=1)
    return float(np.mean(predicted.argmax(axis=1) == true))


def gradient_ratio(observed: list[StepStatistics]) -> float:
    """Gradient of the first layer that trains by that of the last, each the root of the mean of
    squares; the median over the last ten steps."""
    ratios = []
    for step in observed[-10:]:
        sizes = [layer.gradient_rms for layer in step.layers.values() if layer.gradient_size]
        if sizes and sizes[-1] > 0:
            ratios.append(sizes[0] / sizes[-1])
    return float(np.median(ratios)) if ratios else nan


def _flat(layers: list[Layer]) -> list[Layer]:
    return [each for layer in layers for each in (layer, *_flat(list(layer.inner_layers)))]
