"""What becomes of a net when it is trained as it is, and what float64 says of its gradients."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

import fastnn as fnn
from bench.health import nets, norms
from bench.health.grid import Case
from bench.health.journal import Record

TRAINS = 0.90
"""Test accuracy after the last epoch from which on a net counts as one that trains."""

BORDERLINE = 0.85, 0.93
"""Between these, another order of the rows may give the other label. Such a net is trained in as
many orders as ``ORDERS`` says, and the median decides."""

ORDERS = 3

VANISHING = 1e-3
"""Below it: gradient norm of the first Dense layer by that of the last, each by the root of its
size."""

EXPLODING = 1e4
"""Above it: the largest gradient norm of a Dense layer. The ratio does not tell: in a net of equal
layers activations grow forward as gradients do backward, and each layer's gradient is a product of
both."""

NORM_ROWS = 128
"""Training rows that the float64 gradients are of."""


@dataclass(frozen=True)
class Budget:
    """What each net may learn from: the first rows of MNIST, so many epochs of them; and the rows
    of the test set that say whether it has."""

    rows: int = 60_000
    epochs: int = 2
    test_rows: int = 10_000


def label(case: Case, budget: Budget) -> Record:
    """Train the untreated net; one near the border several times, from the same weights.

    Returns:
        ``case``; ``accuracy``, of the test rows, after the last epoch, and whether it ``trains``:
        of several trainings that of the middle one; ``accuracies``, of all;
        ``curve``, the accuracy after each epoch; ``losses``, of the training rows in each;
        ``error``, why training broke off, or None (the accuracy is 0 then); ``norms``, layer ->
        float64 gradient norm before training; their ``ratio`` and what it says of the
        ``gradients``; ``seconds``.
    """
    start = time.perf_counter()
    x, y, _, _ = nets.mnist(budget.rows, budget.test_rows)
    model = nets.build(case)
    batch = nets.inputs(case, x[:NORM_ROWS]), nets.targets(case, y[:NORM_ROWS])
    found = norms.gradient_norms(model, case.loss, *batch)
    sizes = {layer.name: layer.count_params() for layer in (model.layers[0], model.layers[-1])}
    ratio = gradient_ratio(found, sizes)
    largest = max(norm for name, norm in found.items() if not name.startswith("norm"))
    return {
        "case": asdict(case),
        **middle(lambda order: train(nets.build(case, order), case, budget)),
        "norms": found,
        "ratio": ratio,
        "gradients": of_norms(ratio, largest),
        "seconds": round(time.perf_counter() - start, 2),
    }


def middle(trained: Callable[[int], Record]) -> Record:
    """Of the first training, or of three if that is near the border.

    Args:
        trained: How a training goes with an order of the rows, from 0.
    """
    outcomes = [trained(0)]
    low, high = BORDERLINE
    if low <= outcomes[0]["accuracy"] <= high:
        outcomes += map(trained, range(1, ORDERS))
    ordered = sorted(outcomes, key=lambda outcome: outcome["accuracy"])
    accuracies = [outcome["accuracy"] for outcome in outcomes]
    return {**ordered[len(ordered) // 2], "accuracies": accuracies}


def is_borderline(record: Record) -> bool:
    """Whether in another order of the rows the net got the other label, or might."""
    low, high = BORDERLINE
    found = {accuracy >= TRAINS for accuracy in record.get("accuracies", ())}
    return len(found) > 1 or low <= record["accuracy"] < high


def train(
    model: Any, case: Case, budget: Budget, fit_arguments: Mapping[str, Any] | None = None
) -> Record:
    """Train a net of the case, treated or not, on the case's data: the part of the record that
    tells how it went."""
    x, y, xt, yt = nets.mnist(budget.rows, budget.test_rows)
    test = nets.inputs(case, xt), nets.targets(case, yt)
    return fitted(
        model, nets.inputs(case, x), nets.targets(case, y), test, case, budget, fit_arguments
    )


def fitted(
    model: Any, x: np.ndarray, y: np.ndarray, test: tuple[np.ndarray, np.ndarray], case: Any,
    budget: Budget, fit_arguments: Mapping[str, Any] | None = None,
) -> Record:  # fmt: skip
    """Train on x and y and judge by the test rows; as ``train``."""
    settings = {"batch_size": case.batch_size, **(fit_arguments or {}), "epochs": budget.epochs}
    error = None
    try:
        model.fit(x, y, verbose=0, validation_data=test, **settings)
    except fnn.NonFiniteGradientError as fault:
        error = str(fault)
    history = model.history.history
    curve = [round(value, 4) for value in history.get("val_accuracy", [])]
    accuracy = curve[-1] if error is None else 0.0
    return {
        "trains": accuracy >= TRAINS,
        "accuracy": accuracy,
        "curve": curve,
        "losses": history.get("loss", []),
        "error": error,
    }


def gradient_ratio(found: Mapping[str, float], sizes: Mapping[str, int]) -> float:
    """Root mean square of the gradient in the first layer of ``sizes`` by that in the last; NaN
    where both are 0."""
    first, last = (found[name] / math.sqrt(size) for name, size in sizes.items())
    with np.errstate(all="ignore"):
        return float(np.float64(first) / np.float64(last))


def of_norms(ratio: float, largest: float) -> str:
    """ "vanishing", "exploding", "ordinary", or "none" where there is no gradient at all."""
    if not math.isfinite(largest) or largest > EXPLODING:
        return "exploding"
    if math.isnan(ratio):
        return "none"
    return "vanishing" if ratio < VANISHING else "ordinary"
