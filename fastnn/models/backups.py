"""Where a training is, as a file that it can go on from to the same bits."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn import utils
from fastnn._checks import check_flag, check_integer, check_real
from fastnn._files import shortened
from fastnn.activations import Activation
from fastnn.callbacks import CallbackList
from fastnn.layers.base import Layer
from fastnn.models import container, saving, states
from fastnn.models.container import Container
from fastnn.models.learner import Learner

# No layer's name is empty, so that these are never an optimizer's.
_ARRAYS = "/state/"
_SEEDS = ("seed", "dropconnect_seed")
_PARTS = {"position", "learning_rate", "random", "seeds", "settings", "callbacks", "crc32"}


@dataclass
class Within:
    """A border between two batches of an epoch.

    Attributes:
        number: Of the pass over a data set, from 0; of an iterable, batches done.
        row: Rows of that pass that are done.
        random: State of the random numbers before the order of that pass, or the batches of the
            iterable, were drawn.
        progress: Of the epoch: ``Progress.state``.
    """

    number: int
    row: int
    random: dict[str, Any]
    progress: dict[str, Any]

    def __post_init__(self) -> None:
        for name in ("number", "row"):
            check_integer("its backup", name, getattr(self, name), at_least=0)
        if not isinstance(self.progress, dict) or not isinstance(self.random, dict):
            raise ValueError("its epoch is malformed")
        for name in ("rows", "batches"):
            check_integer("its backup", name, self.progress[name], at_least=0)


@dataclass
class Position:
    """Where a training is between two batches or epochs.

    Attributes:
        epoch: The one that goes on or comes next.
        within: The place in it, if it has begun.
        stopped: A callback has ended the training.
        logs: Of the last epoch that came to its end.
        drawn: Batches taken from iterables to train on, and to validate with.
        observed: ``Observing.state``.
    """

    epoch: int
    within: Within | None
    stopped: bool
    logs: dict[str, float]
    drawn: list[int]
    observed: list[NDArray[np.int64]]

    def __post_init__(self) -> None:
        check_integer("its backup", "epoch", self.epoch, at_least=0)
        check_flag("its backup", "stopped", self.stopped)
        if not isinstance(self.logs, dict) or len(self.drawn) != 2:
            raise ValueError("its position is malformed")
        if not all(isinstance(each, np.ndarray) for each in self.observed):
            raise ValueError("its position is malformed")
        for number in self.drawn:
            check_integer("its backup", "drawn", number, at_least=0)


def capture(
    model: Learner, callbacks: CallbackList, position: Position, settings: Mapping[str, Any]
) -> Container:
    """A copy of all that it takes to go on: a training may go on itself while it is written.

    Raises:
        TypeError: A callback's state can't be kept in a file.
    """
    parts, arrays = states.taken_apart(
        {"position": asdict(position), "callbacks": callbacks.state_dict()},
        "BackupAndRestore", _ARRAYS,
    )  # fmt: skip
    backup = {
        **parts,
        **beside_weights(model),
        "settings": dict(settings),
    }
    return Container(
        saving.weights_of(model), {**model._training_state(), **arrays}, {"backup": backup}
    )


def beside_weights(model: Learner) -> dict[str, Any]:
    """What else a training goes on from: the rate, random numbers and seeds, as JSON values."""
    rate = model.optimizer._learning_rate
    return {
        # A schedule follows from the number of steps.
        "learning_rate": rate if isinstance(rate, float) else None,
        "random": utils.random_state(),
        "seeds": [[getattr(layer, name) for name in names] for layer, names in _seeded(model)],
    }


def restore_beside_weights(model: Learner, state: Mapping[str, Any]) -> None:
    """Take back what ``beside_weights`` gave of such a model.

    Raises:
        ValueError: It is malformed.
    """
    utils.restore_random_state(state["random"])
    for (layer, names), seeds in zip(_seeded(model), state["seeds"], strict=True):
        for name, seed in zip(names, seeds, strict=True):
            setattr(layer, name, seed)
    if state["learning_rate"] is not None:
        model.optimizer.learning_rate = state["learning_rate"]


def described(model: Learner) -> dict[str, Any]:
    """What is trained, by what: as much of it as is the same in each process that makes it again.

    Automatic names and seeds are not, and callbacks change the learning rate on the way.
    """
    objectives = model._objectives()
    optimizer = {
        key: value
        for key, value in model.optimizer.get_config().items()
        if key not in ("name", "learning_rate")
    }
    return {
        "layers": [
            [type(node.layer).__name__, list(node.output.shape[1:]), _activation(node.layer)]
            for node in model.nodes
        ],
        "optimizer": [type(model.optimizer).__name__, optimizer],
        "losses": [None if each.loss is None else _name(each.loss) for each in objectives],
        "loss weights": [each.loss_weight for each in objectives],
        "metrics": [
            [_name(metric) for metric in (*each.metrics, *each.weighted_metrics)]
            for each in objectives
        ],
    }


def _activation(layer: Layer) -> str | None:
    found = getattr(layer, "activation", None)
    return found.kind if isinstance(found, Activation) else None


def _name(part: Any) -> str:
    return str(getattr(part, "name", None) or type(part).__name__)


def write(filepath: str, content: Container, previous: str | None) -> None:
    """Write what ``capture`` gave; what was there goes to ``previous``.

    Raises:
        OSError: It can't be written.
    """
    backup = {**content.configs["backup"], "crc32": _checksum(content)}
    container.write(
        filepath, Container(content.weights, content.training_state, {"backup": backup}), previous
    )


def read(filepath: str) -> Container:
    """Read what ``write`` wrote.

    Raises:
        OSError: There is no such file, or it can't be read.
        ValueError: It is damaged, or no backup.
    """
    content = container.read(filepath)
    backup = content.configs.get("backup")
    if not isinstance(backup, dict) or backup.keys() != _PARTS:
        raise ValueError(f"{filepath} can't be restored: it holds no backup of this version")
    if backup["crc32"] != _checksum(content):
        raise ValueError(f"{filepath} is damaged: its checksum is wrong")
    return content


class Resumption:
    """A backup, checked against the training that is to go on from it.

    Args:
        filepath: Of the backup, for messages.

    Attributes:
        position: Where it goes on.

    Raises:
        ValueError: It is malformed, or of another model, or of a training with other callbacks or
            settings. Nothing has changed.
    """

    def __init__(
        self,
        content: Container,
        filepath: str | os.PathLike[str],
        model: Learner,
        callbacks: CallbackList,
        settings: Mapping[str, Any],
    ) -> None:
        self._content, self._filepath = content, os.fspath(filepath)
        self._model, self._callbacks = model, callbacks
        backup = content.configs["backup"]
        arrays = {k: v for k, v in content.training_state.items() if k.startswith(_ARRAYS)}
        self._restored = Container(
            content.weights,
            {k: v for k, v in content.training_state.items() if not k.startswith(_ARRAYS)},
            {},
        )
        with _naming(self._filepath):
            _compare(backup["settings"], settings)
            self.position = _position(states.put_together(backup["position"], arrays))
            self._states = states.put_together(backup["callbacks"], arrays)
            callbacks.check_state(self._states)
            rate = backup["learning_rate"]
            if rate is not None:
                check_real("its backup", "learning_rate", rate, at_least=0)
            _check_seeds(model, backup["seeds"])
            if self.position.within is not None:
                model._totals().restore(self.position.within.progress)

    def apply(self) -> None:
        """Put model, random numbers and callbacks where they were. May be called again.

        Raises:
            ValueError: They don't fit. The model has not changed then.
        """
        model, backup = self._model, self._content.configs["backup"]
        random_before = utils.random_state()
        with _naming(self._filepath):
            utils.restore_random_state(backup["random"])
            try:
                saving.restore(model, self._restored)
            except ValueError:
                utils.restore_random_state(random_before)
                raise
            restore_beside_weights(model, backup)
            self._callbacks.load_state_dict(self._states)


@contextmanager
def _naming(filepath: str) -> Iterator[None]:
    """Errors inside become a ValueError that names the file."""
    try:
        yield
    except (TypeError, KeyError, IndexError, AttributeError) as error:
        raise ValueError(
            f"{filepath} can't be restored: it is malformed: {shortened(error)}"
        ) from error
    except ValueError as error:
        raise ValueError(f"{filepath} can't be restored: {shortened(error)}") from error


def _position(parts: Any) -> Position:
    within = parts["within"]
    return Position(**{**parts, "within": None if within is None else Within(**within)})


def _compare(then: Any, settings: Mapping[str, Any]) -> None:
    import json

    now = json.loads(json.dumps(settings))  # a tuple was written as a list
    for name in {**then, **now}:
        before, wanted = (repr(each[name]) if name in each else "nothing" for each in (then, now))
        if before != wanted:
            raise ValueError(f"it is of a training with {name} {before}, this one has {wanted}")


def _seeded(model: Learner) -> Iterator[tuple[Layer, list[str]]]:
    """Layers that use random numbers, and their seeds' names."""
    seen = dict.fromkeys(layer for node in model.nodes for layer in _flat(node.layer))
    for layer in seen:
        names = [name for name in _SEEDS if isinstance(getattr(layer, name, None), int)]
        if names:
            yield layer, names


def _flat(layer: Layer) -> Iterator[Layer]:
    yield layer
    for inner in layer.inner_layers:
        yield from _flat(inner)


def _check_seeds(model: Learner, found: Any) -> None:
    wanted = [len(names) for _, names in _seeded(model)]
    if [len(seeds) for seeds in found] != wanted:
        raise ValueError(
            f"the model has {len(wanted)} layers that use random numbers, the file {len(found)}"
        )
    for seeds in found:
        for seed in seeds:
            check_integer("its backup", "a seed", seed, at_least=0)


def _checksum(content: Container) -> int:
    """Of all numbers: a file that was only half written has the right length, perhaps."""
    import zlib

    found = 0
    for arrays in (content.weights, content.training_state):
        for name in sorted(arrays):
            data = np.ascontiguousarray(arrays[name]).reshape(-1).view(np.uint8).data
            found = zlib.crc32(data, zlib.crc32(name.encode(), found))
    return found
