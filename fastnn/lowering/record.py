"""What a program writes down of a step whose statistics are taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import hypot, nan

import numpy as np
from numpy.typing import NDArray

from fastnn.kernels.statistics import OF_ACTIVATIONS, OF_WEIGHTS
from fastnn.statistics import LayerStatistics, StepStatistics


@dataclass
class _Layer:
    """Where a layer's figures begin in a record."""

    gradients: list[tuple[int, int]] = field(default_factory=list)
    """Column, and size, of each weight's gradient."""
    steps: list[int] = field(default_factory=list)
    """Columns of each weight before its step, after it, and of the step."""
    activations: int | None = None
    activation: str = "linear"
    units: str = "units"
    bounded: bool = False


class Record:
    """The columns of a record: the step's number, then figures of each layer.

    Attributes:
        width: How many columns there are.
    """

    def __init__(self) -> None:
        self.width = 1
        self._layers: dict[str, _Layer] = {}
        self._memories: list[NDArray[np.int64]] = []

    def add_layer(self, name: str) -> None:
        """The next in the model's order."""
        self._layers.setdefault(name, _Layer())

    def gradient(self, layer: str, size: int) -> int:
        """The column where figures of a gradient begin."""
        self._layers[layer].gradients.append((self.width, size))
        return self._take(len(OF_WEIGHTS))

    def step(self, layer: str) -> list[int]:
        """Columns where figures of a weight before its step, after it, and of the step begin."""
        self._layers[layer].steps.append(self.width)
        return [self._take(len(OF_WEIGHTS)) for _ in range(3)]

    def activations(self, layer: str, activation: str, bounded: bool, units: str) -> int:
        """The column where figures of a layer's outputs begin."""
        found = self._layers[layer]
        found.activation, found.bounded, found.activations = activation, bounded, self.width
        found.units = units
        return self._take(len(OF_ACTIVATIONS))

    def memory(self, units: int) -> NDArray[np.int64]:
        """Which step last saw each unit give more than 0."""
        self._memories.append(np.full(units, -1, np.int64))
        return self._memories[-1]

    def go_on(self, before: Record | None) -> None:
        """Take over what another program of the model has seen of the units; or, in another
        training, begin the windows anew."""
        if before is None:
            for memory in self._memories:
                memory.fill(-1)
            return
        for memory, seen in zip(self._memories, before._memories, strict=True):
            memory[:] = seen

    @property
    def memories(self) -> list[NDArray[np.int64]]:
        """When each unit was last seen to give more than 0: of each layer that has such units."""
        return self._memories

    def remember(self, memories: Sequence[NDArray[np.int64]]) -> None:
        """Go on from ``memories`` of another process.

        Raises:
            ValueError: They are of other layers.
        """
        if [each.shape for each in memories] != [each.shape for each in self._memories]:
            raise ValueError("what is known of silent units is of other layers than the model's")
        for memory, seen in zip(self._memories, memories, strict=True):
            memory[:] = seen

    def _take(self, columns: int) -> int:
        column, self.width = self.width, self.width + columns
        return column

    def room(self, steps: int, every: int) -> NDArray[np.float64]:
        """Room for ``statistics`` of so many steps."""
        return np.full((steps // every + 1, self.width), nan)

    def statistics(self, records: NDArray[np.float64]) -> list[StepStatistics]:
        """Statistics of each step that came to its end."""
        return [
            StepStatistics(
                int(row[0]), {name: _read(name, layer, row) for name, layer in self._layers.items()}
            )
            for row in records[~np.isnan(records[:, 0])].tolist()
        ]


def _read(name: str, layer: _Layer, row: Sequence[float]) -> LayerStatistics:
    figures: dict[str, float] = {}
    nonfinite = 0.0
    if layer.gradients:
        gradients = [row[at : at + len(OF_WEIGHTS)] for at, _ in layer.gradients]
        figures["gradient_norm"] = hypot(*(norm for norm, _, _ in gradients))
        figures["gradient_max"] = float(np.max([largest for _, largest, _ in gradients]))
        nonfinite += sum(count for _, _, count in gradients)
    if layer.steps:
        before, after, step = (
            hypot(*(row[at + i * len(OF_WEIGHTS)] for at in layer.steps)) for i in range(3)
        )
        figures["weight_norm"] = after
        figures["update_ratio"] = step / before if before else nan
    if layer.activations is not None:
        values = row[layer.activations : layer.activations + len(OF_ACTIVATIONS)]
        of_activations = dict(zip(OF_ACTIVATIONS, values, strict=True))
        nonfinite += of_activations.pop("nonfinite")
        if not layer.bounded:
            of_activations["saturated"] = of_activations["saturated_units"] = nan
        figures |= of_activations
    return LayerStatistics(
        name, gradient_size=sum(size for _, size in layer.gradients), nonfinite=int(nonfinite),
        activation=layer.activation, units=layer.units, **figures,
    )  # fmt: skip
