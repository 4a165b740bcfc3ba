"""A net is trained for a while: what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from math import isfinite, isnan, nan
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn.errors import NonFiniteGradientError
from fastnn.health.baseline import (
    REGRESSIONS,
    best_constants,
    chance,
    explained,
    is_one_class,
    share_learned,
)
from fastnn.health.report import Trial
from fastnn.health.sample import Sample
from fastnn.health.stepwise import run_stepwise
from fastnn.layers import BatchNormalization
from fastnn.layers.base import Layer
from fastnn.lowering.objective import Objective
from fastnn.metrics import EpochMetric
from fastnn.models.executables import Observing
from fastnn.models.feeding import feed
from fastnn.models.lsuv import calibrate
from fastnn.models.passes import ROWS_AT_A_TIME, run_pass
from fastnn.models.totals import Logs, Totals
from fastnn.statistics import StepStatistics

if TYPE_CHECKING:
    from fastnn.models import Model

_MOMENTUM = 0.9
"""Of moving statistics: with Keras's 0.99, those of a short trial would still be those of its
beginning."""

_LARGEST = 500.0
"""Of a logit; the exponential of twice as much is too large for float64."""

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
        window: Steps after which they come.
        unit: What a trial's losses are multiplied by.
        window: Steps for which a unit must be silent to count as dead.

    Attributes:
        loss: On the rows held out, when it was last looked at; NaN if training broke off.
        settling: Steps before which its outcome says little: 0, or with batch normalization 30.
    """

    def __init__(
        self, model: Model, sample: Sample, batch_size: int, every: int = 1,
        window: int = 25, unit: float = 1.0,
    ) -> None:  # fmt: skip
        self.settling, self.loss = 0, nan
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
        self._constants = self._best_constants()
        self._unit = unit
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
        out = _Outcome(nan, nan, nan, 0.0) if self._error else self._evaluate()
        self.loss = out.loss
        return Trial(
            tuple(loss * self._unit for loss in self._losses), out.loss, out.accuracy,
            gradient_ratio(self._observed), self._error, tuple(self._observed), out.learned,
            self._batch_size, out.r2,
        )  # fmt: skip

    def hurry_on(self, steps: int) -> float | None:
        """So many steps, not looked at: what has been learned in all, or None if training broke
        off."""
        model, order = self._model, self._next_rows(steps)
        try:
            run_pass(model, self._data, order, self._batch_size, model._totals(), model._updates())
        except NonFiniteGradientError as error:
            self._error = _in_short(error)
        if self._error is not None:
            self.loss = nan
            return None
        out = self._evaluate()
        self.loss = out.loss
        return out.learned

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

    def _best_constants(self) -> list[float]:
        """The loss of each output that counts as nothing learned: that of the best constant, or
        where nobody knows it, that of the net as it is now."""
        known = best_constants(self._model, self._held_out)
        if None not in known:
            return [best for best in known if best is not None]
        logs = self._test().logs()
        return [
            self._loss_of(name, objective, logs)
            if best is None and objective.loss is not None
            else best or 0.0
            for name, objective, best in zip(
                self._model.output_names, self._judged, known, strict=True
            )
        ]

    def _evaluate(self) -> _Outcome:
        totals = self._test()
        logs = totals.logs()
        names, outputs = self._model.output_names, totals.collector.examples
        shares, rights, fits = [], [], []
        for name, objective, examples, best in zip(
            names, self._judged, outputs, self._constants, strict=True
        ):
            if objective.loss is None or examples is None:
                continue
            right = examples.compute(_RIGHT, weighted=False)
            loss = self._loss_of(name, objective, logs)
            if objective.loss.kind == "binary_crossentropy":
                logits = bool(getattr(objective.loss, "from_logits", False))
                sure = examples.compute(_SURE[logits], weighted=True)
                share = sure if isfinite(right) else share_learned(loss, best)
            else:
                above = examples.compute(_ABOVE, weighted=False)
                share = share_learned(loss, best, above)
            if objective.loss.kind in REGRESSIONS and not isfinite(right):
                squared = objective.loss.kind == "mean_squared_error"
                share = examples.compute(_EXPLAINED[squared], weighted=True)
                fits.append(examples.compute(_EXPLAINED[True], weighted=True))
            shares.append(share)
            rights += [right] * isfinite(right)
        return _Outcome(
            float(logs["loss"] * self._unit),
            float(np.mean(rights)) if rights else nan,
            float(np.mean(fits)) if fits else nan,
            float(np.mean(shares)) if shares else 0.0,
        )

    def _loss_of(self, name: str, objective: Objective, logs: Logs) -> float:
        """Of one output, before it is weighted."""
        if len(self._judged) > 1:
            return logs[f"{name}_loss"]
        return logs["loss"] / objective.loss_weight if objective.loss_weight else nan


def _in_short(error: NonFiniteGradientError) -> str:
    """Without the advice: the report has its own."""
    layer, _, name = error.weight.rpartition("/")
    where = f"the gradient of its {name} is too large for float32"
    return f"layer {layer!r}: {where} at step {error.step}"


@dataclass(frozen=True)
class _Outcome:
    """On the rows held out; as in ``Trial``."""

    loss: float
    accuracy: float
    r2: float
    learned: float


class _Figure(EpochMetric):
    """A function of targets, predictions and weights among the metrics of a pass."""

    def __init__(self, name: str, function: Callable[[Any, Any, Any], float]) -> None:
        super().__init__(name)
        self._function = function

    def compute(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> float:
        return self._function(np.asarray(y_true), np.asarray(y_pred, np.float32), sample_weight)


def share_right(target: ArrayLike, y_pred: NDArray[np.float32]) -> float:
    """The accuracy where the targets are classes: labels, rows with a single 1, or columns of which
    each is 0 or 1; else NaN."""
    true = np.asarray(target)
    predicted = y_pred.reshape(len(y_pred), -1)
    if true.ndim == 1 and predicted.shape[1] > 1:
        return float(np.mean(predicted.argmax(axis=1) == true))
    flat = true.reshape(len(true), -1)
    if flat.shape != predicted.shape or not np.isin(flat, (0, 1)).all():
        return nan
    if is_one_class(flat):
        return float(np.mean(predicted.argmax(axis=1) == flat.argmax(axis=1)))
    # Probabilities lie between 0 and 1; logits do not, or not for long.
    threshold = 0.5 if predicted.min() >= 0 and predicted.max() <= 1 else 0.0
    return float(np.mean((predicted > threshold) == (flat == 1)))


def above_chance(target: NDArray[Any], y_pred: NDArray[np.float32]) -> float:
    """By how much the accuracy is above that of the most frequent class, as a share of what is left
    above it; NaN where targets are no classes, or all of one."""
    right = share_right(target, y_pred)
    lucky = chance(target) if isfinite(right) else 1.0
    return (right - lucky) / (1.0 - lucky) if lucky < 1.0 else nan


def sureness(target: NDArray[Any], y_pred: NDArray[np.float32], weight: Any, logits: bool) -> float:
    """R2 of probabilities of labels that are 0 or 1: Brier's score by that of a constant."""
    predicted = y_pred.astype(np.float64)
    if logits:
        chances = 1.0 / (1.0 + np.exp(-predicted.clip(-_LARGEST, _LARGEST)))
    else:
        chances = predicted.clip(0.0, 1.0)
    return explained(target, chances, weight)


_RIGHT = _Figure("right", lambda true, predicted, _: share_right(true, predicted))
_ABOVE = _Figure("above", lambda true, predicted, _: above_chance(true, predicted))
_SURE = {logits: _Figure("sure", partial(sureness, logits=logits)) for logits in (True, False)}
_EXPLAINED = {
    squared: _Figure("explained", partial(explained, squared=squared)) for squared in (True, False)
}


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
