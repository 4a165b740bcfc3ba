"""diagnose: a probe before training."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn._checks import check_integer
from fastnn.data.sparse import is_sparse
from fastnn.health import rates
from fastnn.health.baseline import learns_numbers
from fastnn.health.blueprint import Blueprint
from fastnn.health.changes import changes_for
from fastnn.health.changes.initialization import weights_off
from fastnn.health.changes.scaling import inputs_off
from fastnn.health.changes.target import targets_off
from fastnn.health.copies import copied
from fastnn.health.cost import cost_of, price_of
from fastnn.health.cures import Cures
from fastnn.health.folds import Folds
from fastnn.health.gather import gathered, validation, with_pictures
from fastnn.health.judge import (
    FOLDS,
    NOTHING,
    Suspicion,
    cause_of,
    illness_of,
    is_cheap,
    is_hopeless,
    is_near,
    judge_layers,
    learns,
    stages,
    without_signal,
)
from fastnn.health.loss import mismatch_of
from fastnn.health.outlook import Outlook
from fastnn.health.pictures import has_convolutions
from fastnn.health.ranking import UNDOING
from fastnn.health.report import Progress, Remedy, Report, Trial
from fastnn.health.sample import Sample, draw, first_rows, n_rows_of
from fastnn.health.sound import Sound
from fastnn.health.trial import Course
from fastnn.health.words import sentence
from fastnn.health.work import work_of
from fastnn.models.feeding import by_input, feed, feed_inputs
from fastnn.verdicts import Thresholds

if TYPE_CHECKING:
    from fastnn.models import Model

_ROWS = 4
"""Rows to train with are enough for this many times the steps. A net that is still in doubt then
gets others, as long as there are some."""

_MOST_NUMBERS = 2**26
"""In the inputs of all of these: 0.25 GB of float32."""

_HELD_OUT = 8000
"""Rows to evaluate on, where the verdict rests on it: the standard error of an accuracy is a third
of a per cent."""

_OF_WEIGHTS = ("nonfinite", "exploding", "vanishing", "saturated", "dead")
"""Verdicts of which weights that are too large or small may be the cause."""

_HELD_OUT_OF_CHANGES = 1000
"""Rows to evaluate each change on."""


def diagnose(
    model: Model,
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    steps: int = 100,
    batch_size: int | None = None,
    remedies: bool = True,
    seed: int = 0,
    thresholds: Thresholds | None = None,
    validation_data: Any = None,
    class_weight: Mapping[int, float] | None = None,
) -> Report:
    """Find out whether a net can learn; if not, where and why it fails, and what cures it.

    A copy is trained for some steps, of which the statistics of each are taken. Beside it a net
    that is known to be sound learns from the same batches: the model is healthy if it learns about
    as much. If it does not, each change that may help is tried likewise, on a copy, on the same
    rows, in as many steps as its batches need for them; then combinations, and what did best for
    longer, until one cures. The model, its optimizer, the random numbers and all statistics stay as
    they are, to the last bit.

    Args:
        model: Compiled. Its weights are those that the trial begins with.
        x, y, sample_weight: As for ``fit``: arrays, a data set of pictures, or x an iterable of
            batches, of which the first are taken. Of their rows, ``4 * steps * batch_size`` are
            drawn to train with, more for a net in doubt, and up to 8000 others, at most a fifth, to
            evaluate on. A small net that is near the limit is tried up to five times, each with
            other rows held out.
        steps: Of a trial; changes that do badly get fewer. While it is in doubt whether the net
            learns, it gets up to 32 times as many, of rows that it has not seen yet as long as
            there are some, for some stand still for long before they learn; with batches of more
            than 32 rows, as many as give it the rows that it would have with 32.
        batch_size: Rows of a step; by default 32, or that of a data set of pictures.
        remedies: Try changes, unless the net learns.
        seed: Of the rows that are drawn.
        thresholds: See ``fastnn.verdicts``.
        validation_data: As for ``fit``: rows to evaluate on instead, the first 8000.
        class_weight: As for ``fit``; classes weigh in what is evaluated, too.

    Returns:
        A report to be printed, or read: ``verdict``, ``layers``, ``remedies``.

    Raises:
        TypeError, ValueError: The model is not compiled, or the data does not fit it; but labels
            of the wrong kind are a verdict, "loss_mismatch".
    """
    steps = check_integer("diagnose", "steps", steps, at_least=10)
    x, y, batch_size = with_pictures("diagnose", x, y, batch_size)
    limits = thresholds or Thresholds()
    model._check_compiled()
    rows = _ROWS * steps * batch_size
    x, y, sample_weight = gathered("diagnose", model, x, y, sample_weight, rows + _HELD_OUT)
    n_rows = _count(x)
    judged = None
    if validation_data is not None:
        judged = first_rows(validation("diagnose", model, validation_data, _HELD_OUT), _HELD_OUT)
    with copied(model) as probed:
        if not probed.built:
            feed_inputs(probed, x)
        _check_numbers(probed, x)
        blueprint = Blueprint.of(probed)
        suspicions = _suspicions(blueprint, x, y)
        if class_weight is not None:
            sample_weight = _by_class(probed, x, y, sample_weight, class_weight, suspicions)
            if judged is not None and judged[2] is None:
                own = _by_class(probed, *judged, class_weight, suspicions)
                judged = (*judged[:2], own)

        drawn = partial(
            draw, x, y, sample_weight, n_rows, held_out=_HELD_OUT, seed=seed, judged=judged
        )
        sample = drawn(rows)
        numbers = sum(prod(shape) for _, shape in blueprint.inputs)
        most = stages(steps, batch_size)[-1] * batch_size
        more = min(most, max(rows, _MOST_NUMBERS // max(1, numbers)))
        untreated, seen, learned, folds = _try(
            probed, sample, lambda fold: drawn(more, fold=fold), steps, batch_size, suspicions,
            limits,
        )  # fmt: skip
        progress = seen[0] if seen else ()
        verdict, cause, illness, cost = "healthy", "", None, 0.0
        nothing = without_signal(progress) if learned else ""
        if not learned:
            verdict, cause = cause_of(untreated, suspicions, limits)
            if not remedies:
                cause = _explained(verdict, cause, blueprint, None)
        elif nothing:
            verdict, cause = "no_signal", nothing
        else:
            illness = illness_of(untreated, suspicions, limits)
        layers = judge_layers(untreated, probed.layers, limits)
        tried: tuple[Remedy, ...] = ()
        wanted = changes_for(probed, x, y, batch_size) if illness or not learned else []
        smaller = sample.with_fewer_held_out(_HELD_OUT_OF_CHANGES)
        if illness is not None:
            verdict = "impaired"
            wanted = [each for each in wanted if each.category in UNDOING[illness.verdict]]
            cures = Cures(probed, untreated, illness.verdict, progress, smaller, steps, batch_size)
            tried = cures.try_each(wanted)
            cost = cost_of(untreated, tried)
            cause = f"it learns in spite of this: {illness.cause}. {price_of(untreated, tried)}"
        elif remedies and not learned:
            outlook = None
            if folds is not None:
                outlook = Outlook(
                    folds,
                    work_of(probed),
                    has_convolutions(probed),
                    learns_numbers(probed),
                    steps,
                    batch_size,
                    limits,
                )
            known = verdict in _OF_WEIGHTS and bool(weights_off(blueprint))
            cures = Cures(
                probed, untreated, verdict, progress, smaller, steps, batch_size, outlook,
                certain="initialization" if known else "",
            )  # fmt: skip
            tried = cures.try_all(wanted)
            cause = _explained(verdict, cause, blueprint, cures.learns_at)
    return Report(
        verdict, cause, layers, tried, untreated, model_name=model.name, progress=progress,
        folds=seen[1:],
        illness=illness.verdict if illness else "", cost=cost, given=lambda: model,
    )  # fmt: skip


def _suspicions(blueprint: Blueprint, x: Any, y: Any) -> list[Suspicion]:
    found = []
    mismatch = mismatch_of(blueprint, y)
    if mismatch is not None:
        found.append(Suspicion("loss_mismatch", mismatch.cause))
    causes = {"input_scale": inputs_off(blueprint, x), "target_scale": targets_off(blueprint, y)}
    return found + [Suspicion(verdict, cause) for verdict, cause in causes.items() if cause]


def _check_numbers(model: Model, x: Any) -> None:
    """TypeError if an input holds texts, of which no net that is known to be sound learns."""
    for name, value in by_input(model, x).items():
        if not is_sparse(value) and np.asarray(value).dtype.kind in "OSUT":
            raise TypeError(
                f"diagnose: {name} must hold numbers, got texts: diagnose a model of what comes "
                "after StringLookup, with layer(texts) as its input"
            )


def _by_class(
    model: Model,
    x: Any,
    y: Any,
    sample_weight: Any,
    class_weight: Mapping[int, float],
    suspicions: Sequence[Suspicion],
) -> Any:
    """Weights of rows by their classes; None where labels are of the wrong kind, which is a verdict
    of its own."""
    try:
        return feed(model, x, y, sample_weight, class_weight).weights[0]
    except ValueError:
        if sample_weight is None and any(each.verdict == "loss_mismatch" for each in suspicions):
            return None
        raise


def _explained(
    verdict: str, cause: str, blueprint: Blueprint, learns_at: Callable[[float], bool] | None
) -> str:
    """The cause, with what made it so before it, in one plain sentence."""
    first = ""
    if verdict in _OF_WEIGHTS:
        first = weights_off(blueprint)
    elif verdict == "learning_rate":
        first = rates.why(blueprint, learns_at)
    return f"{first}. {sentence(cause)}" if first else cause


def _try(
    model: Model,
    sample: Sample,
    larger: Callable[[int], Sample],
    steps: int,
    batch_size: int,
    suspicions: Sequence[Suspicion],
    thresholds: Thresholds,
) -> tuple[Trial, tuple[tuple[Progress, ...], ...], bool, Folds | None]:
    """The trial of the untreated net; what it and a sound one learned, of which one sees more than
    the trial while it is in doubt, also on other folds; whether it learns; and the folds with their
    sound nets, to go on.

    Args:
        larger: Draws a fold's sample; of fold 0, one that begins with those rows, for a net that is
            in doubt after them.
    """
    try:
        course = Course(copy.deepcopy(model), sample, batch_size, window=max(1, steps // 4))
    except ValueError as error:
        # Labels of the wrong kind; any other fault of the data is the caller's to hear.
        if not any(suspicion.verdict == "loss_mismatch" for suspicion in suspicions):
            raise
        return Trial((), error=str(error), batch_size=batch_size), (), False, None
    cheap, numbers = is_cheap(work_of(model), steps, batch_size), learns_numbers(model)
    sound = Sound(model, sample, batch_size, several=cheap)
    trial = course.go_on(steps)
    broken = trial.error is not None
    progress = [Progress(steps, trial.learned, sound.after(steps), broken, trial.loss)]
    looks = stages(steps, batch_size, cheap)
    learned = learns(progress, False, thresholds, cheap, numbers)
    if learned is None and not cheap and trial.learned < NOTHING and is_hopeless(trial):
        learned = False
    while learned is None:
        total = looks[len(progress)]
        if progress[-1].steps == _ROWS * steps:
            sample = larger(0)
            course.widen(sample)
            sound.widen(sample)
        further = total - progress[-1].steps
        own = course.hurry_on(further)
        progress.append(Progress(total, own or 0.0, sound.after(total), own is None, course.loss))
        learned = learns(progress, total == looks[-1], thresholds, cheap, numbers)
    folds = Folds(model, larger, batch_size, sample, sound)
    seen = [tuple(progress)]
    while cheap and len(seen) < FOLDS and is_near(seen, thresholds, numbers):
        seen.append(_followed(model, *folds.at(len(seen)), looks, batch_size))
    if len(seen) > 1:
        learned = learns(progress, True, thresholds, cheap, numbers, seen[1:]) is True
    return trial, tuple(seen), learned, folds


def _followed(
    model: Model, sample: Sample, sound: Sound, looks: Sequence[int], batch_size: int
) -> tuple[Progress, ...]:
    """What the net and a sound one learn of a sample, to the end or until training breaks off."""
    course, progress, done = Course(copy.deepcopy(model), sample, batch_size), list[Progress](), 0
    for total in looks:
        own, done = course.hurry_on(total - done), total
        progress.append(Progress(total, own or 0.0, sound.after(total), own is None, course.loss))
        if own is None:
            break
    return tuple(progress)


def _count(x: Any) -> int:
    """Rows of x."""
    try:
        count = n_rows_of(x)
    except (TypeError, IndexError):
        raise TypeError(f"diagnose: x must be arrays, got {type(x).__name__}") from None
    if count < 1:
        raise ValueError("diagnose: x has no rows")
    return count
