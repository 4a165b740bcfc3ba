"""A net is trained for a short budget: what comes of it."""

from __future__ import annotations

from math import isfinite, isnan, nan
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn.data.dataset import Dataset
from fastnn.errors import NonFiniteGradientError
from fastnn.health.baseline import baseline_loss, chance
from fastnn.health.report import Trial
from fastnn.health.sample import Sample
from fastnn.health.stepwise import run_stepwise
from fastnn.layers import BatchNormalization
from fastnn.layers.base import Layer
from fastnn.models.executables import Observing
from fastnn.models.feeding import feed
from fastnn.models.lsuv import calibrate
from fastnn.models.passes import ROWS_AT_A_TIME, run_pass
from fastnn.statistics import StepStatistics

if TYPE_CHECKING:
    from fastnn.models import Model

_MOMENTUM = 0.9
"""Of moving statistics: with Keras's 0.99, those of a short trial would still be those of its
beginning."""

_WINDOWS = 4
"""Units that are silent for this part of the steps are dead."""


def run_trial(model: Model, sample: Sample, steps: int, batch_size: int, every: int = 1) -> Trial:
    """Train ``model``, which is changed, and evaluate it on the rows held out.

    The batches are the same for every net. Moving statistics of batch normalization follow with a
    momentum of at most 0.9.

    Args:
        every: Steps of which the statistics of one are taken.
    """
    for layer in _flat(model.layers):
        if isinstance(layer, BatchNormalization):
            layer.momentum = min(layer.momentum, _MOMENTUM)
    dataset = feed(model, *sample.train)
    calibrate(model, dataset)
    dataset.find_nonzeros(model._executables.scales_of_sparse_inputs())
    losses: list[float] = []
    observed: list[StepStatistics] = []
    error = _train(model, dataset, steps, batch_size, every, losses, observed)
    loss, accuracy, learned = (nan, nan, 0.0) if error else _evaluate(model, sample, losses[0])
    return Trial(
        tuple(losses), loss, accuracy, gradient_ratio(observed), error, tuple(observed), learned
    )


def _train(
    model: Model,
    dataset: Dataset,
    steps: int,
    batch_size: int,
    every: int,
    losses: list[float],
    observed: list[StepStatistics],
) -> str | None:
    """Returns why training broke off."""
    rows = len(dataset)
    order = np.concatenate(
        [np.random.default_rng(n).permutation(rows) for n in range(-(-steps * batch_size // rows))]
    )[: steps * batch_size]
    try:
        run_stepwise(
            model, dataset, order, batch_size, losses, model._updates(),
            Observing(every, max(1, steps // _WINDOWS), observed.extend),
            enough=lambda losses: np.isinf(losses[-1]),
        )  # fmt: skip
    except NonFiniteGradientError as error:
        return str(error)
    if np.isinf(losses[-1]):
        return f"the loss of step {len(losses) - 1} is infinite"
    return (
        "no gradient was finite, so that every step was skipped"
        if all(map(isnan, losses))
        else None
    )


def _evaluate(model: Model, sample: Sample, first_loss: float) -> tuple[float, float, float]:
    dataset = feed(model, *sample.held_out)
    totals = model._totals()
    run_pass(model, dataset, np.arange(len(dataset)), min(len(dataset), ROWS_AT_A_TIME), totals)
    predictions = model.predict(sample.held_out[0])
    outputs = predictions if isinstance(predictions, list) else [predictions]
    rights, chances = [], []
    for target, output in zip(dataset.targets, outputs, strict=False):
        right = share_right(target, output)
        if isfinite(right):
            rights.append(right)
            chances.append(chance(target))
    accuracy = float(np.mean(rights)) if rights else nan
    loss = totals.logs()["loss"]
    known = baseline_loss(model, dataset)
    of_loss = 1.0 - loss / (known or first_loss) if loss < first_loss or known else 0.0
    of_accuracy = (accuracy - np.mean(chances)) / (1.0 - np.mean(chances)) if rights else 0.0
    return loss, accuracy, float(np.clip(np.nanmax([of_loss, of_accuracy, 0.0]), 0.0, 1.0))


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
        sizes = [
            layer.gradient_norm / layer.gradient_size**0.5
            for layer in step.layers.values()
            if layer.gradient_size
        ]
        if sizes and sizes[-1] > 0:
            ratios.append(sizes[0] / sizes[-1])
    return float(np.median(ratios)) if ratios else nan


def _flat(layers: list[Layer]) -> list[Layer]:
    return [each for layer in layers for each in (layer, *_flat(list(layer.inner_layers)))]
