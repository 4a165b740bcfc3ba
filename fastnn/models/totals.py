"""Losses and metrics summed over rows, and their means by Keras's names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from fastnn.lowering.objective import Objective
from fastnn.metrics import EpochMetric
from fastnn.models.collecting import Collector, Examples

Logs = dict[str, float]


class Totals:
    """What the steps of a program add to.

    Attributes:
        sums: The penalties of regularizers, if there are such; then for each output: its loss,
            metrics, weighted metrics and, if there are such, weights; without the metrics that need
            all rows at once.
        objectives: Of the outputs, which say what is summed.
        rows: How many rows have been summed.
        collector: Of the rows for such metrics.
    """

    def __init__(
        self, output_names: Sequence[str], objectives: Sequence[Objective], penalized: bool
    ) -> None:
        self._names = output_names
        self.objectives = objectives
        self._penalized = penalized
        n_sums = sum(
            (o.loss is not None)
            + sum(not isinstance(metric, EpochMetric) for metric in o.all_metrics)
            + bool(o.weighted_metrics)
            for o in objectives
        )
        self.sums = np.zeros(n_sums + penalized)
        self.rows = 0
        self.collector = Collector(objectives)

    def state(self, collector: Collector) -> dict[str, Any]:
        """Of ``restore``.

        Args:
            collector: With the rows of the pass that is not at its end yet.
        """
        return {"rows": self.rows, "sums": self.sums, "examples": collector.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state`` gave.

        Raises:
            ValueError: It is of other losses and metrics.
        """
        if state["sums"].shape != self.sums.shape:
            raise ValueError(
                f"the losses and metrics have {self.sums.size} sums, the file {state['sums'].size}"
            )
        self.sums[:] = state["sums"]
        self.rows = state["rows"]
        self.collector.restore(state["examples"])

    @property
    def names(self) -> list[str]:
        """What ``logs`` of a whole epoch has."""
        return list(self._logs(whole=False))

    def logs(self, whole: bool = False) -> Logs:
        """The means: loss, where there are several outputs their losses, metrics, weighted metrics.

        An output's name stands before its metric's if there are several outputs. Where a name is
        taken, a weighted metric is called "weighted_..." and another metric gets a "_1".

        Args:
            whole: The epoch is over: with the metrics that need all its rows.
        """
        logs = self._logs(whole and self.rows > 0)
        return {name: value for name, value in logs.items() if value is not None}

    def _logs(self, whole: bool) -> dict[str, float | None]:
        sums = iter(self.sums.tolist())
        total = _ratio(next(sums), self.rows) if self._penalized else 0.0
        losses: dict[str, float | None] = {}
        metrics: list[tuple[str, str, float | None]] = []
        weighted: list[tuple[str, str, float | None]] = []
        for name, objective, examples in zip(
            self._names, self.objectives, self.collector.examples, strict=True
        ):
            prefix = f"{name}_" if len(self._names) > 1 else ""
            if objective.loss is not None:
                mean = _ratio(next(sums), self.rows)
                total += objective.loss_weight * mean
                losses[f"{name}_loss"] = mean
            for metric in objective.metrics:
                if isinstance(metric, EpochMetric):
                    value = _computed(metric, examples, False) if whole else None
                else:
                    value = _ratio(next(sums), self.rows)
                metrics.append((prefix, metric.name, value))
            means = _weighted_means(objective, sums)
            for metric in objective.weighted_metrics:
                if isinstance(metric, EpochMetric):
                    value = _computed(metric, examples, True) if whole else None
                else:
                    value = next(means)
                weighted.append((prefix, metric.name, value))
        logs: dict[str, float | None] = {"loss": total}
        logs |= losses if len(self._names) > 1 else {}
        for prefix, name, value in metrics:
            logs[_free(logs, prefix + name)] = value
        for prefix, name, value in weighted:
            taken = prefix + name in logs
            logs[_free(logs, f"{prefix}weighted_{name}" if taken else prefix + name)] = value
        return logs


def _weighted_means(objective: Objective, sums: Iterator[float]) -> Iterator[float]:
    """The weighted means: the sums, each divided by the sum of the weights, which follows them."""
    n_values = sum(not isinstance(metric, EpochMetric) for metric in objective.weighted_metrics)
    values = [next(sums) for _ in range(n_values)]
    weight = next(sums) if objective.weighted_metrics else 0.0
    return iter([_ratio(value, weight) for value in values])


def _computed(metric: EpochMetric, examples: Examples | None, weighted: bool) -> float:
    assert examples is not None
    return examples.compute(metric, weighted)


def _ratio(total: float, count: float) -> float:
    return total / count if count else 0.0


def _free(logs: dict[str, float | None], name: str) -> str:
    free, count = name, 0
    while free in logs:
        count += 1
        free = f"{name}_{count}"
    return free
