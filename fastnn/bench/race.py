"""Training races: the main table."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from fastnn.bench import checks, report, timing
from fastnn.bench.entrant import Entrant, EntrantError
from fastnn.bench.peers.base import Job


def epochs(entrants: Sequence[Entrant], job: Job, turns: int) -> dict[str, dict[str, Any]]:
    """Time shuffled epochs in turn, after one each that is not counted.

    Returns:
        For each entrant: ``step_us`` (median, min, max over turns), ``first_epoch_s`` (with all
        that is done once), ``first_epoch_loss`` and ``loss`` (means over the first and the last
        epoch) and ``seconds`` of every turn.
    """
    found: dict[str, dict[str, Any]] = {}
    for entrant in entrants:
        entrant.prepare(job)
        seconds, loss = entrant.epoch()
        found[entrant.name] = {
            "first_epoch_s": seconds,
            "first_epoch_loss": loss,
            "loss": loss,
        }

    def train(entrant: Entrant) -> float:
        seconds, found[entrant.name]["loss"] = entrant.epoch()
        return seconds

    for entrant, times in zip(entrants, timing.in_turn(entrants, turns, train), strict=True):
        steps = [1e6 * seconds / job.steps for seconds in times]
        found[entrant.name] |= {
            "step_us": dataclasses.asdict(timing.Spread.of(steps)),
            "seconds": times,
        }
    return found


def rank(entrants: dict[str, dict[str, Any]]) -> str | None:
    """Add ``versus_reference`` to each entrant: how many times as fast as the faster of PyTorch
    and JAX it is, over paired turns. Returns the reference's name."""
    medians = {name: found["step_us"]["median"] for name, found in entrants.items()}
    best = timing.fastest_reference(medians)
    if best is not None:
        for found in entrants.values():
            ratio = timing.speed_up(entrants[best]["seconds"], found["seconds"])
            found["versus_reference"] = dataclasses.asdict(ratio)
    return best


def run(
    entrants: Sequence[Entrant],
    meters: Sequence[Entrant],
    jobs: Sequence[Job],
    turns: int,
    say: Callable[[str], None],
) -> list[dict[str, Any]]:
    """Check and race each job; one row of results for each.

    Args:
        entrants: Those that cannot do a job are left out of its row.
        meters: Workers that measure the best rate of products; see ``fastnn.bench.peak``.
    """
    rows = []
    for job in jobs:
        lacks = {entrant.name: entrant.lacks(job) for entrant in entrants}
        able = [entrant for entrant in entrants if not lacks[entrant.name]]
        if not able:
            raise EntrantError(f"{job.title}: no entrant can do it")
        say(f"{job.title}: checking losses")
        checks.check(able, job)
        say(f"{job.title}: racing")
        rates = {meter.name: meter.product_rate() for meter in meters}
        found = epochs(able, job, turns)
        checks.check_epochs(found)
        for entrant in able:
            found[entrant.name]["skips_zeros"] = entrant.skips_zeros()
        rows.append(
            {
                "data": job.data,
                "net": job.net,
                "remedies": list(job.remedies.values()),
                "batch": job.batch,
                "flops_per_step": job.flops,
                "product_gflops": rates,
                "reference": rank(found),
                "entrants": found,
                "left_out": {name: lacking for name, lacking in lacks.items() if lacking},
            }
        )
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Median step times in microseconds, fastnn's speed against the fastest reference, whether it
    skipped zeros, and, where it did not, its share of the best rate of products; then who was left
    out, and what that rate is."""
    names = list(dict.fromkeys(n for row in rows for n in (*row["entrants"], *row["left_out"])))
    fastnn = "fastnn" in names
    remedies = any(row["remedies"] for row in rows)
    head = ["data", "net", *["with"] * remedies, "batch", *(f"{name}, us" for name in names)]
    head += ["fastnn is faster", "zeros", "share of peak"] * fastnn
    lines = []
    for row in rows:
        line = [row["data"], row["net"], *[", ".join(row["remedies"])] * remedies]
        line.append(str(row["batch"]))
        for name in names:
            found = row["entrants"].get(name)
            line.append("-" if found is None else f"{found['step_us']['median']:.0f}")
        if fastnn:
            line += _of_fastnn(row)
        lines.append(line)
    return "\n\n".join([report.markdown(head, lines), *_notes(rows)])


def _of_fastnn(row: dict[str, Any]) -> list[str]:
    own = row["entrants"]["fastnn"]
    versus = report.ratio(own.get("versus_reference"), row["reference"])
    if own["skips_zeros"]:
        return [versus, "skipped", "-"]
    gflops = row["flops_per_step"] / own["step_us"]["median"] / 1e3
    return [versus, "multiplied", f"{gflops / max(row['product_gflops'].values()):.0%}"]


def _notes(rows: Sequence[dict[str, Any]]) -> list[str]:
    notes = []
    lacking: dict[str, dict[str, None]] = {}
    for row in rows:
        for name, what in row["left_out"].items():
            lacking.setdefault(name, {}).update(dict.fromkeys(what))
    if lacking:
        reasons = (f"{name} (has no {', '.join(what)})" for name, what in lacking.items())
        notes.append(f"Left out where there is a dash: {'; '.join(reasons)}.")
    if any(not row["entrants"].get("fastnn", {"skips_zeros": True})["skips_zeros"] for row in rows):
        rates = [max(row["product_gflops"].items(), key=lambda item: item[1]) for row in rows]
        low, high = min(rate for _, rate in rates), max(rate for _, rate in rates)
        sources = sorted({source for source, _ in rates})
        notes.append(
            "Peak: the best rate of float32 products measured before each row, "
            f"{low:.0f}..{high:.0f} GFLOP/s ({' or '.join(sources)}, operands in cache)."
        )
    return notes
