"""The loss of each batch."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fastnn.data.dataset import Dataset
from fastnn.errors import NonFiniteGradientError
from fastnn.lowering.builder import Updates
from fastnn.models.passes import run_pass

if TYPE_CHECKING:
    from fastnn.models import Model


def losses_of_batches(
    model: Model,
    dataset: Dataset,
    order: NDArray[np.int64],
    batch_size: int,
    updates: Updates | None = None,
    enough: Callable[[list[float]], bool] = lambda losses: False,
) -> list[float]:
    """The losses, one a batch, before its step; with ``updates`` the model trains.

    A batch whose gradient is not finite is the last one; the loss of one that the optimizer left
    out is NaN.

    Args:
        enough: Of the losses so far, whether to stop.
    """
    totals = model._totals()
    losses: list[float] = []
    seen = 0

    def after(batches: int, rows: int) -> bool:
        nonlocal seen
        totals.rows, seen = rows - seen, rows
        losses.append(totals.logs()["loss"] if totals.rows else math.nan)
        totals.sums[:] = 0.0
        return enough(losses)

    with suppress(NonFiniteGradientError):
        run_pass(model, dataset, order, batch_size, totals, updates, one_by_one=True, after=after)
    return losses
