"""The file of a model that a command trained, with the names of its classes.

They are a JSON list, ``class_names``, in the file's metadata; ``fastnn.load_model`` passes over it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastnn.models import Model

_KEY = "class_names"


def save(model: Model, path: Path, class_names: Sequence[str] | None) -> None:
    """Write ``model`` as ``Model.save`` does, and the names by label, if there are any."""
    from fastnn.models import container, saving

    content = saving.content_of(model)
    if class_names is not None:
        configs = {**content.configs, _KEY: list(class_names)}
        content = dataclasses.replace(content, configs=configs)
    container.write(path, content)


def load(path: str | Path) -> tuple[Model, list[str] | None]:
    """A model, and the names of its classes; None if the file has none.

    Raises:
        OSError, ValueError: As ``fastnn.load_model``; or the names don't fit the model.
    """
    from fastnn.models import container, loading

    content = container.read(path)
    try:
        model = loading.restored(content)
        names = content.configs.get(_KEY)
        if names is not None:
            _check(names, model)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: {error}") from error
    return model, names


def _check(names: object, model: Model) -> None:
    if (
        not isinstance(names, list)
        or not all(isinstance(name, str) for name in names)
        or len(names) != model.outputs[0].shape[-1]
    ):
        raise ValueError(f"{_KEY!r} in its metadata must be a list of a name for each output")
