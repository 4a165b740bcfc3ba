"""What of a model goes into a file, and comes back into one that is there already."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn import utils
from fastnn._checks import check_integer, check_real
from fastnn._files import shortened
from fastnn._registry import Configurable, serialize
from fastnn.models import container
from fastnn.optimizers import Optimizer
from fastnn.variables import Variable


class Saved(Configurable, Protocol):
    """What a file takes from a model. ``Model`` is the class that has it."""

    built: bool

    @property
    def name(self) -> str:
        """The model's name."""

    @property
    def weights(self) -> list[Variable]:
        """The weights of all layers."""

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

    def _training_state(self) -> dict[str, NDArray[Any]]:
        """The optimizer's, by name."""

    def _restore_training_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take it back."""


def save_model(model: Saved, filepath: str | os.PathLike[str]) -> None:
    """Architecture, weights and, if compiled, how training goes on. See ``Model.save``."""
    container.write(filepath, content_of(model))


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
    container.write(filepath, container.Container(weights_of(model), {}, {}))


def save_backup(model: Saved, filepath: str | os.PathLike[str], epoch: int) -> None:
    """What it takes to go on with a training before ``epoch``: weights, the optimizer's state and
    learning rate, and the state of the random numbers."""
    rate = model.optimizer._learning_rate
    backup = {
        "epoch": epoch,
        # A schedule follows from the number of steps.
        "learning_rate": rate if isinstance(rate, float) else None,
        "random": utils.random_state(),
    }
    content = container.Container(weights_of(model), model._training_state(), {"backup": backup})
    container.write(filepath, content)


def restore_backup(model: Saved, filepath: str | os.PathLike[str]) -> int:
    """Put ``model`` where it was when ``save_backup`` wrote the file; returns its epoch.

    Raises:
        OSError: there is no such file, or it can't be read.
        ValueError: it is malformed, or not of such a model. Nothing has changed then.
    """
    content = container.read(filepath)
    try:
        backup = content.configs.get("backup")
        if not isinstance(backup, dict) or backup.keys() != {"epoch", "learning_rate", "random"}:
            raise ValueError("it holds no backup")
        epoch = check_integer("its backup", "epoch", backup["epoch"], at_least=0)
        rate = backup["learning_rate"]
        if rate is not None:
            rate = check_real("its backup", "learning_rate", rate, at_least=0)
        random_before = utils.random_state()
        utils.restore_random_state(backup["random"])
        try:
            restore(model, content)
        except ValueError:
            utils.restore_random_state(random_before)
            raise
    except (TypeError, ValueError) as error:
        raise ValueError(f"{os.fspath(filepath)} can't be restored: {shortened(error)}") from error
    if rate is not None:
        model.optimizer.learning_rate = rate
    return epoch


def restore(model: Saved, content: container.Container) -> None:
    """Give ``model`` the weights and the optimizer's state of a file.

    Raises:
        ValueError: they are not of such a model. Nothing has changed then.
    """
    _check_fit(model, content.weights)
    model._restore_training_state(_state_by_order(model, content))
    model.set_weights(list(content.weights.values()))


def _state_by_order(model: Saved, content: container.Container) -> dict[str, NDArray[Any]]:
    """The optimizer's state under the names of the model's own weights. A model that was made again
    in one process has other automatic names."""
    paths = {old: new.path for old, new in zip(content.weights, model.weights, strict=True)}
    state = {}
    for name, value in content.training_state.items():
        path, _, slot = name.rpartition("/")
        state[f"{paths[path]}/{slot}" if path in paths else name] = value
    return state


def _check_fit(model: Saved, weights: Mapping[str, NDArray[np.float32]]) -> None:
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


def weights_of(model: Saved) -> dict[str, NDArray[np.float32]]:
    """By path. ValueError if the model isn't built."""
    _check_built(model)
    weights = {variable.path: variable.numpy() for variable in model.weights}
    if len(weights) < len(model.weights):
        paths = [variable.path for variable in model.weights]
        twice = sorted({path for path in paths if paths.count(path) > 1})
        raise ValueError(f"model {model.name!r} has several weights of one name: {twice}")
    return weights


def _check_built(model: Saved) -> None:
    if not model.built:
        raise ValueError(
            f"model {model.name!r} is not built, it has no weights yet: call "
            "build(input_shape), or begin it with an Input"
        )
