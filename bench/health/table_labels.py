"""What becomes of a net on a table when it is trained as it is, by what sound nets come to."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastnn as fnn
from bench.health.journal import Record
from bench.health.table_nets import Array, build, loss_of, table
from bench.health.tables import TableBudget, TableCase
from fastnn import layers, losses, optimizers

TRAINS = 0.9
"""Of what a sound net comes to in the same budget, a net that trains has so much."""

HOPELESS = 0.3
"""Nets that come to more are trained in several orders of the rows, and the median decides. Steps
that are too long make what a net comes to a matter of chance, wherever it lies."""

ORDERS = 5
"""With three, and sound nets that are drawn once, a second label differs for 3 to 4 nets of 100."""

DRAWS = 3
"""Of each sound net, the median."""

_SOUND = ((64, 64), (64,))
"""Hidden layers of the sound nets: on a small or noisy table the larger one learns the noise, too,
and says too little of what can be learned."""


def score(case: TableCase, best: Array, predicted: NDArray[Any], logits: bool) -> float:
    """How much of the target a net has found, from 0 to 1; the mean over the columns.

    It is R2 against the target without its noise; where the loss is an absolute error or Huber's,
    of absolute errors from the median (1 - the square of their share). Of classes it is R2 of the
    predicted probabilities against the true ones: R2 against labels drawn with these (Brier's score
    by that of a constant) is a multiple of it, in the mean, and noise.
    """
    found = predicted.reshape(best.shape).astype(np.float64)
    if case.loss in ("logits", "relu") and logits:
        found = 1 / (1 + np.exp(-found.clip(-500, 500)))
    elif case.kind == "classes":
        found = found.clip(0, 1)
    if not np.isfinite(found).all():
        return 0.0
    each = [_column_score(case, *pair) for pair in zip(best.T, found.T, strict=True)]
    return float(np.mean([max(0.0, one) for one in each]))


def _column_score(case: TableCase, best: Array, found: Array) -> float:
    if case.loss not in ("mae", "huber"):
        return float(1 - np.mean((best - found) ** 2) / best.var())
    share = np.mean(np.abs(best - found)) / np.mean(np.abs(best - np.median(best)))
    return float(1 - share**2)


@lru_cache(maxsize=4)
def sound_score(case: TableCase, budget: TableBudget) -> float:
    """What sound nets come to in the same budget, the better of two: one and two layers of 64 relu,
    He initialization, Adam at 1e-3, the case's loss, on a standardised table and target; each the
    median of some draws. Nothing of gradient health is in it."""
    data = table(case, budget)
    mean, deviation = data.x.mean(axis=0), data.x.std(axis=0)
    y, middle, width = data.y, np.zeros(1), np.ones(1)
    if case.kind == "regression":
        middle, width = y.mean(axis=0, dtype=np.float64), y.std(axis=0, dtype=np.float64)
        if case.loss != "mse":
            middle = np.median(y, axis=0)
            width = np.abs(y - middle).mean(axis=0, dtype=np.float64)
        y = ((y - middle) / width).astype(np.float32)
    x, xt = (data.x - mean) / deviation, (data.xt - mean) / deviation

    def one(widths: tuple[int, ...], seed: int) -> float:
        fnn.utils.set_random_seed(seed)
        model = _sound(case, widths)
        model.fit(x, y, batch_size=32, epochs=budget.epochs, verbose=0)
        predicted = model.predict(xt, verbose=0)
        return score(case, data.best, predicted * width + middle, logits=False)

    first = case.seed * 100_000 + case.index
    return max(
        statistics.median(one(widths, first + 10_000_000 * (draw + 1) + k) for draw in range(DRAWS))
        for k, widths in enumerate(_SOUND)
    )


def _sound(case: TableCase, widths: tuple[int, ...]) -> fnn.Sequential:
    hidden = [layers.Dense(width, "relu", kernel_initializer="he_normal") for width in widths]
    last = "sigmoid" if case.kind == "classes" else None
    model = fnn.Sequential(
        [layers.Input((case.features,)), *hidden, layers.Dense(case.columns, last)]
    )
    loss = losses.BinaryCrossentropy() if case.kind == "classes" else loss_of(case)
    model.compile(optimizers.Adam(1e-3), loss)
    return model


def train(
    model: Any, case: TableCase, budget: TableBudget, fit_arguments: Mapping[str, Any] | None = None
) -> Record:
    """Train a net of the case, treated or not: the part of the record that tells how it went. As
    ``accuracy`` stands what it found by what a sound net does."""
    data = table(case, budget)
    settings = {"batch_size": case.batch_size, **(fit_arguments or {}), "epochs": budget.epochs}
    error, found = None, 0.0
    try:
        model.fit(data.x, data.y, verbose=0, **settings)
    except fnn.NonFiniteGradientError as fault:
        error = str(fault)
    if error is None:
        logits = bool(getattr(model._objectives()[0].loss, "from_logits", False))
        found = score(case, data.best, model.predict(data.xt, verbose=0), logits)
    sound = sound_score(case, budget)
    share = found / sound if sound > 0 else 1.0
    return {
        "trains": share >= TRAINS,
        "accuracy": round(share, 4),
        "score": round(found, 4),
        "sound": round(sound, 4),
        "losses": model.history.history.get("loss", []),
        "error": error,
    }


def label(case: TableCase, budget: TableBudget) -> Record:
    """Train the untreated net; if it learns at all, in several orders, of which the median
    counts."""
    start = time.perf_counter()
    found = [train(build(case), case, budget)]
    if found[0]["accuracy"] >= HOPELESS:
        found += [train(build(case, order), case, budget) for order in range(1, ORDERS)]
    middle = sorted(found, key=lambda record: record["accuracy"])[len(found) // 2]
    return {
        "case": asdict(case),
        **middle,
        "accuracies": [record["accuracy"] for record in found],
        "seconds": round(time.perf_counter() - start, 2),
    }
