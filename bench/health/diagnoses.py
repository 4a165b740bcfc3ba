"""What ``diagnose`` says of each net, and what it saw, so that thresholds can be tried on it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol

from bench.health import kinds
from bench.health.journal import Record
from bench.health.labels import Budget
from bench.health.tables import TableBudget
from fastnn.health.baseline import learns_numbers
from fastnn.health.judge import is_cheap, learns
from fastnn.health.report import LEARNS, Progress
from fastnn.health.work import work_of
from fastnn.verdicts import Thresholds

_STEPS = 100
"""Of a trial, by default."""


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
    def progress(self) -> Sequence[Progress]: ...
    @property
    def folds(self) -> Sequence[Sequence[Progress]]: ...


Diagnose = Callable[..., Finding]
"""``fastnn.health.diagnose``, or what stands for it; called with model, x, y, ``batch_size``,
and ``remedies``, whether to try any."""


def examine(
    case: kinds.AnyCase, budget: Budget | TableBudget, diagnose: Diagnose, **settings: Any
) -> Finding:
    """The report of the untreated net, on the case's training rows."""
    kind = kinds.of(case)
    data = kind.data(case, budget)
    return diagnose(kind.build(case), *data, batch_size=case.batch_size, **settings)


def diagnosis(case: kinds.AnyCase, budget: Budget | TableBudget, diagnose: Diagnose) -> Record:
    """The verdict on the untreated net.

    Returns:
        ``case``; ``verdict`` and ``cause``; ``progress``, what it learned, likewise of other
        ``folds`` of the rows, and whether it was ``cheap`` to see that; whether it is of
        ``numbers``, a regression; ``seconds``.
    """
    start = time.perf_counter()
    report = examine(case, budget, diagnose, remedies=False)
    model = kinds.of(case).build(case)
    return {
        "case": asdict(case),
        "verdict": report.verdict,
        "cause": report.cause,
        "progress": [asdict(progress) for progress in report.progress],
        "folds": [[asdict(progress) for progress in fold] for fold in report.folds],
        "cheap": is_cheap(work_of(model), _STEPS, case.batch_size),
        "numbers": learns_numbers(model),
        "seconds": round(time.perf_counter() - start, 2),
    }


def verdict(record: Record, thresholds: Thresholds) -> str:
    """What it would be with these thresholds, if they ask for no longer a look; "unhealthy" where
    the net was found healthy before."""
    progress = [Progress(**each) for each in record["progress"]]
    found: str = record["verdict"]
    cheap, numbers = record.get("cheap", False), record.get("numbers", False)
    folds = [[Progress(**each) for each in fold] for fold in record.get("folds", ())]
    for seen in range(1, len(progress) + 1):
        last = seen == len(progress)
        learned = learns(progress[:seen], last, thresholds, cheap, numbers, folds if last else ())
        if learned:
            return found if found in LEARNS else "healthy"
        if learned is False:
            break
    # Else it was not fit to be trained, or hopeless.
    return found if found not in LEARNS else "unhealthy"
