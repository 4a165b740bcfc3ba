"""The file of a model that a command trained, with what the command needs to use it.

Beside the model the file's metadata holds JSON: ``class_names``, a list, or ``table``, what was
learned of the columns of a table. ``fastnn.load_model`` passes over them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fastnn._files import shortened
from fastnn.tables.form import Form

if TYPE_CHECKING:
    from fastnn.models import Model

_KEY = "class_names"
_TABLE = "table"


class Loaded(NamedTuple):
    """What a file holds.

    Attributes:
        model: As ``fastnn.load_model`` gives it.
        class_names: By label; None if the file has none.
        form: Of the table that the model learned from; None if it was none.
    """

    model: Model
    class_names: list[str] | None
    form: Form | None

    def named(self, label: int) -> str | int:
        """A class as its data has it: its name, or else its number."""
        if self.form is not None and self.form.label.classes is not None:
            return self.form.label.classes[label]
        return int(label) if self.class_names is None else self.class_names[label]


def save(
    model: Model, path: Path, class_names: Sequence[str] | None, form: Form | None = None
) -> None:
    """Write ``model`` as ``Model.save`` does, and the names by label or a table's form."""
    from fastnn.models import container, saving

    content = saving.content_of(model)
    configs = dict(content.configs)
    if form is not None:
        configs[_TABLE] = form.get_config()
    elif class_names is not None:
        configs[_KEY] = list(class_names)
    container.write(path, dataclasses.replace(content, configs=configs))


def load(path: str | Path) -> Loaded:
    """A model, and what a command that uses it has to know.

    Raises:
        OSError, ValueError: As ``fastnn.load_model``; or the names, or the form of a table, don't
            fit the model.
    """
    from fastnn.models import container, loading

    content = container.read(path)
    try:
        model = loading.restored(content)
        names = content.configs.get(_KEY)
        form = None
        if _TABLE in content.configs:
            form = Form.from_config(content.configs[_TABLE])
            names = form.label.class_names
            if model.inputs[0].shape[1:] != (form.width,):
                raise ValueError(f"{_TABLE!r} in its metadata doesn't fit the model's input")
        if names is not None:
            _check(names, model)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: {shortened(error)}") from error
    return Loaded(model, names, form)


def _check(names: object, model: Model) -> None:
    if (
        not isinstance(names, list)
        or not all(isinstance(name, str) for name in names)
        or len(names) != model.outputs[0].shape[-1]
    ):
        raise ValueError(f"{_KEY!r} in its metadata must be a list of a name for each output")
