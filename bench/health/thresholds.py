"""Thresholds from what was seen of nets: a search, one threshold at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from bench.health.confusion import detection, false_alarms, outcomes
from bench.health.journal import Record
from fastnn.bench.report import markdown

MISSES, ALARMS = 0.05, 0.02
"""At most: of the nets that do not train, those called healthy; of those that do, those not."""

T = TypeVar("T")

Judge = Callable[[Record, T], str]
"""From a record of ``diagnoses`` and thresholds to a verdict, without training anything again."""


def cost(
    labels: Mapping[str, Record], diagnoses: Mapping[str, Record], judge: Judge[T], thresholds: T
) -> tuple[float, float]:
    """How far the two shares are from what is wanted: the larger of both, each by its limit, then
    their sum. Smaller is better; up to 1 both hold."""
    verdicts = {name: judge(record, thresholds) for name, record in diagnoses.items()}
    nets = outcomes(labels, verdicts)
    missed = 1 - detection(nets).value if any(not net.trains for net in nets) else 0.0
    alarms = false_alarms(nets).value if any(net.trains for net in nets) else 0.0
    excesses = missed / MISSES, alarms / ALARMS
    return max(excesses), sum(excesses)


def search(
    labels: Mapping[str, Record],
    diagnoses: Mapping[str, Record],
    judge: Judge[T],
    start: T,
    ladders: Mapping[str, Sequence[Any]],
    rounds: int = 5,
) -> tuple[T, list[dict[str, Any]]]:
    """The best thresholds, and the evidence for them.

    Each threshold in turn takes every value of its ladder, the others staying; it gets the one of
    least cost, and of several in a row the middle one, which is farthest from doing worse. This is
    repeated until nothing changes.

    Args:
        labels, diagnoses: Name -> record, of the same nets.
        judge: See ``Judge``.
        start: A dataclass whose fields are thresholds.
        ladders: Field -> its values, ascending.
        rounds: At most.

    Returns:
        The thresholds, and a row for each one tried in the last round: ``threshold``, ``values``,
        their ``costs``, and the value that was ``chosen``.
    """
    best = start
    history: list[dict[str, Any]] = []
    for _ in range(rounds):
        before = best
        history = []
        for field, values in ladders.items():
            tried = [dataclasses.replace(best, **{field: value}) for value in values]  # type: ignore[type-var]
            costs = [cost(labels, diagnoses, judge, each) for each in tried]
            place = _middle_of_best(costs)
            best = tried[place]
            history.append(
                {
                    "threshold": field,
                    "values": list(values),
                    "costs": [round(largest, 4) for largest, _ in costs],
                    "chosen": values[place],
                }
            )
        if best == before:
            break
    return best, history


def _middle_of_best(costs: Sequence[tuple[float, float]]) -> int:
    """The middle of the longest run of least costs."""
    least = min(costs)
    runs: list[list[int]] = [[]]
    for place, each in enumerate(costs):
        if each == least:
            runs[-1].append(place)
        elif runs[-1]:
            runs.append([])
    longest = max(runs, key=len)
    return longest[(len(longest) - 1) // 2]


def table(tried: Sequence[Mapping[str, Any]], present: Any) -> str:
    """What the search chose, beside what is built in."""
    lines = []
    for row in tried:
        places = [i for i, cost in enumerate(row["costs"]) if cost == min(row["costs"])]
        least = f"{row['values'][places[0]]:g} to {row['values'][places[-1]]:g}"
        built_in = f"{getattr(present, row['threshold']):g}"
        lines.append([row["threshold"], f"{row['chosen']:g}", least, built_in])
    return markdown(["threshold", "found", "as good", "built in"], lines)
