"""All examples of an epoch, for the metrics that need them at once."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.data.dataset import Dataset
from fastnn.lowering.objective import Objective
from fastnn.metrics import EpochMetric


class Examples:
    """Targets, predictions and weights of one output, as the passes of an epoch came upon them."""

    def __init__(self) -> None:
        self._targets: list[NDArray[Any]] = []
        self._predictions: list[NDArray[np.float32]] = []
        self._weights: list[NDArray[np.float32] | None] = []

    def and_more(self) -> Examples:
        """The same, to which more can be added without a change of these."""
        copied = Examples()
        copied._targets, copied._predictions = [*self._targets], [*self._predictions]
        copied._weights = [*self._weights]
        return copied

    def state(self) -> list[Any]:
        """Of ``restore``: nothing, or three arrays, the last of which may be None."""
        if not self._targets:
            return []
        self._join()
        return [self._targets[0], self._predictions[0], self._weights[0]]

    def restore(self, state: Sequence[Any]) -> None:
        """Begin with what ``state`` gave."""
        if state:
            self.add(*state)

    def add(
        self,
        targets: NDArray[Any],
        predictions: NDArray[np.float32],
        weights: NDArray[np.float32] | None,
    ) -> None:
        """Further rows."""
        self._targets.append(targets)
        self._predictions.append(predictions)
        self._weights.append(weights)

    def compute(self, metric: EpochMetric, weighted: bool) -> float:
        """``metric`` of all rows, of which there is at least one."""
        self._join()
        weights = self._weights[0] if weighted else None
        return metric.compute(self._targets[0], self._predictions[0], weights)

    def _join(self) -> None:
        if len(self._targets) == 1:
            return
        if any(weights is not None for weights in self._weights):
            each = zip(self._weights, self._targets, strict=True)
            ones = [np.ones(len(y), np.float32) if w is None else w for w, y in each]
            self._weights = [np.concatenate(ones)]
        else:
            self._weights = [None]
        self._targets = [np.concatenate(self._targets)]
        self._predictions = [np.concatenate(self._predictions)]


class Collector:
    """Examples of those outputs that have such metrics.

    Attributes:
        examples: For each output; None where there are no such metrics.
    """

    def __init__(self, objectives: Sequence[Objective]) -> None:
        self._objectives = objectives
        self.examples = [Examples() if o.has_epoch_metrics else None for o in objectives]

    def room(self, n_rows: int, shapes: Sequence[tuple[int, ...]]) -> list[NDArray[np.float32]]:
        """Where the predictions of a pass go, (n_rows, outputs) each.

        Args:
            shapes: Of all outputs, without the batch.
        """
        return [
            np.empty((n_rows, prod(shape)), np.float32)
            for shape, examples in zip(shapes, self.examples, strict=True)
            if examples is not None
        ]

    def keep(
        self, dataset: Dataset, order: NDArray[np.int64], predictions: list[NDArray[np.float32]]
    ) -> None:
        """What a pass over the rows ``order`` has written to ``room``."""
        if not predictions or not len(order):
            return
        found = iter(predictions)
        targets, weights = iter(dataset.targets), iter(dataset.weights)
        for objective, examples in zip(self._objectives, self.examples, strict=True):
            target = next(targets) if objective.has_target else None
            weight = next(weights, None) if objective.takes_weights else None
            if examples is not None:
                assert target is not None
                examples.add(
                    objective.by_place(target[order]),
                    objective.by_place(next(found)[: len(order)]),
                    None if weight is None else objective.by_place(weight[order]),
                )

    def and_more(
        self, dataset: Dataset, order: NDArray[np.int64], predictions: list[NDArray[np.float32]]
    ) -> Collector:
        """What this one will be if a pass ends with these; it does not change."""
        result = Collector(self._objectives)
        result.examples = [each and each.and_more() for each in self.examples]
        result.keep(dataset, order, predictions)
        return result

    def state(self) -> list[list[Any] | None]:
        """Of ``restore``."""
        return [None if each is None else each.state() for each in self.examples]

    def restore(self, state: Sequence[Sequence[Any] | None]) -> None:
        """Begin with what ``state`` gave.

        Raises:
            ValueError: It is of other metrics.
        """
        if [each is None for each in self.examples] != [each is None for each in state]:
            raise ValueError("the metrics that need all rows are of other outputs than the file's")
        for each, its_state in zip(self.examples, state, strict=True):
            if each is not None:
                each.restore(its_state or ())
