"""What one step of training shows of each layer: the figures that the engine takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from math import nan
from typing import Any

import numpy as np

__all__ = ["LayerStatistics", "StepStatistics"]


@dataclass(frozen=True)
class LayerStatistics:
    """Figures of one layer in one step. A figure that the layer does not have is NaN.

    Gradients are those of the whole loss, with regularizers, before clipping by a norm. Activations
    are the layer's outputs; of an output whose softmax or sigmoid is computed within the loss, its
    inputs.

    Attributes:
        name: The layer's.
        gradient_norm: L2 norm of the gradient over all weights of the layer.
        gradient_max: Its largest absolute value.
        gradient_size: How many numbers the gradient has; 0 if the layer trains nothing.
        weight_norm: L2 norm of the kernel (of all weights, where there is no kernel), after the
            step.
        update_ratio: L2 norm of the step by that of the weights before it, of the same weights.
        nonfinite: How many numbers of gradient and activations are infinite or NaN.
        activation: The kind of activation function that ends the layer; "linear" if there is none.
        mean, deviation: Of the activations, over rows and units.
        zeros: Share of activations that are exactly 0.
        dead: Share of units that have been 0 for every row of every step looked at, for as long
            as the window; 0 until a window is full.
        saturated: Share of activations where the derivative is below 5 % of its largest value;
            NaN if the activation is not bounded.
        saturated_units: Share of units that are so in at least 95 % of the rows of the step; of
            filters, of rows and positions.
        units: What a unit of the outputs is called: "units"; of a convolution "filters", of other
            layers that make pictures or signals "channels". It counts at all positions together.
    """

    name: str
    gradient_norm: float = nan
    gradient_max: float = nan
    gradient_size: int = 0
    weight_norm: float = nan
    update_ratio: float = nan
    nonfinite: int = 0
    activation: str = "linear"
    mean: float = nan
    deviation: float = nan
    zeros: float = nan
    dead: float = nan
    saturated: float = nan
    saturated_units: float = nan
    units: str = "units"

    @property
    def gradient_rms(self) -> float:
        """Root mean square of the gradient: layers of different sizes compare by it."""
        return self.gradient_norm / self.gradient_size**0.5 if self.gradient_size else nan


@dataclass(frozen=True)
class StepStatistics:
    """Figures of one step.

    Attributes:
        step: The optimizer's steps before this one.
        layers: By name, in the model's order.
    """

    step: int
    layers: Mapping[str, LayerStatistics]


_WORDS, _COUNTS, _FIGURES = (
    tuple(field.name for field in fields(LayerStatistics) if field.type == kind)
    for kind in ("str", "int", "float")
)


def as_state(statistics: Sequence[StepStatistics]) -> dict[str, Any]:
    """Those of one model as JSON values and arrays, for ``from_state``."""
    layers = [[*step.layers.values()] for step in statistics]
    return {
        "layers": [[getattr(each, name) for name in _WORDS] for each in (layers or [[]])[0]],
        "steps": np.array([step.step for step in statistics], np.int64),
        "counts": np.array(
            [[[getattr(each, n) for n in _COUNTS] for each in step] for step in layers], np.int64
        ),
        "figures": np.array(
            [[[getattr(each, n) for n in _FIGURES] for each in step] for step in layers], np.float64
        ),
    }


def from_state(state: Mapping[str, Any]) -> list[StepStatistics]:
    """What ``as_state`` was given."""
    words = [dict(zip(_WORDS, each, strict=True)) for each in state["layers"]]
    result = []
    for step, counts, figures in zip(
        state["steps"].tolist(), state["counts"].tolist(), state["figures"].tolist(), strict=True
    ):
        layers = {}
        for named, of_counts, of_figures in zip(words, counts, figures, strict=True):
            numbers = {
                **dict(zip(_COUNTS, of_counts, strict=True)),
                **dict(zip(_FIGURES, of_figures, strict=True)),
            }
            layers[named["name"]] = LayerStatistics(**named, **numbers)
        result.append(StepStatistics(step, layers))
    return result
