"""The learning rate that a net could do with, by trials."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

from fastnn.health.blueprint import Blueprint
from fastnn.health.changes.training import usual_rate

_RATIO = sqrt(10.0)
_MOST = 6
"""Rates that are tried, each that ratio from the one before."""


def why(blueprint: Blueprint, learns: Callable[[float], bool] | None) -> str:
    """Whether the rate is too high or too low, and which would do, in words; empty if it is near
    the usual one of its optimizer.

    Args:
        learns: Tries a rate; None if nothing is to be tried.
    """
    now, usual = blueprint.optimizer.learning_rate, usual_rate(blueprint.optimizer)
    if usual / 2 <= now <= usual * 2:
        return ""
    high = now > usual
    words = f"the learning rate, {now:.3g}, is too {'high' if high else 'low'}"
    kind = type(blueprint.optimizer).__name__
    if learns is None or not learns(usual):
        return f"{words}: the usual one of {kind} is {usual:.3g}"
    best = usual
    for _ in range(_MOST):
        further = best * _RATIO if high else best / _RATIO
        beyond = further >= now if high else further <= now
        if beyond or not learns(further):
            break
        best = further
    return (
        f"{words}: {best:.2g} is the {'highest' if high else 'lowest'} of those tried that learns "
        "as a sound net does in a trial"
    )
