"""Ops of what regularizers add to the loss.

A weight's penalty has its gradient where the weight's is finished (``gradients/finish.py``).
"""

from __future__ import annotations

import numpy as np

from fastnn.lowering.builder import Builder
from fastnn.lowering.program import Buffers
from fastnn.lowering.values import Trace
from fastnn.regularizers import Regularizer
from fastnn.variables import Variable

PENALTY = "penalty"
"""The sum that they add to."""


def is_penalized(trace: Trace) -> bool:
    """Whether a weight or an activation has a regularizer."""
    return bool(_regularized(trace)) or any(node.output.penalty for node in trace.nodes)


def penalize(builder: Builder) -> None:
    """Add the penalties of activations, with their gradients, and of weights, before the step
    changes them. Those of weights come after an exchange with other processes: all do them, whether
    they have rows or not."""
    for node in builder.trace.nodes:
        y = node.output
        if y.penalty is None:
            continue
        rows = builder.buffers.values(f"{y.name}/penalty")
        dy, accumulate = None, False
        if builder.training and y in builder.needs_gradient:
            dy, accumulate = builder.contribution(y)
        builder.emit(
            "regularize_activity", y=builder.values[y], dy=dy, row_values=rows,
            features=y.features, accumulate=accumulate, l1=y.penalty[0], l2=y.penalty[1],
        )  # fmt: skip
        builder.add_sum(PENALTY, rows)
    if _regularized(builder.trace) and PENALTY not in builder.sums:
        builder.sums.append(PENALTY)
    if builder.processes is None:
        penalize_weights(builder)


def penalize_weights(builder: Builder) -> None:
    """Add the penalties of weights."""
    regularized = _regularized(builder.trace)
    penalties = np.zeros(sum(variable.storage.shape[0] for variable, _ in regularized))
    at = 0
    for variable, regularizer in regularized:
        blocks, rows = variable.storage.shape[:2]
        builder.emit(
            "penalty", w=builder.weight(variable), blocks=blocks, rows=rows,
            penalties=Buffers.of_array("penalties", penalties[at : at + blocks], passing=True),
            l1=regularizer.l1, l2=regularizer.l2,
        )  # fmt: skip
        at += blocks
    if regularized:
        builder.penalties = Buffers.of_array("penalties", penalties, passing=True)


def _regularized(trace: Trace) -> list[tuple[Variable, Regularizer]]:
    variables = dict.fromkeys(v for node in trace.nodes for v in node.variables())
    return [(v, v.regularizer) for v in variables if v.regularizer is not None]
