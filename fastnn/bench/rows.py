"""Cost of an example from thousands of rows to a million, memory-mapped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fastnn.bench import race, report
from fastnn.bench.entrant import Entrant
from fastnn.bench.peers.base import Job

COUNTS = (10_000, 100_000, 1_000_000)


def run(
    entrants: Sequence[Entrant], jobs: Sequence[Job], turns: int, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """One row for each job; ``example_us`` is the median epoch over its rows."""
    rows = []
    for job in jobs:
        say(f"{job.rows} rows")
        found = race.epochs(entrants, job, turns)
        for own in found.values():
            own["example_us"] = own["step_us"]["median"] * job.steps / job.rows
        rows.append({"net": job.net, "batch": job.batch, "rows": job.rows, "entrants": found})
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Microseconds of an example, and as a multiple of the first line's."""
    names = list(rows[0]["entrants"])
    lines = []
    for row in rows:
        line = [row["net"], str(row["batch"]), f"{row['rows']:,}"]
        for name in names:
            cost = row["entrants"][name]["example_us"]
            line.append(f"{cost:.3f} ({cost / rows[0]['entrants'][name]['example_us']:.2f}x)")
        lines.append(line)
    head = ["net", "batch", "rows", *(f"{name}, us an example" for name in names)]
    return report.markdown(head, lines)
