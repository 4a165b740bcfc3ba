"""Latency of one prediction, NumPy in and NumPy out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastnn.bench import reference, report, timing
from fastnn.bench.entrant import Entrant, EntrantError
from fastnn.bench.peers.base import Job

ROWS = (1, 32, 1024)
REFERENCE = "onnxruntime"
_CHECKED_ROWS = 32
_TOLERANCE = 1e-5


def check(entrants: Sequence[Entrant], job: Job) -> None:
    """Prepare every entrant; its probabilities must be those of float64 NumPy.

    Raises:
        EntrantError: a probability is off by more than ``_TOLERANCE``.
    """
    x = np.load(job.x, mmap_mode="r")[:_CHECKED_ROWS]
    wanted = reference.Net(job).probabilities(x)
    for entrant in entrants:
        entrant.prepare(job)
        worst = float(np.abs(entrant.probabilities(_CHECKED_ROWS) - wanted).max())
        if not worst <= _TOLERANCE:
            raise EntrantError(f"{entrant.name}: a probability is off by {worst:.2g}")


def run(
    entrants: Sequence[Entrant],
    jobs: Sequence[Job],
    counts: Sequence[int],
    turns: int,
    say: Callable[[str], None],
) -> list[dict[str, Any]]:
    """For each net and number of rows, each entrant's ``call_us`` and, where onnxruntime takes
    part, ``versus_reference``: how many times as fast as onnxruntime it is."""
    rows = []
    for job in jobs:
        say(f"{job.net}: checking probabilities")
        check(entrants, job)
        for count in counts:
            say(f"{job.net}: {count} rows")
            rows.append({"net": job.net, "rows": count, "entrants": _time(entrants, count, turns)})
    return rows


def _time(entrants: Sequence[Entrant], count: int, turns: int) -> dict[str, dict[str, Any]]:
    calls = max(20, 500 // (1 + count // 8))

    def act(entrant: Entrant) -> float:
        return entrant.predict(count, calls)

    timing.in_turn(entrants, 1, act)
    times = timing.in_turn(entrants, turns, act)
    by_name = {entrant.name: own for entrant, own in zip(entrants, times, strict=True)}
    found: dict[str, dict[str, Any]] = {}
    for name, own in by_name.items():
        microseconds = timing.Spread.of([1e6 * seconds for seconds in own])
        found[name] = {"call_us": dataclasses.asdict(microseconds)}
        if REFERENCE in by_name:
            ratio = timing.speed_up(by_name[REFERENCE], own)
            found[name]["versus_reference"] = dataclasses.asdict(ratio)
    return found


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Median microseconds of a call, and fastnn's speed against onnxruntime's."""
    names = list(rows[0]["entrants"])
    head = ["net", "rows", *(f"{name}, us" for name in names), "fastnn is faster"]
    lines = []
    for row in rows:
        calls = [f"{row['entrants'][name]['call_us']['median']:.1f}" for name in names]
        ratio = row["entrants"].get("fastnn", {}).get("versus_reference")
        lines.append([row["net"], str(row["rows"]), *calls, report.ratio(ratio, REFERENCE)])
    return report.markdown(head, lines)
