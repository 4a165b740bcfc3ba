"""Gradients without a step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from fastnn.lowering.gradients.settings import Updates
from fastnn.lowering.program import Program
from fastnn.models.executables import threads_for
from fastnn.models.feeding import feed
from fastnn.models.passes import objectives_for
from fastnn.models.totals import Totals

if TYPE_CHECKING:
    from fastnn.data.dataset import Dataset
    from fastnn.models.model import Model


def gradient_norms(
    model: Model, x: Any, y: Any = None, sample_weight: ArrayLike | None = None
) -> dict[str, float]:
    """The L2 norm of each layer's gradient on one batch; nothing of the model changes.

    Layers run as they do in training: normalization with the batch's statistics, dropout with the
    masks of the next step. The gradient is the whole loss's, with regularizers, before any
    clipping.

    Args:
        model: Compiled.
        x, y, sample_weight: As ``fit`` takes them, arrays; all rows are one batch.

    Returns:
        The name of each layer that trains -> the norm over all of its weights, in the model's
        order; gradients are float32, their squares are summed in float64.

    Raises:
        TypeError, ValueError: The model is not compiled, or the data does not fit.
    """
    model._check_compiled()
    with without_a_step(model, feed(model, x, y, sample_weight)) as (program, _):
        squares = dict(zip(program.gradients, program.norms.tolist(), strict=True))
    norms: dict[str, float] = {}
    for variable in model.trainable_weights:
        if variable.path in squares:
            layer = variable.path.rpartition("/")[0]
            norms[layer] = norms.get(layer, 0.0) + squares[variable.path]
    return {layer: math.sqrt(square) for layer, square in norms.items()}


@contextmanager
def without_a_step(model: Model, dataset: Dataset) -> Iterator[tuple[Program, Totals]]:
    """Forward and backward as the next step would run them on one batch.

    Yields:
        The program, whose ``gradients`` and ``norms`` stay until it is lent again; and the batch's
        losses and metrics.
    """
    with again_and_again(model, dataset) as compute:
        yield compute()


@contextmanager
def again_and_again(
    model: Model, dataset: Dataset
) -> Iterator[Callable[[], tuple[Program, Totals]]]:
    """Forward and backward on one batch, at each call with the weights of that moment.

    Yields:
        What computes, and returns what ``without_a_step`` yields, until the next call.
    """
    signature = model._executables.signature
    rows = len(dataset)
    objectives, weighted = objectives_for(model._objectives(), dataset)
    order, sources = np.arange(rows), dataset.sources(weighted)
    threads = threads_for(rows * signature.multiply_adds)
    lent = model._executables.lend(rows, objectives, only_gradients(model), dataset.longest_rows)
    with lent as executable:

        def compute() -> tuple[Program, Totals]:
            totals = model._totals()
            totals.rows = rows
            # Metrics that need all rows make the program write its predictions, though nobody
            # reads them.
            predictions = totals.collector.room(rows, signature.outputs)
            executable.run(
                sources, order, 0, rows, rows, None, totals.sums, predictions, threads, np.inf,
                Count(model.optimizer.iterations),
            )  # fmt: skip
            return executable.program, totals

        yield compute


def only_gradients(model: Model) -> Updates:
    """The model's updates, for a program that stores gradients and takes no step."""
    updates = model._updates()
    unclipped = replace(updates.clipping, value=0.0)
    return replace(updates, apply=False, halts=False, clipping=unclipped)


@dataclass
class Count:
    """Stands for the optimizer, which takes no step."""

    iterations: int
