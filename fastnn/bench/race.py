"""Training races: the main table."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastnn.bench import reference, report, timing
from fastnn.bench.entrant import Entrant, EntrantError
from fastnn.bench.peers.base import Job

CHECKED_STEPS = 12
TOLERANCE = 1e-4
EPOCH_TOLERANCE = 0.1


def check(entrants: Sequence[Entrant], job: Job) -> None:
    """Hold every entrant to the same work before it is timed.

    Same starting weights, same unshuffled batches: over a dozen steps the losses must follow those
    of float64 NumPy to ``TOLERANCE`` of them on average.

    Raises:
        EntrantError: an entrant's do not.
    """
    # On average, because among millions of pre-activations one in float32 may round to the other
    # side of ReLU's corner, which moves a single loss of any library by some 1e-4.
    steps = min(CHECKED_STEPS, job.rows // job.batch)
    rows = steps * job.batch
    x, y = np.load(job.x, mmap_mode="r")[:rows], np.load(job.y)[:rows]
    wanted = np.array(reference.losses(job.widths, job.batch, x, y, steps))
    for entrant in entrants:
        entrant.prepare(job)
        losses = np.array(entrant.losses(steps))
        deviation = float(np.mean(np.abs(losses / wanted - 1)))
        if not deviation <= TOLERANCE:
            raise EntrantError(
                f"{entrant.name}: {steps} losses differ from float64 NumPy's by {deviation:.2g} of"
                f" them on average, so it does another job and cannot race: {losses.tolist()}"
                f" instead of {wanted.tolist()}"
            )


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


def check_epochs(entrants: dict[str, dict[str, Any]]) -> None:
    """The timed epochs must be the same work too, as far as different shuffles let one see.

    Raises:
        EntrantError: an entrant's loss over its first epoch is off the median of all.
    """
    wanted = statistics.median(found["first_epoch_loss"] for found in entrants.values())
    for name, found in entrants.items():
        loss = found["first_epoch_loss"]
        if not abs(loss / wanted - 1) <= EPOCH_TOLERANCE:
            raise EntrantError(
                f"{name}: the first epoch's loss is {loss:.4g}, the others' {wanted:.4g}"
            )


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
    jobs: Sequence[Job],
    turns: int,
    say: Callable[[str], None],
) -> list[dict[str, Any]]:
    """Check and race each job; one row of results for each."""
    rows = []
    for job in jobs:
        title = f"{job.data} {job.net} batch {job.batch}"
        say(f"{title}: checking losses")
        check(entrants, job)
        say(f"{title}: racing")
        found = epochs(entrants, job, turns)
        check_epochs(found)
        rows.append(
            {
                "data": job.data,
                "net": job.net,
                "batch": job.batch,
                "flops_per_step": job.flops,
                "reference": rank(found),
                "entrants": found,
            }
        )
    return rows


def table(rows: Sequence[dict[str, Any]], peak: float | None) -> str:
    """Median step times in microseconds, and fastnn's speed against the fastest reference.

    peak: float32 FMA peak of the threads used, GFLOP/s; adds fastnn's share of it.
    """
    names = list(rows[0]["entrants"])
    fastnn = "fastnn" in names
    head = ["data", "net", "batch", *(f"{name}, us" for name in names)]
    head += ["fastnn is faster"] * fastnn
    head += ["share of FMA peak"] * (fastnn and peak is not None)
    lines = []
    for row in rows:
        own = row["entrants"].get("fastnn")
        line = [row["data"], row["net"], str(row["batch"])]
        line += [f"{row['entrants'][name]['step_us']['median']:.0f}" for name in names]
        if own is not None:
            line.append(report.ratio(own.get("versus_reference"), row["reference"]))
            if peak is not None:
                gflops = row["flops_per_step"] / own["step_us"]["median"] / 1e3
                line.append(f"{gflops / peak:.0%}")
        lines.append(line)
    return report.markdown(head, lines)
