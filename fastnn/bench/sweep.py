"""Batch by width: where is fastnn not the fastest?"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from fastnn.bench import race, report
from fastnn.bench.entrant import Entrant
from fastnn.bench.peers.base import Job

BATCHES = (1, 4, 16, 64, 256, 1024, 4096)
WIDTHS = (16, 64, 256, 1024, 4096)

# Epochs are shortened so that each lasts about this long for a fast library.
_EPOCH_SECONDS = 0.1
_CALL_SECONDS = 10e-6
_FLOPS = 100e9
# Adam reads weights and both moments and writes them again.
_UPDATE_SECONDS = 24 / 20e9


def shortened(job: Job) -> Job:
    """The job on as many of its rows as make an epoch long enough to time, in whole batches."""
    step = _CALL_SECONDS + job.flops / _FLOPS + job.kernel_weights * _UPDATE_SECONDS
    steps = min(max(2, round(_EPOCH_SECONDS / step)), job.rows // job.batch)
    return dataclasses.replace(job, rows=steps * job.batch)


def run(
    entrants: Sequence[Entrant], jobs: Sequence[Job], turns: int, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Race the jobs; one row of results for each, as of :func:`race.run`."""
    rows = []
    for job in jobs:
        say(f"{job.data} {job.net} batch {job.batch}: {job.steps} steps")
        found = race.epochs(entrants, job, turns)
        rows.append(
            {
                "data": job.data,
                "net": job.net,
                "batch": job.batch,
                "steps": job.steps,
                "reference": race.rank(found),
                "entrants": found,
            }
        )
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """One line for each batch and width, and where fastnn is not the fastest."""
    names = list(rows[0]["entrants"])
    head = ["data", "net", "batch", *(f"{name}, us" for name in names), "fastnn is faster"]
    lines, slower = [], []
    for row in rows:
        ratio = row["entrants"].get("fastnn", {}).get("versus_reference")
        steps = [f"{row['entrants'][name]['step_us']['median']:.1f}" for name in names]
        gain = report.ratio(ratio, row["reference"])
        lines.append([row["data"], row["net"], str(row["batch"]), *steps, gain])
        if ratio is not None and ratio["median"] < 1:
            slower.append(f"{row['data']} {row['net']} at batch {row['batch']}")
    text = report.markdown(head, lines)
    if "fastnn" in names:
        text += f"\n\nfastnn is slower at: {', '.join(slower) or 'no point'}"
    return text
