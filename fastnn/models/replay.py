"""A file that holds a model and one batch: enough to run a step again, somewhere else."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn._files import shortened
from fastnn.models import container, loading, saving
from fastnn.models.feeding import feed
from fastnn.models.model import Model
from fastnn.models.recording import SAMPLES, WEIGHT, X, Y, save_replay

__all__ = ["Replay", "load_replay", "save_replay"]


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
        raise ValueError(f"{os.fspath(filepath)}: {shortened(error)}") from error


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
    x = [_array(arrays, f"{X}{i}") for i in range(len(model.inputs))]
    y = {names[i]: _array(arrays, f"{Y}{k}") for k, (i, _) in enumerate(trained)}
    weights = {names[i]: arrays.get(f"{WEIGHT}{k}") for k, (i, _) in enumerate(weighted)}
    samples = _array(arrays, SAMPLES)
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
