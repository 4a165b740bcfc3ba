"""Gradients without a step."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from fastnn.models.executables import threads_for
from fastnn.models.feeding import feed
from fastnn.models.passes import objectives_for

if TYPE_CHECKING:
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
    dataset = feed(model, x, y, sample_weight)
    objectives, weighted = objectives_for(model, dataset)
    updates = replace(model._updates(), apply=False, halts=False, clipvalue=0.0)
    rows = len(dataset)
    threads = threads_for(rows * model._executables.signature.multiply_adds)
    with model._executables.lend(rows, objectives, updates, dataset.longest_rows) as executable:
        executable.run(
            dataset.sources(weighted), np.arange(rows), 0, rows, rows, None, model._totals().sums,
            [], threads, np.inf, _Count(model.optimizer.iterations),
        )  # fmt: skip
        program = executable.program
        squares = dict(zip(program.gradients, program.norms.tolist(), strict=True))
    norms: dict[str, float] = {}
    for variable in model.trainable_weights:
        if variable.path in squares:
            layer = variable.path.rpartition("/")[0]
            norms[layer] = norms.get(layer, 0.0) + squares[variable.path]
    return {layer: math.sqrt(square) for layer, square in norms.items()}


@dataclass
class _Count:
    """Stands for the optimizer, which takes no step."""

    iterations: int
