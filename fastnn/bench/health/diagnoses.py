"""What ``diagnose`` says of each net, and the evidence, so that thresholds can be tried on it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from fastnn.bench.health import nets
from fastnn.bench.health.grid import Case
from fastnn.bench.health.journal import Record
from fastnn.bench.health.labels import Budget
from fastnn.health.report import Trial
from fastnn.statistics import LayerStatistics, StepStatistics

_DIGITS = 5
"""Significant ones of the evidence: a threshold is no finer."""


class Cure(Protocol):
    """A remedy, as far as it matters here."""

    @property
    def name(self) -> str: ...
    @property
    def change(self) -> str: ...
    @property
    def helped(self) -> bool: ...
    @property
    def fit_arguments(self) -> Mapping[str, Any]: ...
    @property
    def apply(self) -> Callable[[], Any]: ...


class Finding(Protocol):
    """A report, as far as it matters here."""

    @property
    def verdict(self) -> str: ...
    @property
    def cause(self) -> str: ...
    @property
    def remedies(self) -> Sequence[Cure]: ...
    @property
    def untreated(self) -> Trial: ...


Diagnose = Callable[..., Finding]
"""``fastnn.health.diagnose``, or what stands for it; called with model, x, y, ``batch_size`` and
``remedies``, whether to try any."""


def examine(case: Case, budget: Budget, diagnose: Diagnose, remedies: bool) -> Finding:
    """The report of the untreated net, on the case's training rows."""
    x, y, _, _ = nets.mnist(budget.rows, budget.test_rows)
    data = nets.inputs(case, x), nets.targets(case, y)
    return diagnose(nets.build(case), *data, batch_size=case.batch_size, remedies=remedies)


def diagnosis(case: Case, budget: Budget, diagnose: Diagnose) -> Record:
    """The verdict on the untreated net.

    Returns:
        ``case``, ``verdict``, ``cause``, ``evidence`` (the untreated net's trial), ``seconds``.
    """
    start = time.perf_counter()
    report = examine(case, budget, diagnose, remedies=False)
    return {
        "case": case.to_dict(),
        "verdict": report.verdict,
        "cause": report.cause,
        "evidence": trial_to_dict(report.untreated),
        "seconds": round(time.perf_counter() - start, 2),
    }


def trial_to_dict(trial: Trial) -> Record:
    """JSON values of a trial, but for the words of :mod:`~fastnn.bench.health.journal` for numbers
    that JSON has not."""
    shortened: Record = _shortened(dataclasses.asdict(trial))
    return shortened


def trial_from_dict(record: Mapping[str, Any]) -> Trial:
    """The trial that :func:`trial_to_dict` described."""
    steps = tuple(
        StepStatistics(
            **{
                **step,
                "layers": {n: LayerStatistics(**figures) for n, figures in step["layers"].items()},
            }
        )
        for step in record["steps"]
    )
    return Trial(**{**record, "losses": tuple(record["losses"]), "steps": steps})


def _shortened(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    if isinstance(value, Mapping):
        return {key: _shortened(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_shortened(each) for each in value]
    return value
