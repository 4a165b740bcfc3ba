"""What of a model goes into a file, and comes back into one that is there already."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from fastnn._registry import serialize
from fastnn.models import container

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fastnn.models.model import Model


def save_model(model: Model, filepath: str | os.PathLike[str]) -> None:
    """Architecture, weights and, if compiled, how training goes on. See ``Model.save``."""
    configs: dict[str, object] = {"model": serialize(model)}
    training_state: dict[str, NDArray[Any]] = {}
    if model.compiled:
        configs["compile"] = model._compile_config()
        training_state = model._training_state()
    content = container.Container(_weights(model), training_state, configs)
    container.write(filepath, content)


def save_weights(model: Model, filepath: str | os.PathLike[str]) -> None:
    """Weights alone. See ``Model.save_weights``."""
    container.write(filepath, container.Container(_weights(model), {}, {}))


def load_weights(model: Model, filepath: str | os.PathLike[str]) -> None:
    """Weights from a file into ``model``, by their order. See ``Model.load_weights``."""
    _check_built(model)
    weights = container.read(filepath).weights
    try:
        model.set_weights(list(weights.values()))
    except ValueError as error:
        raise ValueError(f"{os.fspath(filepath)} doesn't fit: {error}") from error


def _weights(model: Model) -> dict[str, NDArray[np.float32]]:
    _check_built(model)
    weights = {variable.path: variable.numpy() for variable in model.weights}
    if len(weights) < len(model.weights):
        paths = [variable.path for variable in model.weights]
        twice = sorted({path for path in paths if paths.count(path) > 1})
        raise ValueError(f"model {model.name!r} has several weights of one name: {twice}")
    return weights


def _check_built(model: Model) -> None:
    if not model.built:
        raise ValueError(
            f"model {model.name!r} is not built, it has no weights yet: call "
            "build(input_shape), or begin it with an Input"
        )
