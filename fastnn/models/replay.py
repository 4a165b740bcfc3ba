"""A file that holds a model and one batch: enough to run a step again, somewhere else."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn.data.dataset import Dataset
from fastnn.errors import NonFiniteGradientError
from fastnn.models import container, loading, saving
from fastnn.models.feeding import as_array, feed

if TYPE_CHECKING:
    from fastnn.models.model import Model

# No layer's name is empty, so that these are never an optimizer's.
_X, _Y, _WEIGHT, _SAMPLES = "/x/", "/y/", "/weight/", "/samples"


@dataclass(frozen=True, eq=False)
class Replay:
    """A model just before a step, and the step's batch.

    Attributes:
        model: Compiled, with the weights, the optimizer's state and count of steps of that moment:
            the next step draws the same masks of dropout.
        x, y, sample_weight: The batch as ``fit`` takes it: an array, or a list of them for several
            inputs; a dict by output for several outputs. ``class_weight`` is in ``sample_weight``.
        samples: (rows,) int64: which rows of the data set they were.
    """

    model: Model
    x: Any
    y: Any
    sample_weight: Any
    samples: NDArray[np.int64]


def save_replay(
    filepath: str | os.PathLike[str],
    model: Model,
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
        filepath: A file of that name is replaced at once, or not at all.
        model: Compiled.
        error: What ``fit`` raised: its batch is written.
        x, y, sample_weight: Or a batch of your own, as ``fit`` takes arrays.

    Raises:
        TypeError: ``error`` is of another type.
        ValueError: There is not just one of ``error`` and ``x``; ``error`` is not from ``fit``, or
            the model has trained since; or the data does not fit.
        OSError: The file can't be written.
    """
    model._check_compiled()
    if (error is None) == (x is None):
        raise ValueError("save_replay takes the error that fit raised, or a batch x and y")
    if error is not None:
        batch, samples = _of_error(model, error), np.array(error.samples, np.int64)
    else:
        batch = feed(model, x, y, sample_weight)
        samples = np.arange(len(batch))
    arrays: dict[str, NDArray[Any]] = {_SAMPLES: samples}
    for i, rows in enumerate(batch.inputs):
        arrays[f"{_X}{i}"] = as_array(model, i, rows)
    arrays |= {f"{_Y}{i}": target for i, target in enumerate(batch.targets)}
    arrays |= {f"{_WEIGHT}{i}": w for i, w in enumerate(batch.weights) if w is not None}
    try:
        content = saving.content_of(model)
        _write(filepath, content, arrays, "")
    except ValueError as fault:
        content = container.Container(saving.weights_of(model), model._training_state(), {})
        _write(filepath, content, arrays, str(fault))


def load_replay(
    filepath: str | os.PathLike[str],
    model: Model | None = None,
    custom_objects: Mapping[str, type] | None = None,
) -> Replay:
    """What ``save_replay`` wrote. Loading never runs code from a file.

    Args:
        filepath: The file.
        model: A compiled model like the saved one, where that has functions in Python; it is not
            changed: its copy gets the file's weights.
        custom_objects: As for ``load_model``.

    Raises:
        OSError: There is no such file, or it can't be read.
        ValueError: It is damaged, no replay, or holds no model and none was given; or ``model`` is
            another one.
    """
    content = container.read(filepath)
    batch = {k: v for k, v in content.training_state.items() if k.startswith("/")}
    rest = {k: v for k, v in content.training_state.items() if not k.startswith("/")}
    content = replace(content, training_state=rest)
    try:
        missing = content.configs.get("replay")
        if not isinstance(missing, str):
            raise ValueError("it holds no replay")
        if model is not None:
            restored = _into_copy(model, content)
        elif "model" in content.configs:
            restored = loading.restored(content, custom_objects)
        else:
            raise ValueError(f"it holds no model, because {missing}. Give one that is built alike")
        return _replay(restored, batch)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{os.fspath(filepath)}: {error}") from error


def _of_error(model: Model, error: NonFiniteGradientError) -> Dataset:
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
    filepath: str | os.PathLike[str],
    content: container.Container,
    batch: dict[str, NDArray[Any]],
    missing: str,
) -> None:
    """``missing``: why the model isn't there, if so."""
    full = container.Container(
        content.weights, content.training_state | batch, content.configs | {"replay": missing}
    )
    container.write(filepath, full)


def _into_copy(model: Model, content: container.Container) -> Model:
    model._check_compiled()
    restored = copy.deepcopy(model)
    saving.restore(restored, content)
    return restored


def _replay(model: Model, arrays: Mapping[str, NDArray[Any]]) -> Replay:
    objectives = model._objectives()
    trained = [(i, o) for i, o in enumerate(objectives) if o.has_target]
    weighted = [(i, o) for i, o in enumerate(objectives) if o.takes_weights]
    names = model.output_names
    x = [_array(arrays, f"{_X}{i}") for i in range(len(model.inputs))]
    y = {names[i]: _array(arrays, f"{_Y}{k}") for k, (i, _) in enumerate(trained)}
    weights = {names[i]: arrays.get(f"{_WEIGHT}{k}") for k, (i, _) in enumerate(weighted)}
    samples = _array(arrays, _SAMPLES)
    sample_weight = weights if any(w is not None for w in weights.values()) else None
    rows = len(feed(model, x, y, sample_weight))
    if samples.shape != (rows,) or samples.dtype != np.int64:
        raise ValueError(f"its samples must be {rows} int64, got {samples.dtype} {samples.shape}")
    return Replay(
        model,
        x[0] if len(x) == 1 else x,
        y[names[0]] if len(names) == 1 else y,
        sample_weight[names[0]] if sample_weight and len(names) == 1 else sample_weight,
        samples,
    )


def _array(arrays: Mapping[str, NDArray[Any]], name: str) -> NDArray[Any]:
    if name not in arrays:
        raise ValueError(f"it lacks the batch's {name.strip('/')!r}")
    return arrays[name]
