"""The learning-rate range test."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn import utils
from fastnn._checks import check_integer, check_real
from fastnn.errors import NonFiniteGradientError
from fastnn.health.copies import copied
from fastnn.health.gather import gathered, validation, with_pictures
from fastnn.health.sample import first_rows
from fastnn.health.stepwise import run_stepwise
from fastnn.models.feeding import feed
from fastnn.models.lsuv import calibrate
from fastnn.models.passes import ROWS_AT_A_TIME, run_pass
from fastnn.optimizers.schedules import LearningRateSchedule

if TYPE_CHECKING:
    from fastnn.data.dataset import Dataset
    from fastnn.models import Model

_OWNER = "find_learning_rate"

_SMOOTHING = 0.9
"""The share of the moving average that a step keeps."""

_DIVERGED = 4.0
"""The test ends where the average is this many times the least one, and above the first losses."""

_VALIDATION_ROWS = 1000
"""Rows to evaluate each step on, if there are such."""

_FIRST = 10
"""Steps whose mean loss is that of the net as it came, and after which the average is smooth."""


@dataclass(frozen=True, eq=False)
class LearningRates:
    """What a range test saw; ``float(result)`` is its suggestion.

    Attributes:
        rates: (n,) float64, rising: the learning rate of each step.
        losses: (n,) float64: the loss of each step's batch, before the step; or after it, on the
            rows of ``validation_data``. All are finite.
        smoothed: (n,) float64: their moving average.
        suggestion: A rate to train with; NaN if the loss fell at none by more than its noise.
        diverged_at: The rate at which the test broke off; None if it came to the last one.
    """

    rates: NDArray[np.float64]
    losses: NDArray[np.float64]
    smoothed: NDArray[np.float64]
    suggestion: float
    diverged_at: float | None

    def __float__(self) -> float:
        return self.suggestion

    def __str__(self) -> str:
        if self.diverged_at is None:
            end = f"it had not diverged at {self.rates[-1]:.2g}"
        else:
            end = f"it diverged at {self.diverged_at:.2g}"
        if math.isnan(self.suggestion):
            return f"no learning rate found: the loss did not fall at any; {end}"
        least = int(np.argmin(self.smoothed))
        return (
            f"learning rate {self.suggestion:.2g}: the loss fell to {self.smoothed[least]:.4g} at "
            f"{self.rates[least]:.2g}; {end}"
        )


class _Sweep(LearningRateSchedule):
    """``rates`` one after the other, from the step ``first`` on."""

    def __init__(self, rates: NDArray[np.float64], first: int) -> None:
        self._rates, self._first = rates, first

    def __call__(self, step: int) -> float:
        return float(self._rates[step - self._first])


def find_learning_rate(
    model: Model,
    x: Any,
    y: Any = None,
    sample_weight: ArrayLike | None = None,
    *,
    min_lr: float = 1e-7,
    max_lr: float = 10.0,
    steps: int = 200,
    batch_size: int | None = None,
    validation_data: Any = None,
    class_weight: Mapping[int, float] | None = None,
) -> LearningRates:
    """The learning-rate range test (Smith 2017, "Cyclical Learning Rates for Training Neural
    Networks", section 3.3; with rates that rise exponentially and a smoothed loss, as Howard &
    Gugger 2020 have it in "fastai").

    A copy of the model trains, each step with a higher rate: ``steps`` rates from ``min_lr`` to
    ``max_lr`` at equal ratios, on the batches that ``fit`` would begin with. It ends where the
    smoothed loss is above 4 times its least value (which says little of a loss near zero) and above
    the mean of the first 10 losses, or where something is not finite. The model, its optimizer and
    the random numbers stay as they are; a schedule of the optimizer counts for nothing here.

    Losses are smoothed by a moving average that keeps 0.9 a step, divided by ``1 - 0.9^n`` after n
    steps. The suggestion, for the peak of training, is the lower of two usual ones: half the rate
    at which the average falls most steeply per logarithm of the rate, and a tenth of the rate at
    which it is least. On MNIST (batches of 32, one epoch of 12,000 or 20,000 images; linear nets,
    rectifiers, tanh and sigmoid with up to 8 hidden layers, with and without BatchNormalization;
    SGD with and without momentum, Adam, RMSprop, Adagrad, Lion, Muon), points of test accuracy
    below the best rate of a grid, mean and worst:

    ======================  ===========================  ============================
    rate                    59 nets, to choose the rule  24 nets of other kinds, after
    ======================  ===========================  ============================
    the lower of the two    1.3, 10.0                    1.7, 4.2
    half the steepest       2.4, 65.5                    1.5, 9.6
    a tenth of the least's  1.4, 10.0                    1.8, 4.2
    0.01 SGD, 0.001 others  6.4, 76.5                    11.4, 67.5
    ======================  ===========================  ============================

    The worst are nets that learn late, such as sigmoids in several layers: within the sweep they do
    so at a rate that is too high for them in the end.

    Args:
        model: Compiled.
        x, y, sample_weight: As ``fit`` takes them, arrays, a data set of pictures or an iterable of
            batches, of which as many are taken as the test needs; too few rows come again.
        min_lr, max_lr: The range, both > 0.
        steps: How many rates, at least 20. With fewer than 20 a decade the curve is mostly noise.
        batch_size: Rows a step: the best rate depends on it; by default 32, or that of a data set
            of pictures.
        validation_data: As ``fit`` takes it: then the loss is that on its first 1000 rows, after
            each step. It costs as much as they do, and has less noise.
        class_weight: As ``fit`` takes it.

    Returns:
        The curve and the suggestion.

    Raises:
        TypeError, ValueError: The model is not compiled, an argument is out of its range, or the
            data does not fit.
    """
    model._check_compiled()
    lowest = check_real(_OWNER, "min_lr", min_lr, above=0)
    highest = check_real(_OWNER, "max_lr", max_lr, above=lowest)
    steps = check_integer(_OWNER, "steps", steps, at_least=2 * _FIRST)
    x, y, rows = with_pictures(_OWNER, x, y, batch_size)
    x, y, sample_weight = gathered(_OWNER, model, x, y, sample_weight, steps * rows)
    judged = None
    if validation_data is not None:
        found = validation(_OWNER, model, validation_data, _VALIDATION_ROWS)
        judged = first_rows(found, _VALIDATION_ROWS)
    rates = np.geomspace(lowest, highest, steps)
    with copied(model) as trained:
        dataset = feed(trained, x, y, sample_weight, class_weight)
        held_out = None if judged is None else feed(trained, *judged)
        calibrate(trained, dataset)
        dataset = dataset.part(_order(len(dataset), steps * rows))
        dataset.find_nonzeros(trained._executables.scales_of_sparse_inputs())
        trained.optimizer.learning_rate = _Sweep(rates, trained.optimizer.iterations)
        losses: list[float] = []
        with suppress(NonFiniteGradientError):
            if held_out is None:
                run_stepwise(
                    trained, dataset, np.arange(len(dataset)), rows, losses, trained._updates(),
                    enough=_has_diverged,
                )  # fmt: skip
            else:
                _run_validated(trained, dataset, rows, held_out, losses)
    return _result(rates, losses)


def _run_validated(
    model: Model, dataset: Dataset, batch_size: int, held_out: Dataset, losses: list[float]
) -> None:
    """A step at a time, and after each the loss on other rows."""
    everything = np.arange(len(held_out))
    for start in range(0, len(dataset), batch_size):
        order = np.arange(start, min(start + batch_size, len(dataset)))
        run_pass(model, dataset, order, batch_size, model._totals(), model._updates())
        totals = model._totals()
        run_pass(model, held_out, everything, min(len(held_out), ROWS_AT_A_TIME), totals)
        losses.append(totals.logs()["loss"])
        if _has_diverged(losses):
            return


def _order(n_rows: int, wanted: int) -> NDArray[np.int64]:
    """Row numbers as the first epochs of ``fit`` take them."""
    rounds = []
    while wanted > 0:
        order = np.arange(n_rows, dtype=np.int64)
        utils.generator("shuffle").shuffle(order)
        rounds.append(order[:wanted])
        wanted -= n_rows
    return np.concatenate(rounds)


def _smoothed(losses: Sequence[float]) -> NDArray[np.float64]:
    average, found = 0.0, []
    for n, loss in enumerate(losses, start=1):
        average = _SMOOTHING * average + (1.0 - _SMOOTHING) * loss
        found.append(average / (1.0 - _SMOOTHING**n))
    return np.array(found, np.float64)


def _has_diverged(losses: list[float]) -> bool:
    if not math.isfinite(losses[-1]):
        return True
    smoothed = _smoothed(losses)
    least, first = float(smoothed.min()), float(np.mean(losses[:_FIRST]))
    # A loss may be negative.
    return bool(smoothed[-1] > max(least + (_DIVERGED - 1.0) * abs(least), first))


def _result(rates: NDArray[np.float64], losses: list[float]) -> LearningRates:
    reached = len(losses)
    diverged = reached < len(rates) or _has_diverged(losses)
    if not math.isfinite(losses[-1]):
        losses = losses[:-1]
    curve = np.array(losses, np.float64)
    smoothed = _smoothed(losses)
    tried = rates[: len(losses)]
    return LearningRates(
        tried, curve, smoothed, _suggestion(tried, curve, smoothed),
        float(rates[reached - 1]) if diverged else None,
    )  # fmt: skip


def _suggestion(
    rates: NDArray[np.float64], losses: NDArray[np.float64], smoothed: NDArray[np.float64]
) -> float:
    """The lower of half the steepest rate and a tenth of the least loss's; NaN without a fall.

    The average of independent losses has 0.23 of their deviation: the least of some hundred such
    averages is some 0.6 deviations below their mean, hardly ever 1.
    """
    least = int(np.argmin(smoothed)) if len(smoothed) else 0
    if least <= _FIRST:
        return math.nan
    noise = float(np.std(np.diff(losses[: least + 1]))) / math.sqrt(2.0)
    if not losses[:_FIRST].mean() - smoothed[least] > noise:
        return math.nan
    slopes = np.gradient(smoothed[: least + 1], np.log(rates[: least + 1]))[_FIRST:]
    steepest = float(rates[_FIRST + np.argmin(slopes)])
    # Where a net learns late, in the sweep, both may be too high; too low a rate costs less.
    return min(0.5 * steepest, 0.1 * float(rates[least]))
