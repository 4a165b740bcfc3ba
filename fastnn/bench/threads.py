"""What more threads bring."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from fastnn.bench import report, timing
from fastnn.bench.entrant import Entrant
from fastnn.bench.peers.base import Job

COUNTS = (1, 2)


def run(
    entrants: Sequence[Entrant], jobs: Sequence[Job], turns: int, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """A row for each job and worker; ``speed_up`` is over the same library's first worker."""
    rows = []
    for job in jobs:
        say(f"{job.net} batch {job.batch}")
        for entrant in entrants:
            entrant.prepare(job)
            entrant.epoch()
        times = timing.in_turn(entrants, turns, lambda entrant: entrant.epoch()[0])
        first: dict[str, list[float]] = {}
        for entrant, own in zip(entrants, times, strict=True):
            alone = first.setdefault(entrant.name, own)
            steps = timing.Spread.of([1e6 * seconds / job.steps for seconds in own])
            rows.append(
                {
                    "net": job.net,
                    "batch": job.batch,
                    "entrant": entrant.name,
                    "threads": entrant.threads,
                    "step_us": dataclasses.asdict(steps),
                    "speed_up": dataclasses.asdict(timing.speed_up(alone, own)),
                }
            )
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Median step times in microseconds, and the speed-up over the fewest threads."""
    head = ["net", "batch", "entrant", "threads", "step, us", "speed-up (min..max)"]
    lines = []
    for row in rows:
        gain = row["speed_up"]
        lines.append(
            [
                row["net"],
                str(row["batch"]),
                row["entrant"],
                str(row["threads"]),
                f"{row['step_us']['median']:.0f}",
                f"{gain['median']:.2f} ({gain['min']:.2f}..{gain['max']:.2f})",
            ]
        )
    return report.markdown(head, lines)
