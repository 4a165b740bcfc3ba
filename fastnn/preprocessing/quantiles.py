"""Quantiles of data that come in parts: the summaries of Keras's Discretization.

A summary (2, n), float32, has values in ascending order and how many numbers each stands for.
The formulas are those of keras/src/layers/preprocessing/discretization.py, so the boundaries are
Keras's own.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Summary = NDArray[np.float32]


def empty_summary() -> Summary:
    """Of no numbers."""
    return np.zeros((2, 0), np.float32)


def summarize(values: NDArray[np.float32], epsilon: float) -> Summary:
    """Every n-th of the sorted values, so that there are about 1 / epsilon."""
    values = np.sort(values.ravel())
    step = max(values.size * epsilon, 1.0)
    chosen = values[int(step - 1) :: int(step)]
    return np.stack([chosen, np.full_like(chosen, step)])


def merge(first: Summary, second: Summary, epsilon: float) -> Summary:
    """The summary of what both are summaries of."""
    merged = np.concatenate([first, second], axis=1)
    return compress(merged[:, np.argsort(merged[0])], epsilon)


def compress(summary: Summary, epsilon: float) -> Summary:
    """One with about 1 / epsilon values, between which it is interpolated."""
    if summary.shape[1] * epsilon < 1:
        return summary
    shares = epsilon + np.arange(0.0, 1.0, epsilon)
    weights = summary[1].cumsum()
    reached = weights / weights[-1]
    values = np.interp(shares, reached, summary[0])
    weights = np.interp(shares, reached, weights)
    return np.stack([values, np.diff(weights, prepend=0)]).astype(np.float32)


def boundaries(summary: Summary, bins: int) -> list[float]:
    """Between so many bins of about as many numbers each."""
    return [float(value) for value in compress(summary, 1.0 / bins)[0, :-1]]
