"""One training in several processes: what they make sure of, and tell each other, beside steps."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.callbacks import BackupAndRestore, CallbackList
from fastnn.callbacks.messages import silenced
from fastnn.data.batches import Batches
from fastnn.data.dataset import Dataset
from fastnn.distribution import DataParallel
from fastnn.engine.processes import Processes, rows_of
from fastnn.errors import ProcessError
from fastnn.kernels import levels
from fastnn.models import backups, saving, states
from fastnn.models.container import Container
from fastnn.models.learner import Learner

_ROWS = 64
"""Of which data is known again."""


@contextmanager
def together(distribution: DataParallel | None) -> Iterator[Processes | None]:
    """A training from beginning to end: where one process fails, the others are told."""
    if distribution is None:
        yield None
        return
    if not isinstance(distribution, DataParallel):
        raise TypeError(
            f"fit: distribution must be a distribution.DataParallel, got {distribution!r}"
        )
    processes = distribution._processes
    processes.begin()
    try:
        with silenced(processes.rank > 0):
            yield processes
        processes.end()
    except BaseException as error:
        processes.fail(error)
        raise


def check(model: Learner, callbacks: CallbackList) -> None:
    """Refuse what can't be shared.

    Raises:
        ValueError: It names what, and why.
    """
    if not model.built:
        raise ValueError(
            "fit: with a distribution the model must be built before its first batch comes: call "
            "build(input_shape), or begin it with an Input"
        )
    for callback in callbacks.callbacks:
        if callback.statistics_every:
            raise ValueError(
                f"fit: {type(callback).__name__} wants statistics of steps, which can't be taken "
                "with a distribution: a process sees the activations of its own rows only"
            )
    objectives = model._objectives()
    backup = any(isinstance(each, BackupAndRestore) for each in callbacks.callbacks)
    collecting = [m.name for o in objectives if o.has_epoch_metrics for m in o.all_metrics]
    if backup and collecting:
        raise ValueError(
            "fit: with a distribution, BackupAndRestore can't keep the predictions that metrics "
            f"of all rows need ({', '.join(collecting)}): each process has its own"
        )


def compare(
    processes: Processes,
    model: Learner,
    settings: Mapping[str, Any],
    callbacks: CallbackList,
    train: Dataset | Batches,
    validation: Dataset | Batches | None,
) -> None:
    """Make sure that all processes do the same.

    Raises:
        ValueError: Something differs; it says what.
    """
    rate = model.optimizer.get_config().get("learning_rate")
    own = {
        **backups.described(model),
        "shapes of weights": [variable.shape for variable in model.weights],
        "schedule": rate if isinstance(rate, Mapping) else None,
        **settings,
        "callbacks": [type(each).__name__ for each in callbacks.callbacks],
        "data to train on": _known(train),
        "data to validate on": _known(validation),
        "CPU level (FASTNN_CPU_LEVEL)": levels.level(),
    }
    own = json.loads(json.dumps(own, default=str))
    first = from_first(processes, own)
    for name in {**first, **own}:
        if first.get(name) != own.get(name):
            raise ValueError(
                f"fit: all processes must be given the same, but {name} is {own.get(name)} in "
                f"process {processes.rank} and {first.get(name)} in process 0"
            )


def share_state(processes: Processes, model: Learner) -> None:
    """Weights, the optimizer's state, random numbers and seeds become those of the first process.

    A process may have drawn other seeds and weights: without ``set_random_seed`` each has its own.
    """
    state = None
    if processes.rank == 0:
        state = {
            "weights": saving.weights_of(model),
            "training": model._training_state(),
            **backups.beside_weights(model),
        }
    state = from_first(processes, state)
    if processes.rank > 0:
        saving.restore(model, Container(state["weights"], state["training"], {}))
        backups.restore_beside_weights(model, state)


def share_backup(
    processes: Processes, found: tuple[str, Container] | None
) -> tuple[str, Container] | None:
    """The backup that the first process has found."""
    state = None
    if processes.rank == 0 and found is not None:
        path, content = found
        state = {
            "path": path,
            "weights": content.weights,
            "training": content.training_state,
            "configs": json.dumps(content.configs),
        }
    state = from_first(processes, state)
    if state is None:
        return None
    configs = json.loads(state["configs"])
    return state["path"], Container(state["weights"], state["training"], configs)


def from_first(processes: Processes, value: Any) -> Any:
    """What the first process has: JSON values, and arrays in them. That of others isn't read."""
    data = None
    if processes.rank == 0:
        parts, arrays = states.taken_apart(value, "fit", "/")
        table = [[name, array.dtype.str, array.shape] for name, array in arrays.items()]
        text = json.dumps([parts, table]).encode()
        raw = [array.tobytes() for array in arrays.values()]
        data = np.frombuffer(b"".join([len(text).to_bytes(8, "little"), text, *raw]), np.uint8)
    told = processes.broadcast(data).tobytes()
    end = 8 + int.from_bytes(told[:8], "little")
    parts, table = json.loads(told[8:end])
    arrays = {}
    for name, dtype, shape in table:
        count = int(np.prod(shape, dtype=np.int64))
        array = np.frombuffer(told, dtype, count, end).reshape(shape)
        end += array.nbytes
        arrays[name] = array
    return states.put_together(parts, arrays)


def agree_on_batch(processes: Processes, dataset: Dataset) -> None:
    """Whether an iterable has yielded the same batch everywhere.

    Raises:
        ValueError: It has not. All processes raise it.
    """
    sums = processes.agree(np.array([len(dataset), _checksum(dataset)], np.float64))
    if (sums != sums[0]).any():
        raise ValueError(
            "fit: x must yield the same batches in all processes, each of which does its rows of "
            "every batch; these differ"
        )


def agree_on_stop(processes: Processes, model: Learner) -> None:
    """A callback that ends the training in one process ends it in all."""
    stops = processes.agree(np.array([bool(model.stop_training)], np.float64))
    model.stop_training = bool(stops.any())


def agree_on_epoch(processes: Processes, model: Learner, epoch: int) -> None:
    """Likewise; and whether weights and learning rates are still the same.

    Raises:
        ProcessError: They are not. All processes raise it.
    """
    weights = 0
    for variable in model.weights:
        weights = zlib.crc32(variable.storage.reshape(-1).view(np.uint8).data, weights)
    optimizer = model.optimizer
    rate = optimizer.learning_rates(np.array([optimizer.iterations], np.int64))
    said = processes.agree(np.array([bool(model.stop_training), weights, float(rate[0])]))
    model.stop_training = bool(said[:, 0].any())
    for what, column in (("learning rates", said[:, 2]), ("weights", said[:, 1])):
        if (column != column[0]).any():
            raise ProcessError(
                f"after epoch {epoch + 1} processes have different {what}: a callback must change "
                "that in all of them alike"
            )


def gather_predictions(
    processes: Processes, predictions: Sequence[NDArray[np.float32]], n_rows: int, batch_size: int
) -> None:
    """Each process has written the predictions of its own rows of every batch: now all have all.

    Args:
        predictions: (rows, outputs) each.
        n_rows: Rows of which there are predictions.
    """
    if not predictions or not n_rows:
        return
    owner = owners(n_rows, batch_size, processes.size)
    rows = [np.flatnonzero(owner == process) for process in range(processes.size)]
    for array in predictions:
        columns = array.shape[1]
        mine = np.ascontiguousarray(array[rows[processes.rank]]).reshape(-1)
        told = processes.gather(mine, [len(each) * columns for each in rows])
        array[np.concatenate(rows)] = told.reshape(-1, columns)


def owners(n_rows: int, batch_size: int, size: int) -> NDArray[np.int64]:
    """The process that has each row of a pass."""
    found = []
    for first in range(0, n_rows, batch_size):
        batch = min(batch_size, n_rows - first)
        counts = [rows_of(batch, process, size) for process in range(size)]
        found.append(np.repeat(np.arange(size), counts))
    return np.concatenate(found)


def _known(data: Dataset | Batches | None) -> Any:
    """By what data is known again."""
    if not isinstance(data, Dataset):
        return type(data).__name__
    shapes = [[list(x.shape), str(x.dtype)] for x in data.inputs if isinstance(x, np.ndarray)]
    return [len(data), shapes, data.weighted, f"checksum {_checksum(data):08x}"]


def _checksum(data: Dataset) -> int:
    """Of some rows, from all over."""
    found = 0
    arrays = [*data.inputs, *data.targets, *(w for w in data.weights if w is not None)]
    for array in arrays:
        if isinstance(array, np.ndarray):
            rows = np.ascontiguousarray(array[:: max(1, len(array) // _ROWS)])
            found = zlib.crc32(rows.reshape(-1).view(np.uint8).data, found)
    return found
