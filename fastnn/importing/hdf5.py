"""Weights in the files that Keras 3 writes: ``.weights.h5``, and ``.keras``, which has one inside.

A file is untrusted: only datasets that lie in it are read, of a shape that fits, and nothing is
unpickled. A link to another file, or a dataset whose bytes are elsewhere, is refused. Texts in
attributes, the names of layers among them, are left alone: in a damaged file HDF5 may look for one
for ever. So the ``.h5`` of Keras 2, in which the order of the layers is such a text, isn't read.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.importing.source import Module, Source, Tensor

_INSIDE = "model.weights.h5"
"""The file in a ``.keras``, which is a zip."""
_NOT_WEIGHTS = re.compile(r"^optimizer(/|$)|(^|/)seed_generator(_\d+)?/vars$|^_?metrics?(/|$)")
_MOST_OBJECTS = 100_000
"""Groups and datasets; more are no weights of a net."""
_DEEPEST = 100
"""Groups within groups: a file can have a group within itself."""


@contextmanager
def opened(path: str) -> Iterator[Source]:
    """The weights in a file, which is open as long as they are read.

    Raises:
        ImportError: h5py is not installed.
        OSError: There is no such file, or it can't be read.
        ValueError: It is damaged, or no file of Keras's.
    """
    try:
        import h5py
    except ImportError as error:
        raise ImportError(
            "files of Keras are read by h5py, which is not installed: pip install 'fastnn[keras]'",
            name="h5py",
        ) from error
    with ExitStack() as stack:
        file: Any = stack.enter_context(open(path, "rb"))
        try:
            if path.endswith(".keras"):
                file = stack.enter_context(zipfile.ZipFile(file))
                file = stack.enter_context(file.open(_INSIDE))
            root = stack.enter_context(h5py.File(file, "r"))
            source = _source(path, root)
        except KeyError as error:
            raise ValueError(f"{path} holds no {_INSIDE}, as a file of Keras does") from error
        except (OSError, RuntimeError, zipfile.BadZipFile, NotImplementedError) as error:
            raise ValueError(f"{path} is damaged, or no file of Keras's: {error}") from error
        yield source


def _source(path: str, root: Any) -> Source:
    """Every ``layers/dense_1/vars/0``."""
    if "layers" not in root and "_layer_checkpoint_dependencies" not in root:
        raise ValueError(
            f"{path} holds no weights as Keras 3 writes them: load it in Keras, and pass the model "
            "or save it with save_weights('FILE.weights.h5')"
        )
    modules = []
    for place, group in _groups(path, root):
        if place.rpartition("/")[2] != "vars" or _NOT_WEIGHTS.search(place):
            continue
        names = sorted(group.keys(), key=lambda name: (len(name), name))
        tensors = {name: _tensor(path, f"{place}/{name}", group, name) for name in names}
        if tensors:
            modules.append(Module(place.removesuffix("/vars"), tensors))
    return Source(path, modules, ordered=False, counted=True)


def _groups(path: str, root: Any) -> Iterator[tuple[str, Any]]:
    """All groups by their paths; ValueError for one that is no part of the file."""
    import h5py

    waiting = [("", root)]
    seen = 0
    while waiting:
        place, group = waiting.pop()
        if place.count("/") > _DEEPEST:
            raise ValueError(f"{path}: it has more than {_DEEPEST} groups within each other")
        for name in group:
            if not isinstance(name, str):
                raise ValueError(f"{path}: the name {name!r} in it is no text")
            seen += 1
            if seen > _MOST_OBJECTS:
                raise ValueError(f"{path}: it has more than {_MOST_OBJECTS:,} groups and datasets")
            if group.get(name, getclass=True, getlink=True) is not h5py.HardLink:
                raise ValueError(
                    f"{path}: {place}/{name} in it is a link, which Keras doesn't write"
                )
            if group.get(name, getclass=True) is h5py.Group:
                waiting.append((f"{place}/{name}".lstrip("/"), group[name]))
        yield place, group


def _member(path: str, group: Any, name: str) -> Any:
    import h5py

    if group.get(name, getclass=True, getlink=True) is not h5py.HardLink:
        raise ValueError(f"{path}: {group.name}/{name} is missing, or a link")
    return group[name]


def _tensor(path: str, title: str, group: Any, name: str) -> Tensor:
    import h5py

    dataset = _member(path, group, name)
    if not isinstance(dataset, h5py.Dataset) or dataset.shape is None:
        raise ValueError(f"{path}: {title} is no array")
    if dataset.external or dataset.is_virtual:
        raise ValueError(f"{path}: the numbers of {title} are in another file")
    if dataset.dtype.kind not in "fiu":
        raise ValueError(f"{path}: {title} must hold real numbers, got {dataset.dtype}")

    def read() -> NDArray[Any]:
        try:
            return np.asarray(dataset[()])
        except (OSError, RuntimeError) as error:
            raise ValueError(f"{path} is damaged: {title}: {error}") from error

    return Tensor(title, tuple(dataset.shape), read)
