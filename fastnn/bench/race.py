"""Training races: the main table."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from fastnn.bench import checks, report, timing
from fastnn.bench.entrant import Entrant, EntrantError
from fastnn.bench.peers.base import Job


def epochs(
    entrants: Sequence[Entrant],
    job: Job,
    turns: int,
    before: Callable[[], object] | None = None,
) -> dict[str, dict[str, Any]]:
    """Time shuffled epochs in turn, after one each that is not counted.

    Args:
        before: Called before each turn.

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

    figures = timing.in_turn(entrants, turns, train, before)
    for entrant, times in zip(entrants, figures, strict=True):
        steps = [1e6 * seconds / job.steps for seconds in times]
        found[entrant.name] |= {
            "step_us": dataclasses.asdict(timing.Spread.of(steps)),
            "seconds": times,
        }
    return found


def rank(entrants: dict[str, dict[str, Any]]) -> str | None:
    """Add ``versus_reference`` to each entrant: how many times as fast as the fastest of all but
    fastnn it is, over paired turns. Returns the reference's name."""
    medians = {name: found["step_us"]["median"] for name, found in entrants.items()}
    best = timing.fastest_reference(medians)
    if best is not None:
        for found in entrants.values():
            ratio = timing.speed_up(entrants[best]["seconds"], found["seconds"])
            found["versus_reference"] = dataclasses.asdict(ratio)
    return best


def hold_against_peak(
    entrants: dict[str, dict[str, Any]],
    reference: str | None,
    peak: Sequence[float],
    adam: float,
    job: Job,
) -> None:
    """Add ``share_of_peak`` to each entrant: the arithmetic of its products in the time of the
    whole step, against the best rate of products in the same turn; ``gflops``, that arithmetic a
    second. And ``at_peak``: what ``versus_reference`` would be if its products ran at that rate,
    Adam took no longer than by itself, and nothing else took time.

    Args:
        peak: GFLOP/s, of each turn.
        adam: Seconds of a step by itself, of the fastest turn: where two of its threads had to
            share a core, it takes ten times as long.
    """
    for found in entrants.values():
        products = [1e-9 * found["flops_per_step"] * job.steps / rate for rate in peak]
        share = timing.speed_up(products, found["seconds"])
        found["share_of_peak"] = dataclasses.asdict(share)
        rates = [1e-9 * found["flops_per_step"] * job.steps / own for own in found["seconds"]]
        found["gflops"] = dataclasses.asdict(timing.Spread.of(rates))
        if reference is not None:
            least = [seconds + job.steps * adam for seconds in products]
            bound = timing.speed_up(entrants[reference]["seconds"], least)
            found["at_peak"] = dataclasses.asdict(bound)


def run(
    entrants: Sequence[Entrant],
    meters: Sequence[Entrant],
    jobs: Sequence[Job],
    turns: int,
    say: Callable[[str], None],
) -> list[dict[str, Any]]:
    """Check and race each job; one row of results for each. Every job is raced in processes of
    its own, whose ``peak_memory_mb`` holds the library, the data and its training.

    Args:
        entrants: Those that cannot do a job are left out of its row.
        meters: Workers that measure the best rate of products, and the first of them Adam's
            step by itself; see ``fastnn.bench.peak``.
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
        for entrant in able:
            entrant.restart()
        rates: list[dict[str, float]] = []
        steps: list[float] = []

        def measure(
            rates: list[dict[str, float]] = rates, steps: list[float] = steps, job: Job = job
        ) -> None:
            rates.append({meter.name: meter.product_rate() for meter in meters})
            steps.extend(meter.adam_seconds(job.kernel_weights) for meter in meters[:1])

        found = epochs(able, job, turns, measure)
        checks.check_epochs(found)
        for entrant in able:
            own = found[entrant.name]
            own["peak_memory_mb"] = entrant.peak_memory()
            own["skips_zeros"] = entrant.skips_zeros()
            own["flops_per_step"] = job.flops_without_zeros() if own["skips_zeros"] else job.flops
        reference = rank(found)
        if meters:
            best = [max(turn.values()) for turn in rates]
            hold_against_peak(found, reference, best, min(steps), job)
        rows.append(
            {
                "data": job.data,
                "net": job.net,
                "remedies": list(job.remedies.values()),
                "batch": job.batch,
                "product_gflops": rates,
                "adam_us": [1e6 * seconds for seconds in steps],
                "reference": reference,
                "entrants": found,
                "left_out": {name: lacking for name, lacking in lacks.items() if lacking},
            }
        )
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Median step times in microseconds, fastnn's speed against the fastest peer, whether it
    skipped zeros, the rate of its products and its share of the best rate, and what its speed would
    be at that rate with Adam's step alone beside it; then who was left out, and what that rate is.
    Another table has the memory of each."""
    names = list(dict.fromkeys(n for row in rows for n in (*row["entrants"], *row["left_out"])))
    fastnn = "fastnn" in names
    remedies = any(row["remedies"] for row in rows)
    head = ["data", "net", *["with"] * remedies, "batch", *(f"{name}, us" for name in names)]
    head += ["fastnn is faster", "zeros", "GFLOP/s", "share of peak", "at peak"] * fastnn
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
    return "\n\n".join([report.markdown(head, lines), *_notes(rows), _memory(rows, names)])


def _memory(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    head = ["data", "net", "batch", *(f"{name}, MB" for name in names)]
    lines = []
    for row in rows:
        found = [row["entrants"].get(name) for name in names]
        held = ["-" if own is None else f"{own['peak_memory_mb']:.0f}" for own in found]
        lines.append([row["data"], row["net"], str(row["batch"]), *held])
    return "Peak memory of the processes:\n\n" + report.markdown(head, lines)


def _of_fastnn(row: dict[str, Any]) -> list[str]:
    own = row["entrants"]["fastnn"]
    rate, share, bound = own.get("gflops"), own.get("share_of_peak"), own.get("at_peak")
    return [
        report.ratio(own.get("versus_reference"), row["reference"]),
        "skipped" if own["skips_zeros"] else "multiplied",
        "-" if rate is None else f"{rate['median']:.0f}",
        "-" if share is None else f"{share['median']:.0%}",
        "-" if bound is None else f"{bound['median']:.2f}x",
    ]


def _notes(rows: Sequence[dict[str, Any]]) -> list[str]:
    notes = []
    lacking: dict[str, dict[str, None]] = {}
    for row in rows:
        for name, what in row["left_out"].items():
            lacking.setdefault(name, {}).update(dict.fromkeys(what))
    if lacking:
        reasons = (f"{name} (has no {', '.join(what)})" for name, what in lacking.items())
        notes.append(f"Left out where there is a dash: {'; '.join(reasons)}.")
    peaks = [
        max(turn.items(), key=lambda item: item[1])
        for row in rows
        for turn in row["product_gflops"]
        if turn
    ]
    if peaks and any("fastnn" in row["entrants"] for row in rows):
        low, high = min(rate for _, rate in peaks), max(rate for _, rate in peaks)
        sources = sorted({source for source, _ in peaks})
        notes.append(
            "Peak: the best rate of float32 products measured in each turn, "
            f"{low:.0f}..{high:.0f} GFLOP/s ({' or '.join(sources)}, operands in cache). "
            "At peak: how much faster fastnn would be if its products ran at that rate, Adam took "
            "no longer than by itself, and nothing else took time."
        )
    return notes
