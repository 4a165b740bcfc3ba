"""Equal work first: what every entrant must show before its times count."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn.bench import reference
from fastnn.bench.entrant import Entrant, EntrantError
from fastnn.bench.peers.base import Job

CHECKED_STEPS = 12
TOLERANCE = 1e-4
EPOCH_TOLERANCE = 0.1

NORM_STEPS = 6
NORM_TOLERANCE = 5e-4
"""With BatchNorm a row on the other side of ReLU's corner moves all rows of its batch, and Adam
makes the difference grow from step to step: the losses of float32 libraries came to be 2e-4 off in
6 steps, 1e-3 in 12. Another epsilon (1e-5) is 1e-3 off in 6, a missing clip 1e-2 (MNIST)."""

INFERENCE_ROWS = 32
INFERENCE_TOLERANCE = 0.01
"""PyTorch's unbiased variances move a probability by 1e-3; statistics that stay where they began,
by 0.03 to 0.08."""

DROPOUT_ROWS = 4096
DROPOUT_TOLERANCE = 0.05
"""Other masks move the mean loss over so many rows by 1 to 3 %; a rate of 0.45 instead of 0.5, by
10 % (MNIST)."""


def check(entrants: Sequence[Entrant], job: Job) -> None:
    """Hold every entrant to the same work before it is timed.

    Same starting weights, same unshuffled batches: over a dozen steps the losses must follow those
    of float64 NumPy to ``TOLERANCE`` of them on average, with clipping where the job has it. With
    BatchNorm it is ``NORM_TOLERANCE`` over ``NORM_STEPS``, and the probabilities of inference after
    the dozen must be NumPy's to ``INFERENCE_TOLERANCE``: no entrant saves the moving statistics.

    Dropout is random: the losses that must agree are those without it. With it, the mean loss over
    ``DROPOUT_ROWS`` must be NumPy's, which has masks of its own, to ``DROPOUT_TOLERANCE`` of it.

    Raises:
        EntrantError: an entrant's are not.
    """
    steps = min(CHECKED_STEPS, job.rows // job.batch)
    x, y = np.load(job.x, mmap_mode="r"), np.load(job.y)
    certain = dataclasses.replace(job, dropout=0.0)
    net = reference.Net(certain)
    losses = net.losses(x, y, steps)
    probabilities = net.probabilities(x[:INFERENCE_ROWS])
    for entrant in entrants:
        entrant.prepare(certain)
        _follow(entrant, entrant.losses(steps), losses, job.batch_norm)
        if job.batch_norm:
            worst = float(np.abs(entrant.probabilities(INFERENCE_ROWS) - probabilities).max())
            if not worst <= INFERENCE_TOLERANCE:
                raise EntrantError(
                    f"{entrant.name}: after {steps} steps a probability is {worst:.2g} off float64 "
                    "NumPy's: it has other moving statistics, so it cannot race"
                )
    if job.dropout:
        _check_dropout(entrants, job, x, y)


def _check_dropout(entrants: Sequence[Entrant], job: Job, x: np.ndarray, y: np.ndarray) -> None:
    steps = min(max(CHECKED_STEPS, DROPOUT_ROWS // job.batch), job.rows // job.batch)
    wanted = statistics.mean(reference.Net(job).losses(x, y, steps))
    for entrant in entrants:
        entrant.prepare(job)
        mean = statistics.mean(entrant.losses(steps))
        if not abs(mean / wanted - 1) <= DROPOUT_TOLERANCE:
            raise EntrantError(
                f"{entrant.name}: with dropout, the mean of {steps} losses is {mean:.4g}, NumPy's "
                f"{wanted:.4g}: it drops others, so it cannot race"
            )


def _follow(entrant: Entrant, losses: list[float], wanted: list[float], batch_norm: bool) -> None:
    # On average, because among millions of pre-activations one in float32 may round to the other
    # side of ReLU's corner, which moves a single loss of any library by some 1e-4.
    steps, tolerance = (NORM_STEPS, NORM_TOLERANCE) if batch_norm else (len(wanted), TOLERANCE)
    losses, wanted = losses[:steps], wanted[:steps]
    deviation = float(np.mean(np.abs(np.divide(losses, wanted) - 1)))
    if not deviation <= tolerance:
        raise EntrantError(
            f"{entrant.name}: {len(losses)} losses differ from float64 NumPy's by {deviation:.2g} "
            f"of them on average, so it does another job and cannot race: {losses} instead of "
            f"{wanted}"
        )


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
