"""Which pictures a folder holds, and of which classes."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn._checks import check_integer
from fastnn.images.decode import SUFFIXES

Stamp = tuple[int, int, int]
"""Size in bytes, time of the last change of content and of status in nanoseconds."""

_NO_STAMP: Stamp = (-1, 0, 0)
"""Of a link that leads nowhere: reading it will tell."""


@dataclass
class Listing:
    """Pictures in order.

    Attributes:
        names: Paths below the folder.
        stamps: One for each.
        labels: int32 (N,), or None.
        class_names: By label; None without labels.
    """

    names: list[str] = field(default_factory=list)
    stamps: list[Stamp] = field(default_factory=list)
    labels: NDArray[np.int32] | None = None
    class_names: list[str] | None = None

    def reordered(self, order: NDArray[np.int64]) -> Listing:
        """The pictures of these places."""
        return Listing(
            [self.names[i] for i in order],
            [self.stamps[i] for i in order],
            None if self.labels is None else self.labels[order],
            self.class_names,
        )


def list_folder(
    owner: str, directory: str, labels: Any, class_names: Sequence[str] | None, follow_links: bool
) -> Listing:
    """All pictures, in Keras's order: class by class, then by directory, then by name.

    Args:
        labels: "inferred", None or a list of integers.

    Raises:
        FileNotFoundError, NotADirectoryError: ``directory`` is none.
        ValueError: There are no pictures, or labels or class names don't fit.
    """
    if not os.path.exists(directory):
        raise FileNotFoundError(f"{owner}: {directory}: no such directory")
    if not os.path.isdir(directory):
        raise NotADirectoryError(f"{owner}: {directory}: is no directory")
    if isinstance(labels, str):
        return _by_class(owner, directory, class_names, follow_links)
    if class_names is not None:
        raise ValueError(f'{owner}: class_names can only be given with labels="inferred"')
    listing = Listing()
    _add(listing, directory, "", follow_links)
    _check_any(owner, directory, listing)
    if labels is not None:
        numbers = [check_integer(owner, "labels", label, at_least=0) for label in labels]
        if len(numbers) != len(listing.names):
            raise ValueError(
                f"{owner}: labels must be as many as the pictures in {directory}, "
                f"{len(listing.names)}, got {len(numbers)}"
            )
        listing.labels = np.array(numbers, np.int32)
        listing.class_names = [str(label) for label in sorted(set(numbers))]
    return listing


def _by_class(
    owner: str, directory: str, class_names: Sequence[str] | None, follow_links: bool
) -> Listing:
    found = sorted(
        entry.name
        for entry in os.scandir(directory)
        if entry.is_dir() and not entry.name.startswith(".")
    )
    if class_names is not None:
        class_names = list(class_names)
        unknown = [name for name in class_names if name not in found]
        if unknown or len(set(class_names)) != len(class_names):
            raise ValueError(
                f"{owner}: class_names must be different subdirectories of {directory} "
                f"({', '.join(found)}), got {class_names}"
            )
    listing = Listing(class_names=found if class_names is None else class_names)
    counts = []
    for name in listing.class_names or ():
        before = len(listing.names)
        _add(listing, directory, name, follow_links)
        counts.append(len(listing.names) - before)
    _check_any(owner, directory, listing)
    listing.labels = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    return listing


def _check_any(owner: str, directory: str, listing: Listing) -> None:
    if listing.names:
        return
    where = directory if listing.class_names is None else f"subdirectories of {directory}"
    hint = "" if listing.class_names is None else "; labels=None takes those of all directories"
    raise ValueError(f"{owner}: no pictures in {where}: none ends with {', '.join(SUFFIXES)}{hint}")


def _add(listing: Listing, directory: str, below: str, follow_links: bool) -> None:
    for place, entries in sorted(_walk(os.path.join(directory, below), follow_links)):
        relative = os.path.relpath(place, directory)
        prefix = "" if relative == "." else os.path.join(relative, "")
        for name, stamp in sorted(entries):
            listing.names.append(prefix + name)
            listing.stamps.append(stamp)


def _walk(top: str, follow_links: bool) -> Iterator[tuple[str, list[tuple[str, Stamp]]]]:
    """Each directory with the pictures that lie in it."""
    waiting, seen = [top], set()
    while waiting:
        place = waiting.pop()
        # A link may lead back to where it is.
        real = os.path.realpath(place)
        if real in seen:
            continue
        seen.add(real)
        entries = []
        with os.scandir(place) as found:
            for entry in found:
                if entry.is_dir(follow_symlinks=follow_links):
                    waiting.append(entry.path)
                elif entry.name.lower().endswith(tuple(SUFFIXES)):
                    stamp = _stamp(entry)
                    if stamp is not None:
                        entries.append((entry.name, stamp))
        yield place, entries


def _stamp(entry: os.DirEntry[str]) -> Stamp | None:
    """None if it is no file."""
    try:
        status = entry.stat()
    except OSError:
        return _NO_STAMP
    if not stat.S_ISREG(status.st_mode):
        return None
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns
