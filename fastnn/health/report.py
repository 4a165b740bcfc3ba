"""What ``diagnose`` found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import nan
from typing import TYPE_CHECKING

from fastnn.statistics import StepStatistics

if TYPE_CHECKING:
    from fastnn.models import Model

VERDICTS = (
    "healthy", "vanishing", "exploding", "dead", "saturated", "nonfinite", "input_scale",
    "learning_rate", "loss_mismatch",
)  # fmt: skip


@dataclass(frozen=True)
class Trial:
    """A net trained for a short budget.

    Attributes:
        losses: Of each step's batch, before the step; shorter than the budget if it broke off.
        loss: On the rows held out, after the last step; NaN if training broke off.
        accuracy: Likewise; NaN where the targets are no classes.
        gradient_ratio: Gradient norm of the first layer that trains by that of the last, each by
            the root of its size; median over the last steps.
        error: Why training broke off.
        steps: What was seen of each step.
        learned: How much of what there is to learn, from 0 to 1: by how much the loss is below
            that of the best constant prediction, or the accuracy above that of the most frequent
            class, each by the most that it could be; whichever is more.
    """

    losses: tuple[float, ...]
    loss: float = nan
    accuracy: float = nan
    gradient_ratio: float = nan
    error: str | None = None
    steps: tuple[StepStatistics, ...] = ()
    learned: float = 0.0


@dataclass(frozen=True)
class LayerReport:
    """One layer.

    Attributes:
        name: The layer's.
        kind: Its class.
        verdict: One of ``VERDICTS`` that a layer can have.
        cause: Why, in words; empty if it is healthy.
        figures: Name -> value of what the verdict rests on.
    """

    name: str
    kind: str
    verdict: str
    cause: str = ""
    figures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Remedy:
    """A change that was tried on a copy.

    Attributes:
        name: For programs: "initialization", "batch_normalization", ...
        change: What changes, in words.
        trial: What came of it; None if it was not tried.
        helped: Whether it is better than the untreated net, by more than chance.
        apply: Makes a new compiled model with the change.
    """

    name: str
    change: str
    trial: Trial | None
    helped: bool
    apply: Callable[[], Model]


@dataclass(frozen=True)
class Report:
    """Attributes:
    verdict: One of ``VERDICTS``: the cause that comes first.
    cause: Why, in words.
    layers: In the model's order.
    remedies: Tried ones, best first; those that did not help come last.
    untreated: The model as it was given.
    """

    verdict: str
    cause: str
    layers: tuple[LayerReport, ...]
    remedies: tuple[Remedy, ...]
    untreated: Trial
