"""From a case to its table and its compiled model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastnn as fnn
from bench.health.tables import TableBudget, TableCase
from fastnn import initializers, layers, losses, optimizers

Array = NDArray[np.float64]

_SLOPE = {0.0: 20.0, 0.1: 8.0, 0.3: 4.0, 1.0: 2.0}
"""Noise -> how steeply the log odds of a label rise with a score of deviation 1."""

_HIDDEN = 16


@dataclass(frozen=True, eq=False)
class Table:
    """Training rows, and test rows with what a perfect net would say of them.

    Attributes:
        x, y: (rows, features) and (rows, columns) float32.
        xt, yt: Likewise, other rows.
        best: Of the test rows, (rows, columns) float64: the target without its noise; of labels
            that are 0 or 1, the chance of a 1.
    """

    x: NDArray[np.float32]
    y: NDArray[np.float32]
    xt: NDArray[np.float32]
    yt: NDArray[np.float32]
    best: Array


@lru_cache(maxsize=2)
def table(case: TableCase, budget: TableBudget) -> Table:
    """The case's data, always the same."""
    random = np.random.default_rng([case.seed, case.index, 7])
    count = budget.rows + budget.test_rows
    x = random.standard_normal((count, case.features))
    score = np.stack([_score(case, x, random) for _ in range(case.columns)], axis=1)
    if case.kind == "classes":
        odds = _SLOPE[case.noise] * (score - case.offset)
        best = 1 / (1 + np.exp(-odds))
        y = (random.random(score.shape) < best).astype(np.float64)
    else:
        noise = (
            random.standard_t(2.5, score.shape)
            if case.tails == "student"
            else random.standard_normal(score.shape)
        )
        uneven = [1.0, 100.0, 0.01] if case.outputs == "uneven" else [1.0] * case.columns
        scale = case.scale * np.array(uneven)
        y, best = (scale * (t + case.offset) for t in (score + case.noise * noise, score))
    x = _scaled(case, x, random)
    n, floats, targets = budget.rows, x.astype(np.float32), y.astype(np.float32)
    return Table(floats[:n], targets[:n], floats[n:], targets[n:], best[n:])


def _score(case: TableCase, x: Array, random: np.random.Generator) -> Array:
    """A column of deviation 1 and mean 0, but for the lognormal one."""
    if case.target == "linear":
        score = x @ random.standard_normal(case.features)
    else:
        first = random.standard_normal((case.features, _HIDDEN)) / math.sqrt(case.features)
        hidden = np.tanh(1.5 * (x @ first + 0.5 * random.standard_normal(_HIDDEN)))
        score = hidden @ random.standard_normal(_HIDDEN)
    score = (score - score.mean()) / score.std()
    if case.target == "steps":
        score = np.round(2 * score) / 2
    if case.target == "lognormal":
        score = np.exp(score)
    spread = score.std() if case.target == "lognormal" else 1.0
    return np.asarray(score / spread, np.float64)


def _scaled(case: TableCase, x: Array, random: np.random.Generator) -> Array:
    if case.inputs == "mixed":
        widths: Array = np.power(10.0, random.uniform(0, 3, case.features))
        wide: Array = x * widths
        return wide
    if case.inputs == "offset":
        return x + 10
    return x if case.inputs == "standard" else x * float(case.inputs.removeprefix("x"))


def build(case: TableCase, order: int = 0) -> fnn.Sequential:
    """The compiled model, always with the same weights and the same order of examples after it."""
    seed = case.seed * 100_000 + case.index
    fnn.utils.set_random_seed(seed)
    stack = [
        layers.Dense(
            case.width, case.activation, kernel_initializer=_initializer(case), name=f"dense_{i}"
        )
        for i in range(1, case.depth + 1)
    ]
    last = {"sigmoid": "sigmoid", "relu": "relu"}.get(case.loss)
    output = layers.Dense(case.columns, last, kernel_initializer=_initializer(case), name="output")
    model = fnn.Sequential([layers.Input((case.features,)), *stack, output], name="net")
    model.compile(_optimizer(case), loss_of(case))
    if order:
        fnn.utils.set_random_seed(seed + 10_000 * order)
    return model


def _initializer(case: TableCase) -> Any:
    kind, _, number = case.initializer.partition(" ")
    return initializers.RandomNormal(stddev=float(number)) if kind == "normal" else kind


def _optimizer(case: TableCase) -> Any:
    if case.optimizer == "momentum":
        return optimizers.SGD(case.learning_rate, momentum=0.9)
    made: dict[str, Any] = {
        "sgd": optimizers.SGD, "rmsprop": optimizers.RMSprop, "adam": optimizers.Adam,
    }  # fmt: skip
    return made[case.optimizer](case.learning_rate)


def loss_of(case: TableCase) -> losses.Loss:
    """The case's."""
    if case.kind == "classes":
        return losses.BinaryCrossentropy(from_logits=case.loss in ("logits", "relu"))
    made: dict[str, Any] = {
        "mse": losses.MeanSquaredError, "mae": losses.MeanAbsoluteError, "huber": losses.Huber,
    }  # fmt: skip
    loss: losses.Loss = made[case.loss]()
    return loss
