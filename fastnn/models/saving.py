"""What of a model goes into a file, and comes back into one that is there already."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn._files import shortened
from fastnn._model_files import check_suffix
from fastnn._registry import Configurable, serialize
from fastnn.models import container
from fastnn.optimizers import Optimizer
from fastnn.variables import Variable


class Trained(Protocol):
    """Weights, and what the optimizer keeps of them."""

    built: bool

    @property
    def name(self) -> str:
        """The model's name."""

    @property
    def weights(self) -> list[Variable]:
        """The weights of all layers."""

    def _training_state(self) -> dict[str, NDArray[Any]]:
        """The optimizer's, by name."""

    def _restore_training_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take it back."""


class Saved(Trained, Configurable, Protocol):
    """What a file takes from a model. ``Model`` is the class that has it."""

    @property
    def compiled(self) -> bool:
        """Whether ``compile`` was called."""

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer given to ``compile``."""

    def set_weights(self, weights: Sequence[ArrayLike]) -> None:
        """Overwrite all weights, in the order of ``weights``."""

    def _compile_config(self) -> dict[str, Any]:
        """The arguments of ``compile``, as JSON values."""


def save_model(model: Saved, filepath: str | os.PathLike[str]) -> None:
    """Architecture, weights and, if compiled, how training goes on. See ``Model.save``."""
    path = check_suffix("save: filepath", filepath)
    container.write(path, content_of(model))


def content_of(model: Saved) -> container.Container:
    """What ``save_model`` writes.

    Raises:
        ValueError: the model isn't built, or a part of it can't be saved.
    """
    configs: dict[str, object] = {"model": serialize(model)}
    training_state: dict[str, NDArray[Any]] = {}
    if model.compiled:
        configs["compile"] = model._compile_config()
        training_state = model._training_state()
    return container.Container(weights_of(model), training_state, configs)


def save_weights(model: Saved, filepath: str | os.PathLike[str]) -> None:
    """Weights alone. See ``Model.save_weights``."""
    path = check_suffix("save_weights: filepath", filepath)
    container.write(path, container.Container(weights_of(model), {}, {}))


def restore(model: Trained, content: container.Container) -> None:
    """Give ``model`` the weights and the optimizer's state of a file.

    Raises:
        ValueError: they are not of such a model. Nothing has changed then.
    """
    _check_fit(model, content.weights)
    model._restore_training_state(_state_by_order(model, content))
    for variable, value in zip(model.weights, content.weights.values(), strict=True):
        variable.assign(value)


def _state_by_order(model: Trained, content: container.Container) -> dict[str, NDArray[Any]]:
    """The optimizer's state under the names of the model's own weights. A model that was made again
    in one process has other automatic names."""
    paths = {old: new.path for old, new in zip(content.weights, model.weights, strict=True)}
    state = {}
    for name, value in content.training_state.items():
        path, _, slot = name.rpartition("/")
        state[f"{paths[path]}/{slot}" if path in paths else name] = value
    return state


def _check_fit(model: Trained, weights: Mapping[str, NDArray[np.float32]]) -> None:
    wanted = [variable.shape for variable in model.weights]
    found = [value.shape for value in weights.values()]
    if found != wanted:
        raise ValueError(f"the model has weights of shapes {wanted}, the file {found}")


def load_weights(model: Saved, filepath: str | os.PathLike[str]) -> None:
    """Weights from a file into ``model``, by their order. See ``Model.load_weights``."""
    _check_built(model)
    weights = container.read(filepath).weights
    try:
        model.set_weights(list(weights.values()))
    except ValueError as error:
        raise ValueError(f"{os.fspath(filepath)} doesn't fit: {shortened(error)}") from error


def weights_of(model: Trained) -> dict[str, NDArray[np.float32]]:
    """By path. ValueError if the model isn't built."""
    _check_built(model)
    weights = {variable.path: variable.numpy() for variable in model.weights}
    if len(weights) < len(model.weights):
        paths = [variable.path for variable in model.weights]
        twice = sorted({path for path in paths if paths.count(path) > 1})
        raise ValueError(f"model {model.name!r} has several weights of one name: {twice}")
    return weights


def _check_built(model: Trained) -> None:
    if not model.built:
        raise ValueError(
            f"model {model.name!r} is not built, it has no weights yet: call "
            "build(input_shape), or begin it with an Input"
        )
