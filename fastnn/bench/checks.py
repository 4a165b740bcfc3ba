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

PICTURE_STEPS = 3
PICTURE_TOLERANCE = 5e-4
"""Max pooling has corners too, where float32 sends a gradient elsewhere, and positions by the
hundred. Losses came to be 1.5e-5 off in 3 steps, 5e-4 in 12; with 20 layers of BatchNorm 1.5e-4 in
3, 5e-4 in 6. Statistics that stay where they began move a probability by 0.03 in 3 steps."""

FIRST_TOLERANCE = 1e-5
"""Of the first loss, before any step, when nothing has had time to drift."""

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

    Same starting weights, same unshuffled batches: the first loss must be that of float64 NumPy to
    ``FIRST_TOLERANCE``, and over a dozen steps the losses must follow NumPy's to ``TOLERANCE`` of
    them on average, with clipping where the job has it. With BatchNorm it is ``NORM_TOLERANCE``
    over ``NORM_STEPS``, and the probabilities of inference afterwards must be NumPy's to
    ``INFERENCE_TOLERANCE``: no entrant saves the moving statistics. Of nets for pictures it is
    ``PICTURE_TOLERANCE`` over ``PICTURE_STEPS``.

    Dropout is random: the losses that must agree are those without it. With it, the mean loss over
    ``DROPOUT_ROWS`` must be NumPy's, which has masks of its own, to ``DROPOUT_TOLERANCE`` of it.

    Raises:
        EntrantError: an entrant's are not.
    """
    held, tolerance = _held_to(job)
    # With BatchNorm some more, so that the moving statistics show.
    most = CHECKED_STEPS if job.normalized and not job.pictures else held
    steps = min(most, job.rows // job.batch)
    x, y = np.load(job.x, mmap_mode="r"), np.load(job.y)
    certain = dataclasses.replace(job, dropout=0.0)
    net = reference.Net(certain)
    losses = net.losses(x, y, steps)
    probabilities = net.probabilities(x[:INFERENCE_ROWS])
    for entrant in entrants:
        entrant.prepare(certain)
        _follow(entrant, entrant.losses(steps)[:held], losses[:held], tolerance)
        if job.normalized:
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


def _held_to(job: Job) -> tuple[int, float]:
    """How many losses must follow the reference's, and how closely."""
    if job.pictures:
        return PICTURE_STEPS, PICTURE_TOLERANCE
    return (NORM_STEPS, NORM_TOLERANCE) if job.normalized else (CHECKED_STEPS, TOLERANCE)


def _follow(entrant: Entrant, losses: list[float], wanted: list[float], tolerance: float) -> None:
    first = abs(losses[0] / wanted[0] - 1)
    if not first <= FIRST_TOLERANCE:
        raise EntrantError(
            f"{entrant.name}: the first loss, {losses[0]:.7g}, differs from float64 NumPy's, "
            f"{wanted[0]:.7g}, by {first:.2g} of it, so it does another job and cannot race"
        )
    # On average, because among millions of pre-activations one in float32 may round to the other
    # side of ReLU's corner, which moves a single loss of any library by some 1e-4.
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
