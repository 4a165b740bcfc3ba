"""Decoded pictures on the disk: a file of uint8 rows, and a manifest that says what they are.

Design: a folder of pictures and a form share a directory. In it, each order of the pictures has a
manifest of its own, which names its file of pixels. Pixels are written under a name that no
manifest knows, and are on the disk before the manifest is written, whole or not at all: whatever a
crash leaves is not believed, and swept away by the next who writes. A pixel file that another
process has mapped may be deleted; the mapping stays.

A manifest has size and times of each file, which tell that nothing has changed without opening one,
and a hash of its content: a file that was only touched or moved is not decoded again.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn._files import write_whole
from fastnn.images.form import Form
from fastnn.images.listing import Stamp

VERSION = 1
"""Of manifests, and of the way from a file to pixels: what another one wrote is not read."""

_ORDERS_KEPT = 4
"""Of one folder in one form: those used last."""

_FORMAT = "fastnn pictures"
_DIGEST_BYTES = 16


@dataclass(frozen=True)
class Entry:
    """What a manifest says.

    Attributes:
        shape: Of the pixels: (N, height, width, channels).
        pixels: Name of their file.
        good: name -> (stamp, hash) of each picture, in the order of its rows.
        bad: name -> (stamp, reason) of those that have none.
    """

    shape: tuple[int, ...]
    pixels: str
    good: dict[str, tuple[Stamp, str]]
    bad: dict[str, tuple[Stamp, str]]

    def is_of(self, names: Sequence[str], stamps: Sequence[Stamp]) -> bool:
        """Whether these are the pictures, in this order, and unchanged."""
        if len(names) != len(self.good) + len(self.bad):
            return False
        places = iter(self.good)
        for name, stamp in zip(names, stamps, strict=True):
            known = self.bad.get(name)
            if known is None:
                if next(places, None) != name:
                    return False
                known = self.good[name]
            if known[0] != stamp:
                return False
        return True


def digest_of(content: bytes) -> str:
    """The hash that a manifest has: BLAKE2b of 16 bytes, in hexadecimal."""
    from hashlib import blake2b

    return blake2b(content, digest_size=_DIGEST_BYTES).hexdigest()


def default_root() -> Path:
    """``fastnn/pictures`` in the user's directory for caches (XDG_CACHE_HOME, else ~/.cache)."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(home) if os.path.isabs(home) else Path.home() / ".cache"
    return base / "fastnn" / "pictures"


class Cache:
    """The directory that a folder of pictures in one form has.

    Attributes:
        path: The directory.
    """

    def __init__(self, root: str | os.PathLike[str] | None, folder: str, form: Form) -> None:
        folder = os.path.realpath(folder)
        self._picture = (*(form.size or ()), form.channels)
        self._about = {"folder": folder, "form": form.settings(), "version": VERSION}
        key = digest_of(json.dumps(self._about, sort_keys=True).encode())
        readable = re.sub(r"[^\w.-]", "_", os.path.basename(folder), flags=re.ASCII)[:40]
        base = default_root() if root is None else Path(root)
        self.path = base / f"{readable}-{key}"

    def find(self, names: Sequence[str], stamps: Sequence[Stamp]) -> Entry | None:
        """What is there of exactly these pictures in this order."""
        manifest = self._manifest(names)
        entry = self._read(manifest)
        if entry is None or not entry.is_of(names, stamps):
            return None
        with suppress(OSError):
            os.utime(manifest)
        return entry

    def entries(self) -> list[Entry]:
        """All that is there, last used first."""
        return [entry for entry in map(self._read, self._manifests()) if entry is not None]

    def load(self, entry: Entry) -> NDArray[np.uint8]:
        """Its pixels, memory-mapped, read-only."""
        if not entry.good:
            return np.empty(entry.shape, np.uint8)
        return np.memmap(self.path / entry.pixels, np.uint8, "r", shape=entry.shape)

    def new_pixels(self) -> str:
        """A name that no manifest knows."""
        return f"pixels-{os.urandom(8).hex()}.u8"

    def publish(self, names: Sequence[str], entry: Entry) -> None:
        """Write the manifest of pixels that are on the disk, and drop what is old.

        The lock must be held.
        """
        good = [[name, *stamp, digest] for name, (stamp, digest) in entry.good.items()]
        bad = [[name, *stamp, reason] for name, (stamp, reason) in entry.bad.items()]
        content = {
            "format": _FORMAT,
            **self._about,
            "shape": entry.shape,
            "pixels": entry.pixels,
            "pictures": good,
            "faults": bad,
        }
        write_whole(self._manifest(names), json.dumps(content).encode())

    def sweep(self) -> None:
        """Delete what is not used any more, or was left by a crash. The lock must be held."""
        manifests = self._manifests()
        kept = {manifest.name for manifest in manifests[:_ORDERS_KEPT]}
        for manifest in manifests[:_ORDERS_KEPT]:
            entry = self._read(manifest)
            kept |= {manifest.name, entry.pixels} if entry else set()
        with os.scandir(self.path) as found:
            for file in found:
                if file.name not in kept and file.name != "lock":
                    with suppress(OSError):
                        os.unlink(file.path)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """One writer at a time: others wait, and find what it has written.

        Where the file system has no locks, several may write; none reads what another has not
        finished, but a sweep can make one begin anew.
        """
        import fcntl

        self.path.mkdir(parents=True, exist_ok=True)
        with open(self.path / "lock", "ab") as file:
            with suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                with suppress(OSError):
                    fcntl.flock(file, fcntl.LOCK_UN)  # also where a forked child has the file

    def _manifest(self, names: Sequence[str]) -> Path:
        order = digest_of(json.dumps(names).encode())
        return self.path / f"manifest-{order}.json"

    def _manifests(self) -> list[Path]:
        """Last used first."""
        found = []
        with suppress(FileNotFoundError), os.scandir(self.path) as files:
            for file in files:
                if file.name.startswith("manifest-") and file.name.endswith(".json"):
                    with suppress(FileNotFoundError):
                        found.append((file.stat().st_mtime_ns, file.name))
        return [self.path / name for _, name in sorted(found, reverse=True)]

    def _read(self, manifest: Path) -> Entry | None:
        """None if it isn't there, is none of ours, or its pixels are not all there."""
        try:
            content: Any = json.loads(manifest.read_bytes())
            if any(content[key] != value for key, value in self._about_as_read().items()):
                return None
            shape = tuple(map(int, content["shape"]))
            pixels = str(content["pixels"])
            if os.path.basename(pixels) != pixels:
                return None
            if os.stat(self.path / pixels).st_size != math.prod(shape):
                return None
            good, bad = (
                {str(p[0]): ((int(p[1]), int(p[2]), int(p[3])), str(p[4])) for p in content[kind]}
                for kind in ("pictures", "faults")
            )
            if shape != (len(good), *self._picture):
                return None
        except (OSError, ValueError, LookupError, TypeError, OverflowError, RecursionError):
            return None
        return Entry(shape, pixels, good, bad)

    def _about_as_read(self) -> dict[str, Any]:
        about: dict[str, Any] = json.loads(json.dumps({"format": _FORMAT, **self._about}))
        return about
