"""Verdicts on layers: what their statistics mean, and why.

A finding rests on the median of a figure over the last half of the steps looked at, so that no
single batch decides. The thresholds are those that ``python -m bench health`` found and checked:
see docs/health.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite, nan

import numpy as np

from fastnn.statistics import LayerStatistics, StepStatistics

__all__ = ["Finding", "Thresholds", "findings"]


@dataclass(frozen=True)
class Thresholds:
    """Where a figure begins to be a finding.

    Attributes:
        vanishing: A layer's gradient, as a share of the largest of the layers behind it.
        exploding: A layer's gradient, as a multiple of the smallest of the layers behind it.
        activations: Deviation of a layer's outputs.
        dead: Share of units, or of filters, that gave 0 for every row of every step.
        saturated: Share of outputs where the activation is flat.
        large_steps, small_steps: Norm of a step by that of the weights.
        learned_surely: A net that has learned so much, as a share of what a sound net has learned
            from the same batches, is healthy; no need to see more of it.
        learned: What it must have learned, likewise, when the last has been seen of it.
        learned_numbers, learned_classes: Likewise, of a net that costs little to see to the end, of
            a regression or another, by the best of three sound nets; the mean of up to five folds
            of the rows while it is near that.
        hopeless: Less than this after four times the steps of a trial is the end.
    """

    vanishing: float = 1e-3
    exploding: float = 1e3
    activations: float = 1e4
    dead: float = 0.5
    saturated: float = 0.75
    large_steps: float = 0.2
    small_steps: float = 1e-6
    learned_surely: float = 0.97
    learned: float = 0.91
    learned_numbers: float = 0.8925
    learned_classes: float = 0.9
    hopeless: float = 0.2


@dataclass(frozen=True)
class Finding:
    """Something wrong with a layer.

    Attributes:
        layer: Its name.
        verdict: "nonfinite", "dead", "saturated", "exploding", "vanishing" or "learning_rate".
        words: What, and why, in words.
        figures: Name -> value of what it rests on.
    """

    layer: str
    verdict: str
    words: str
    figures: dict[str, float]


def findings(
    steps: Sequence[StepStatistics], thresholds: Thresholds | None = None
) -> list[Finding]:
    """At most one for each layer, in the model's order: the one that explains the others."""
    if not steps:
        return []
    limits = thresholds or Thresholds()
    recent = steps[len(steps) // 2 :]
    names = list(recent[-1].layers)
    sizes = {name: _median(recent, name, lambda layer: layer.gradient_rms) for name in names}
    trained = [name for name in names if isfinite(sizes[name])]
    found = []
    for place, name in enumerate(names):
        behind = {other: sizes[other] for other in names[place + 1 :] if other in trained}
        finding = _judge(recent, name, sizes[name], behind, limits)
        if finding is not None:
            found.append(finding)
    return found


def _judge(
    steps: Sequence[StepStatistics],
    name: str,
    gradient: float,
    behind: dict[str, float],
    limits: Thresholds,
) -> Finding | None:
    last = steps[-1].layers[name]
    nonfinite = max(step.layers[name].nonfinite for step in steps)
    dead = last.dead
    saturated = _median(steps, name, lambda layer: layer.saturated)
    saturated_units = _median(steps, name, lambda layer: layer.saturated_units)
    deviation = _median(steps, name, lambda layer: layer.deviation)
    update = _median(steps, name, lambda layer: layer.update_ratio)
    largest = max(behind, key=lambda other: behind[other], default=None)
    moving = [other for other in behind if behind[other] > 0]
    smallest = min(moving, key=lambda other: behind[other], default=None)
    share = gradient / behind[largest] if largest is not None and behind[largest] > 0 else nan
    multiple = gradient / behind[smallest] if smallest is not None else nan
    # A unit that never gives anything is dead only where the activation can be silent.
    where = "for every row" if last.units == "units" else "everywhere, for every row"
    silent = last.activation in ("relu", "relu_general") and dead >= limits.dead

    def finding(verdict: str, words: str, **figures: float) -> Finding:
        return Finding(name, verdict, words, figures)

    if nonfinite:
        return finding(
            "nonfinite",
            f"{nonfinite} of its numbers are infinite or NaN",
            nonfinite=nonfinite,
        )
    if silent:
        return finding(
            "dead",
            f"{dead:.0%} of its {last.units} gave 0 {where}: no gradient passes them",
            dead=dead,
        )
    if saturated >= limits.saturated:
        return finding(
            "saturated",
            f"{saturated:.0%} of its outputs lie where {last.activation} is flat, those of "
            f"{saturated_units:.0%} of its {last.units} nearly always: hardly any gradient passes",
            saturated=saturated,
            saturated_units=saturated_units,
        )
    if deviation >= limits.activations or multiple >= limits.exploding:
        if multiple >= limits.exploding:
            words = f"its gradient is {scientific(multiple)} times that of {smallest!r}"
        else:
            words = f"its outputs have a deviation of {scientific(deviation)}"
        return finding("exploding", words, gradient=gradient, multiple=multiple, outputs=deviation)
    if share <= limits.vanishing:
        return finding(
            "vanishing",
            f"its gradient is {scientific(share)} of that of {largest!r}{_why(steps, name)}",
            gradient=gradient, share=share,
        )  # fmt: skip
    if update >= limits.large_steps:
        far = f"{update:.0%}" if update < _FAR else f"{scientific(update)} times their size"
        words = f"each step moves its weights by {far}"
        return finding("learning_rate", words, update_ratio=update)
    if update <= limits.small_steps:
        return finding(
            "learning_rate",
            f"a step moves its weights by {scientific(update)} of their size only"
            if update
            else "its weights do not move at all",
            update_ratio=update,
        )
    return None


def scientific(value: float, digits: int = 1) -> str:
    """``"6.2e30"``, with so many digits after the point."""
    mantissa, _, exponent = f"{value:.{digits}e}".partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa


_SHRINKING = {"sigmoid": "a quarter", "hard_sigmoid": "a sixth"}
"""The largest derivative of activations that make every gradient smaller."""

_FAR = 10.0
"""A step by the weights, from which on percents are hard to read."""

_FAINT = 0.05
"""Deviation of outputs of a layer whose weights are too small."""

_MOSTLY = 0.95
"""Share of zeros of a layer that hardly lets a gradient pass."""


def _why(steps: Sequence[StepStatistics], name: str) -> str:
    """What makes a gradient vanish that comes from the layers behind."""
    behind = list(steps[-1].layers)[list(steps[-1].layers).index(name) + 1 :]
    kinds = [steps[-1].layers[other].activation for other in (name, *behind)]
    shrinking = [kind for kind in kinds if kind in _SHRINKING]
    if len(shrinking) > 1:
        kind = shrinking[0]
        return (
            f": {len(shrinking)} times it passes a {kind}, whose derivative is at most "
            f"{_SHRINKING[kind]}"
        )
    faint = [
        other
        for other in (name, *behind)
        if _median(steps, other, lambda layer: layer.deviation) < _FAINT
    ]
    if len(faint) > 1:
        return f": the outputs of {len(faint)} layers hardly differ, as where weights are too small"
    silent = [other for other in behind if steps[-1].layers[other].zeros > _MOSTLY]
    return f": {silent[0]!r} behind it gives hardly anything but 0" if silent else ""


def _median(
    steps: Sequence[StepStatistics], name: str, figure: Callable[[LayerStatistics], float]
) -> float:
    values = [figure(step.layers[name]) for step in steps]
    known = [value for value in values if value == value]
    return float(np.median(known)) if known else nan
