"""Writes a file that holds a model and one batch, for ``replay.py`` to read."""

from __future__ import annotations

import os
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn._model_files import check_suffix
from fastnn.data.dataset import Dataset
from fastnn.errors import NonFiniteGradientError
from fastnn.models import container, saving
from fastnn.models.feeding import as_array, feed
from fastnn.models.frontier import frontier
from fastnn.models.learner import Learner

# No layer's name is empty, so that these are never an optimizer's.
X, Y, WEIGHT, SAMPLES = "/x/", "/y/", "/weight/", "/samples"


class Recorded(Learner, saving.Saved, Protocol):
    """A model that can be written while it learns."""


def save_replay(
    filepath: str | os.PathLike[str],
    model: Recorded,
    error: NonFiniteGradientError | None = None,
    x: Any = None,
    y: Any = None,
    sample_weight: ArrayLike | None = None,
) -> None:
    """Write the model as it is, and a batch, to one file, which ``fnn.health.replay`` reads.

    ::

        try:
            model.fit(x, y)
        except fastnn.NonFiniteGradientError as error:
            fastnn.health.save_replay("step.safetensors", model, error)

    The file is in the safetensors format, as ``Model.save`` writes it; nothing is pickled. It has a
    copy of the batch's data. Where a loss or layer is a function in Python, the file has the
    weights, but not the model: ``replay`` then needs a model that is built in the same way.

    Args:
        filepath: Ending in ``.safetensors``. A file of that name is replaced at once, or not at
            all.
        model: Compiled.
        error: What ``fit`` raised: its batch is written.
        x, y, sample_weight: Or a batch of your own, as ``fit`` takes arrays.

    Raises:
        TypeError: ``error`` is of another type.
        ValueError: ``filepath`` has another suffix; there is not just one of ``error`` and ``x``;
            ``error`` is not from ``fit``, or the model has trained since; or the data does not fit,
            or is prepared by a layer before the engine has it (StringLookup, say).
        OSError: The file can't be written.
    """
    model._check_compiled()
    path = check_suffix("save_replay: filepath", filepath)
    if (error is None) == (x is None):
        raise ValueError("save_replay takes the error that fit raised, or a batch x and y")
    steps = frontier(model).steps
    if steps:
        raise ValueError(
            f"save_replay: layer {steps[0].layer.name!r} works on the data before a step sees it, "
            "and the file has the batch as the step sees it: give a model of what comes after such "
            "layers"
        )
    if error is not None:
        batch, samples = _of_error(model, error), np.array(error.samples, np.int64)
    else:
        batch = feed(model, x, y, sample_weight)
        samples = np.arange(len(batch))
    arrays: dict[str, NDArray[Any]] = {SAMPLES: samples}
    for i, rows in enumerate(batch.inputs):
        arrays[f"{X}{i}"] = as_array(model, i, rows)
    arrays |= {f"{Y}{i}": target for i, target in enumerate(batch.targets)}
    arrays |= {f"{WEIGHT}{i}": w for i, w in enumerate(batch.weights) if w is not None}
    try:
        content = saving.content_of(model)
        _write(path, content, arrays, "")
    except ValueError as fault:
        content = container.Container(saving.weights_of(model), model._training_state(), {})
        _write(path, content, arrays, str(fault))


def _of_error(model: Recorded, error: NonFiniteGradientError) -> Dataset:
    if not isinstance(error, NonFiniteGradientError):
        raise TypeError(
            f"save_replay: error must be a NonFiniteGradientError, got {type(error).__name__}"
        )
    if not isinstance(error._batch, Dataset):
        raise ValueError("save_replay: the error has no batch, since fit didn't raise it: give x")
    if error.step != model.optimizer.iterations:
        raise ValueError(
            f"save_replay: the error is of step {error.step}, but the model has done "
            f"{model.optimizer.iterations} steps: it was trained since"
        )
    return error._batch


def _write(
    filepath: str,
    content: container.Container,
    batch: dict[str, NDArray[Any]],
    missing: str,
) -> None:
    """``missing``: why the model isn't there, if so."""
    full = container.Container(
        content.weights, content.training_state | batch, content.configs | {"replay": missing}
    )
    container.write(filepath, full)
