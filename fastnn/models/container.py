"""The file that a model is saved in: safetensors, with what isn't a tensor as JSON in its metadata.

Tensors are called ``weights/PATH`` (float32, C order, shapes as in Keras) and ``training/NAME``.
The metadata's ``weights`` lists the paths in Keras's order; ``model`` and ``compile`` are
configurations. Nothing in a file is ever executed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn._files import shortened, write_whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT = "fastnn"
VERSION = "1"

_WEIGHTS = "weights/"
_TRAINING = "training/"
_TRAINING_DTYPES = {"BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64", "F32", "F64"}


@dataclass(frozen=True)
class Container:
    """What a file holds.

    Attributes:
        weights: by path, in Keras's order.
        training_state: by a name of the trainer's own.
        configs: JSON values by name.
    """

    weights: dict[str, NDArray[np.float32]]
    training_state: dict[str, NDArray[Any]]
    configs: dict[str, Any]


def write(filepath: str | os.PathLike[str], container: Container) -> None:
    """Write ``container``. A file of that name is replaced at once, or not at all.

    Raises:
        ValueError: a configuration isn't made of JSON values.
        OSError: the file can't be written.
    """
    import json

    from safetensors.numpy import save

    try:
        configs = {
            name: json.dumps(config, allow_nan=False) for name, config in container.configs.items()
        }
    except TypeError as error:
        raise ValueError(f"the model can't be saved: {error}") from error
    metadata = {
        "format": FORMAT,
        "format_version": VERSION,
        "weights": json.dumps(list(container.weights)),
        **configs,
    }
    tensors = {_WEIGHTS + path: value for path, value in container.weights.items()}
    tensors |= {
        _TRAINING + name: np.asarray(value, order="C")
        for name, value in container.training_state.items()
    }
    # Not by safetensors' save_file, which lets nobody but the owner read what it writes.
    write_whole(filepath, save(tensors, metadata))


def read(filepath: str | os.PathLike[str]) -> Container:
    """Read what ``write`` wrote.

    Raises:
        OSError: there is no such file, or it can't be read.
        ValueError: it is damaged, or wasn't written by ``write``; the message names the fault.
    """
    import json

    from safetensors import SafetensorError, safe_open

    path = os.fspath(filepath)
    # Opened once here for Python's own errors: FileNotFoundError, PermissionError.
    with open(path, "rb"):
        pass
    tensors: dict[str, NDArray[Any]] = {}
    try:
        with safe_open(path, framework="numpy") as file:
            metadata: dict[str, str] = file.metadata() or {}
            for name in file.keys():  # noqa: SIM118
                _check_dtype(name, file.get_slice(name).get_dtype())
                tensors[name] = file.get_tensor(name)
        _check_format(metadata)
        texts = {k: v for k, v in metadata.items() if k not in ("format", "format_version")}
        configs = {name: _parsed(json.loads, name, text) for name, text in texts.items()}
        weights = _ordered_weights(tensors, configs.pop("weights", None))
    except SafetensorError as error:
        raise ValueError(
            f"{path} is damaged, or not a safetensors file: {shortened(error)}"
        ) from error
    except ValueError as error:
        raise ValueError(f"{path}: {shortened(error)}") from error
    training_state = {
        name.removeprefix(_TRAINING): value
        for name, value in tensors.items()
        if name.startswith(_TRAINING)
    }
    return Container(weights, training_state, configs)


def _check_dtype(name: str, dtype: str) -> None:
    if name.startswith(_WEIGHTS):
        if dtype != "F32":
            raise ValueError(f"tensor {name!r} must be F32, got {dtype}")
    elif not name.startswith(_TRAINING):
        raise ValueError(f"unexpected tensor {name!r}")
    elif dtype not in _TRAINING_DTYPES:
        raise ValueError(f"tensor {name!r} has dtype {dtype}, which is not supported")


def _check_format(metadata: Mapping[str, str]) -> None:
    if metadata.get("format") != FORMAT:
        raise ValueError("its metadata doesn't say that fastnn saved it")
    if metadata.get("format_version") != VERSION:
        raise ValueError(
            f"its format_version is {metadata.get('format_version')!r}, this fastnn reads "
            f"{VERSION!r}"
        )


def _parsed(loads: Any, name: str, text: str) -> Any:
    try:
        return loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name!r} in its metadata is not valid JSON: {error}") from error


def _ordered_weights(
    tensors: Mapping[str, NDArray[Any]], order: object
) -> dict[str, NDArray[np.float32]]:
    if not isinstance(order, list) or not all(isinstance(path, str) for path in order):
        raise ValueError("'weights' in its metadata must be a list of names")
    found = {name.removeprefix(_WEIGHTS) for name in tensors if name.startswith(_WEIGHTS)}
    for path in order:
        if path not in found:
            raise ValueError(f"the tensor of weight {path!r} is missing")
    unlisted = found.difference(order)
    if unlisted:
        raise ValueError(f"the tensors of {sorted(unlisted)} are not listed in its metadata")
    return {path: tensors[_WEIGHTS + path] for path in order}
