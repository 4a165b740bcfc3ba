"""Files that the commands write: whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fastnn._model_files import check_suffix


def check_writable(*paths: Path | None) -> None:
    """Find out before the work that its result has a place; paths that are None are skipped.

    Raises:
        ValueError: a path is a directory, or its directory is missing or can't be written.
    """
    for path in filter(None, paths):
        if path.is_dir():
            raise ValueError(f"{path}: is a directory, wanted a file to write")
        if not path.parent.is_dir():
            raise ValueError(f"{path}: there is no directory {path.parent}")
        if not os.access(path.parent, os.W_OK):
            raise ValueError(f"{path}: the directory {path.parent} can't be written")


def check_model_writable(path: Path | None) -> None:
    """``check_writable`` of ``--save``.

    Raises:
        ValueError: As ``check_writable``; or a model has no such suffix.
    """
    if path is not None:
        check_suffix("--save: FILE", path)
    check_writable(path)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give the path of a new file beside ``path`` that takes its place if all goes well."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def write_json(path: Path, result: Mapping[str, Any]) -> None:
    """Write ``result``; numbers that JSON has no name for (NaN, infinity) become null."""
    with replacing(path) as temporary:
        text = json.dumps(_finite(result), indent=2, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, float):  # NumPy's float64 is one
        return float(value) if abs(value) < float("inf") else None
    return value
