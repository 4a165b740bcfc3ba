"""Losses and metrics summed over rows, and their means by Keras's names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastnn.lowering.objective import Objective

Logs = dict[str, float]


class Totals:
    """What the steps of a program add to.

    Attributes:
        sums: The penalties of regularizers, if there are such; then for each output: its loss,
            metrics, weighted metrics and, if there are such, weights.
        rows: How many rows have been summed.
    """

    def __init__(
        self, output_names: Sequence[str], objectives: Sequence[Objective], penalized: bool
    ) -> None:
        self._names = output_names
        self._objectives = objectives
        self._penalized = penalized
        n_sums = sum(
            (o.loss is not None) + len(o.all_metrics) + bool(o.weighted_metrics) for o in objectives
        )
        self.sums = np.zeros(n_sums + penalized)
        self.rows = 0

    def logs(self) -> Logs:
        """The means: loss, where there are several outputs their losses, metrics, weighted metrics.

        An output's name stands before its metric's if there are several outputs. Where a name is
        taken, a weighted metric is called "weighted_..." and another metric gets a "_1".
        """
        sums = iter(self.sums.tolist())
        total = _ratio(next(sums), self.rows) if self._penalized else 0.0
        losses: Logs = {}
        metrics: list[tuple[str, str, float]] = []
        weighted: list[tuple[str, str, float]] = []
        for name, objective in zip(self._names, self._objectives, strict=True):
            prefix = f"{name}_" if len(self._names) > 1 else ""
            if objective.loss is not None:
                mean = _ratio(next(sums), self.rows)
                total += objective.loss_weight * mean
                losses[f"{name}_loss"] = mean
            for metric in objective.metrics:
                metrics.append((prefix, metric.name, _ratio(next(sums), self.rows)))
            values = [next(sums) for _ in objective.weighted_metrics]
            weight = next(sums) if values else 0.0
            for metric, value in zip(objective.weighted_metrics, values, strict=True):
                weighted.append((prefix, metric.name, _ratio(value, weight)))
        logs = {"loss": total} | (losses if len(self._names) > 1 else {})
        for prefix, name, value in metrics:
            logs[_free(logs, prefix + name)] = value
        for prefix, name, value in weighted:
            taken = prefix + name in logs
            logs[_free(logs, f"{prefix}weighted_{name}" if taken else prefix + name)] = value
        return logs


def _ratio(total: float, count: float) -> float:
    return total / count if count else 0.0


def _free(logs: Logs, name: str) -> str:
    free, count = name, 0
    while free in logs:
        count += 1
        free = f"{name}_{count}"
    return free
