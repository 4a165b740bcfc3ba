"""What BatchNorm, clipping and dropout cost: a library against itself without them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from fastnn.bench import checks, report, suites, timing
from fastnn.bench.entrant import Entrant
from fastnn.bench.peers.base import Job


def run(
    entrants: Sequence[Entrant], jobs: Sequence[Job], turns: int, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """For each plain job, ``costs``: ``step_us`` with each of ``suites.COSTS``, and ``cost``, what
    is added to the plain step, as a share of it; over paired turns.

    Args:
        entrants: Each library in as many workers as there are ``suites.COSTS``. One that lacks a
            remedy has no row.
    """
    rows = []
    for job in jobs:
        for name in dict.fromkeys(entrant.name for entrant in entrants):
            crew = [entrant for entrant in entrants if entrant.name == name]
            lacking = crew[0].lacks(dataclasses.replace(job, **suites.COSTS["all"]))
            if lacking:
                say(f"{name} has no {', '.join(lacking)}")
                continue
            say(f"{job.title}: {name}")
            rows.append(
                {
                    "data": job.data,
                    "net": job.net,
                    "batch": job.batch,
                    "entrant": name,
                    "costs": _costs(crew, job, turns),
                }
            )
    return rows


def _costs(crew: Sequence[Entrant], job: Job, turns: int) -> dict[str, dict[str, Any]]:
    for entrant, fields in zip(crew, suites.COSTS.values(), strict=True):
        treated = dataclasses.replace(job, **fields)
        checks.check([entrant], treated)
        entrant.prepare(treated)
        entrant.epoch()
    times = timing.in_turn(crew, turns, lambda entrant: entrant.epoch()[0])
    costs = {}
    for name, own in zip(suites.COSTS, times, strict=True):
        steps = timing.Spread.of([1e6 * seconds / job.steps for seconds in own])
        shares = [a / b - 1 for a, b in zip(own, times[0], strict=True)]
        costs[name] = {
            "step_us": dataclasses.asdict(steps),
            "cost": dataclasses.asdict(timing.Spread.of(shares)),
            "seconds": own,
        }
    return costs


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Median of the plain step in microseconds, and what each remedy adds to it."""
    plain, *names = suites.COSTS
    head = [
        "data",
        "net",
        "batch",
        "entrant",
        f"{plain}, us",
        *(f"{name} (min..max)" for name in names),
    ]
    lines = []
    for row in rows:
        line = [row["data"], row["net"], str(row["batch"]), row["entrant"]]
        line.append(f"{row['costs'][plain]['step_us']['median']:.0f}")
        for name in names:
            cost = row["costs"][name]["cost"]
            line.append(f"{cost['median']:+.0%} ({cost['min']:+.0%}..{cost['max']:+.0%})")
        lines.append(line)
    return report.markdown(head, lines)
