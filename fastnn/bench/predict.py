"""Latency of one prediction, NumPy in and NumPy out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastnn.bench import data, nets, reference, report, timing
from fastnn.bench.entrant import Entrant, EntrantError
from fastnn.bench.peers.base import Job

NETS = ("784-512-10", "28x28x1-convnet")
ROWS = (1, 32, 1024)
REFERENCE = "onnxruntime"
_CHECKED_ROWS = 32
_TOLERANCE = 1e-5


# Of the calls of a turn, if it is a fast library that makes them.
_TURN_SECONDS = 0.2
_CALL_SECONDS = 20e-6
_FLOPS = 100e9
_CALLS = (5, 500)


def case(net: str) -> str:
    """The kind of data: MNIST, if the net takes it."""
    return "mnist" if data.fits_mnist(nets.shape(net)) else "dense"


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
        able = [entrant for entrant in entrants if not entrant.lacks(job)]
        if not able:
            raise EntrantError(f"{job.net}: no entrant can do it")
        say(f"{job.net}: checking probabilities")
        check(able, job)
        for count in counts:
            say(f"{job.net}: {count} rows")
            found = _time(able, job, count, turns)
            rows.append({"net": job.net, "rows": count, "entrants": found})
    return rows


def _time(
    entrants: Sequence[Entrant], job: Job, count: int, turns: int
) -> dict[str, dict[str, Any]]:
    seconds = _CALL_SECONDS + 2 * job.macs * count / _FLOPS
    fewest, most = _CALLS
    calls = min(max(fewest, round(_TURN_SECONDS / seconds)), most)

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
    names = list(dict.fromkeys(name for row in rows for name in row["entrants"]))
    head = ["net", "rows", *(f"{name}, us" for name in names), "fastnn is faster"]
    lines = []
    for row in rows:
        calls = [
            f"{row['entrants'][name]['call_us']['median']:.1f}" if name in row["entrants"] else "-"
            for name in names
        ]
        ratio = row["entrants"].get("fastnn", {}).get("versus_reference")
        lines.append([row["net"], str(row["rows"]), *calls, report.ratio(ratio, REFERENCE)])
    return report.markdown(head, lines)
