"""Weights in a safetensors file, with fastnn's, Keras's or PyTorch's names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from numpy.typing import NDArray

from fastnn.importing.source import Source, Tensor, grouped
from fastnn.models import container

_DTYPES = {"F16", "F32", "F64", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64"}
_KERAS_ROLES = {
    "kernel", "gamma", "beta", "moving_mean", "depthwise_kernel", "pointwise_kernel", "embeddings",
}  # fmt: skip


@contextmanager
def opened(path: str) -> Iterator[Source]:
    """The weights in a file, which is open as long as they are read.

    Raises:
        OSError: There is no such file, or it can't be read.
        ValueError: It is damaged.
    """
    from safetensors import SafetensorError, safe_open

    # Opened once here for Python's own errors: FileNotFoundError, PermissionError.
    with open(path, "rb"):
        pass
    try:
        with safe_open(path, framework="numpy") as file:
            if (file.metadata() or {}).get("format") == container.FORMAT:
                yield _own(path)
                return
            tensors = [_tensor(path, file, name) for name in file.keys()]  # noqa: SIM118
            yield _other(path, tensors)
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged, or not a safetensors file: {error}") from error


def _own(path: str) -> Source:
    weights = container.read(path).weights
    tensors = [
        Tensor(name, values.shape, lambda values=values: values)  # type: ignore[misc]
        for name, values in weights.items()
    ]
    return Source(path, grouped(tensors))


def _tensor(path: str, file: Any, name: str) -> Tensor:
    part = file.get_slice(name)

    def read() -> NDArray[Any]:
        if part.get_dtype() not in _DTYPES:
            raise ValueError(
                f"{path}: {name!r} is of type {part.get_dtype()}, which NumPy doesn't have: save "
                "it as float32"
            )
        found: NDArray[Any] = file.get_tensor(name)
        return found

    return Tensor(name, tuple(part.get_shape()), read)


def _other(path: str, tensors: list[Tensor]) -> Source:
    modules = grouped(tensors)
    is_torch = not any(_KERAS_ROLES & module.tensors.keys() for module in modules)
    # The file has its tensors in an order of its own; that of a Sequential is in its names.
    numbered = [re.fullmatch(r"(.*?)(\d+)", module.name) for module in modules]
    ordered = all(numbered) and len({match[1] for match in numbered if match}) == 1
    if ordered:
        modules.sort(key=lambda module: (len(module.name), module.name))
    return Source(path, modules, is_torch=is_torch, ordered=ordered)
