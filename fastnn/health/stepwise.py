"""Training with an eye on each batch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fastnn.data.dataset import Dataset
from fastnn.lowering.gradients.settings import Updates
from fastnn.models.executables import Observing
from fastnn.models.passes import run_pass

if TYPE_CHECKING:
    from fastnn.models import Model


def run_stepwise(
    model: Model,
    dataset: Dataset,
    order: NDArray[np.int64],
    batch_size: int,
    losses: list[float],
    updates: Updates | None = None,
    observing: Observing | None = None,
    enough: Callable[[list[float]], bool] = lambda losses: False,
) -> None:
    """Append the loss of each batch to ``losses``, before its step; with ``updates`` the model
    trains. The loss of a batch that the optimizer left out is NaN.

    Args:
        observing: Takes statistics of the steps.
        enough: Of the losses so far, whether to stop.

    Raises:
        NonFiniteGradientError: The loss of that batch is appended, too.
    """
    totals = model._totals()
    seen = 0

    def after(batches: int, rows: int) -> bool:
        nonlocal seen
        totals.rows, seen = rows - seen, rows
        losses.append(totals.logs()["loss"] if totals.rows else math.nan)
        totals.sums[:] = 0.0
        return enough(losses)

    run_pass(
        model, dataset, order, batch_size, totals, updates, observing, one_by_one=True, after=after,
    )  # fmt: skip
