"""A model from a file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from fastnn import _registry
from fastnn._files import shortened
from fastnn._registry import resolve
from fastnn.models import container
from fastnn.models.model import Model
from fastnn.models.sequential import Sequential
from fastnn.variables import restoring

CLASSES: dict[str, type[Model]] = {"Model": Model, "Sequential": Sequential}
"""What a file may be a model of."""


def load_model(
    filepath: str | os.PathLike[str],
    custom_objects: Mapping[str, type] | None = None,
    compile: bool = True,
) -> Model:
    """The model that ``Model.save`` wrote to ``filepath``.

    Loading never runs code from a file: it holds tensors and JSON, and only fastnn's own classes
    and those of ``custom_objects`` can be named in it.

    Args:
        filepath: the file, whatever its name is: its content decides.
        custom_objects: classes of your own by name, ``{"MyLayer": MyLayer}``. (Keras takes
            functions too.)
        compile: compile the model as it was, and let training go on where it was left.

    Returns:
        A ``Model``, or a ``Sequential`` if that was saved.

    Raises:
        OSError: there is no such file, or it can't be read.
        TypeError: ``custom_objects`` is no dict of classes.
        ValueError: the file is truncated or malformed, names an unknown class, lacks a tensor, or
            has one of another shape; the message names the fault.
    """
    content = container.read(filepath)
    try:
        return restored(content, custom_objects, compile)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{os.fspath(filepath)}: {shortened(error)}") from error


def restored(
    content: container.Container,
    custom_objects: Mapping[str, type] | None = None,
    compile: bool = True,
) -> Model:
    """The model of a file that has been read; errors as ``load_model``, without the file's name."""
    with _registry.custom_objects(custom_objects or {}):
        model = _restored(content)
        if compile and "compile" in content.configs:
            _compile(model, content)
    return model


def _restored(content: container.Container) -> Model:
    if "model" not in content.configs:
        raise ValueError("it holds no model, only weights: use load_weights of a model")
    # A string would be a name to `resolve`, which makes a fresh object of that class.
    if not isinstance(content.configs["model"], dict):
        raise ValueError("'model' in its metadata must be an object")
    with restoring(content.weights):
        model = resolve("model", Model, CLASSES, content.configs["model"])
    spare = content.weights.keys() - {variable.path for variable in model.weights}
    if spare:
        raise ValueError(f"no layer of the model has the weights {sorted(spare)}")
    if not model.built:
        raise ValueError(f"the model {model.name!r} has no Input, its shapes are unknown")
    return model


def _compile(model: Model, content: container.Container) -> None:
    config: Any = content.configs["compile"]
    if not isinstance(config, dict):
        raise ValueError(f"'compile' in its metadata must be an object, got {config!r:.80}")
    try:
        model.compile(**config)
        model._restore_training_state(content.training_state)
    except (TypeError, KeyError) as error:
        raise ValueError(f"its 'compile' configuration is malformed: {error}") from error
