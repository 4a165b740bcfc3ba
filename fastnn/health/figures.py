"""Figures of layers, picked from the statistics of many steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from math import isfinite, isnan, nan
from statistics import median

from fastnn.statistics import LayerStatistics, StepStatistics

RECENT = 5
"""A table shows the medians over as many of the last steps: one step alone is noisy."""

_MEDIANS = (
    "gradient_norm", "gradient_max", "weight_norm", "update_ratio", "mean", "deviation", "zeros",
    "dead", "saturated", "saturated_units",
)  # fmt: skip


def layer_names(steps: Sequence[StepStatistics]) -> list[str]:
    """All layers that any step shows, in the model's order."""
    return list(dict.fromkeys(name for step in steps for name in step.layers))


def trained_names(steps: Sequence[StepStatistics]) -> list[str]:
    """Those of them that have a gradient."""
    return [
        name
        for name in layer_names(steps)
        if any(layer.gradient_size > 0 for layer in series(steps, name))
    ]


def series(steps: Sequence[StepStatistics], name: str) -> list[LayerStatistics]:
    """The layer ``name`` in each step; without figures where a step doesn't show it."""
    return [step.layers.get(name) or LayerStatistics(name) for step in steps]


def recent(steps: Sequence[StepStatistics], name: str) -> LayerStatistics | None:
    """Medians of one layer over the last steps that show it; None if no step does.

    Figures that are NaN are passed over. ``nonfinite`` is the sum over all steps.
    """
    seen = [step.layers[name] for step in steps if name in step.layers]
    if not seen:
        return None
    last = {entry.name: getattr(seen[-1], entry.name) for entry in fields(LayerStatistics)}
    for figure in _MEDIANS:
        values = [getattr(layer, figure) for layer in seen[-RECENT:]]
        last[figure] = middle(values)
    last["nonfinite"] = sum(layer.nonfinite for layer in seen)
    return LayerStatistics(**last)


def middle(values: Sequence[float]) -> float:
    """The median of those that are numbers; NaN if none is."""
    numbers = [float(value) for value in values if not isnan(value)]
    return median(numbers) if numbers else nan


def finite(values: Sequence[float]) -> list[float]:
    """Those that are finite."""
    return [float(value) for value in values if isfinite(value)]


def first_nonfinite(steps: Sequence[StepStatistics], name: str) -> int | None:
    """The step in which the layer ``name`` first has a figure that is infinite or NaN.

    A gradient without size and activations without a deviation are figures that it doesn't have.
    """
    return next((step.step for step in steps if is_nonfinite(step.layers.get(name))), None)


def is_nonfinite(layer: LayerStatistics | None) -> bool:
    """Whether the gradient or the activations of the layer hold a NaN or an infinity."""
    if layer is None:
        return False
    lost = layer.gradient_size > 0 and not isfinite(layer.gradient_norm)
    return lost or layer.nonfinite > 0
