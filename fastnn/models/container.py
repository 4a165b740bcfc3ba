"""The file that a model is saved in: safetensors, with what isn't a tensor as JSON in its metadata.

Tensors are called ``weights/PATH`` (float32, C order, shapes as in Keras) and ``training/NAME``.
The metadata's ``weights`` lists the paths in Keras's order; ``model`` and ``compile`` are
configurations. Nothing in a file is ever executed. docs/format.md describes the format.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn._files import shortened, write_whole
from fastnn._model_files import advice

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT = "fastnn"
VERSION = "1"

_KEYS = {"weights", "model", "compile", "backup", "replay", "class_names", "table"}
"""Of the metadata, all JSON. What else is there is another program's, and may be anything."""

_WEIGHTS = "weights/"
_TRAINING = "training/"


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


def write(
    filepath: str | os.PathLike[str], container: Container, previous: str | None = None
) -> None:
    """Write ``container``. A file of that name is replaced at once, or not at all.

    Args:
        previous: Where to, in the same directory, the file goes that was there.

    Raises:
        ValueError: a configuration isn't made of JSON values.
        OSError: the file can't be written.
    """
    import json

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
    tensors |= {_TRAINING + name: value for name, value in container.training_state.items()}
    write_whole(filepath, _parts(tensors, metadata), previous=previous)


_DTYPES = {
    "|b1": "BOOL", "|u1": "U8", "|i1": "I8", "<u2": "U16", "<i2": "I16", "<u4": "U32",
    "<i4": "I32", "<u8": "U64", "<i8": "I64", "<f4": "F32", "<f8": "F64",
}  # fmt: skip


def _parts(
    tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]
) -> list[bytes | memoryview]:
    """A safetensors file: the length of its header, the header, the arrays as they lie in memory.

    Not by safetensors' own functions: they copy all tensors before the first is written, and where
    that takes more memory than there is, they end the process.

    Raises:
        ValueError: An array has a type that the format lacks.
    """
    import json

    arrays = {name: np.asarray(value, order="C") for name, value in tensors.items()}
    # Those of the widest numbers first, so that each begins at a multiple of its own width.
    names = sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    end = 0
    for name in names:
        array = arrays[name] = arrays[name].astype(arrays[name].dtype.newbyteorder("<"), copy=False)
        if array.dtype.str not in _DTYPES:
            raise ValueError(f"the model can't be saved: {name!r} has dtype {array.dtype}")
        begin, end = end, end + array.nbytes
        header[name] = {
            "dtype": _DTYPES[array.dtype.str], "shape": array.shape, "data_offsets": [begin, end],
        }  # fmt: skip
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    data = [arrays[name].reshape(-1).view(np.uint8).data for name in names]
    return [len(text).to_bytes(8, "little"), text, *data]


def read(filepath: str | os.PathLike[str]) -> Container:
    """Read what ``write`` wrote.

    Raises:
        OSError: there is no such file, or it can't be read.
        ValueError: it is damaged, or wasn't written by ``write``; the message names the fault.
    """
    import json

    from safetensors import SafetensorError, safe_open

    path = os.fsdecode(filepath)
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
            f"{path} is damaged, or not a safetensors file: {shortened(error)}{advice(path)}"
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
    elif dtype not in _DTYPES.values():
        raise ValueError(f"tensor {name!r} has dtype {dtype}, which is not supported")


def _check_format(metadata: Mapping[str, str]) -> None:
    if metadata.get("format") != FORMAT:
        raise ValueError("its metadata doesn't say that fastnn saved it")
    version = metadata.get("format_version", "")
    if not re.fullmatch("[1-9][0-9]{0,8}", version):
        raise ValueError(f"its format_version must be a whole number, got {version!r:.80}")
    if int(version) > int(VERSION):
        raise ValueError(
            f"a newer fastnn wrote it: its format_version is {version!r}, this one reads up to "
            f"{VERSION!r}; pip install --upgrade fastnn"
        )


def _parsed(loads: Any, name: str, text: str) -> Any:
    try:
        return loads(text)
    except (ValueError, RecursionError) as error:
        if name not in _KEYS:
            return None
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
