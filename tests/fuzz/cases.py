"""One damaged file after another, each by its number; what may come of it."""

from __future__ import annotations

import shutil
import sys
import tempfile
import warnings
from functools import cache
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

from fuzz import idx_files, manifest_files, model_files, npz_files, picture_files, table_files

FORMATS: dict[str, ModuleType] = {
    "model": model_files,
    "idx": idx_files,
    "npz": npz_files,
    "table": table_files,
    "picture": picture_files,
    "manifest": manifest_files,
}

_FORBIDDEN = frozenset({
    "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "subprocess.Popen",
    "pickle.find_class", "socket.connect",
})  # fmt: skip
"""Audit events that no file may cause."""

Case = tuple[str, bytes]


class Fault(Exception):
    """A file was read in a way that it must not be."""


@cache
def seeds(name: str) -> list[Case]:
    """The sound files of a format."""
    found: list[Case] = FORMATS[name].seeds()
    return found


def case(name: str, number: int) -> Case:
    """The name and the content of a damaged file; the same for the same number."""
    random = Random(f"{name} {number}")
    seed = random.choice(seeds(name))
    damaged: Case = FORMATS[name].damaged(random, *seed)
    return damaged


def check(name: str, file: Case) -> str:
    """Read a file; "read", or "refused" with an error that says why and where.

    Raises:
        Fault: Anything else came of it.
    """
    format_ = FORMATS[name]
    directory = Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        with warnings.catch_warnings(record=True) as warned, _Watch():
            warnings.simplefilter("always")
            format_.load(*file, directory)
        for warning in warned:
            # Pillow's own reader of EXIF warns of what is then left alone.
            if "/PIL/" not in warning.filename and str(directory) not in str(warning.message):
                raise Fault(f"a warning that does not name the file: {warning.message!s:.300}")
    except Fault:
        raise
    except format_.ALLOWED as error:
        # Not what a library raised that happens to be a kind of ValueError, such as a decoder's.
        if type(error) not in format_.ALLOWED:
            raise Fault(f"{type(error).__name__} instead of ValueError: {error!s:.300}") from error
        message = str(error)
        if str(directory) not in message:
            raise Fault(f"the message does not name the file: {message:.300}") from error
        if len(message) > 2000:
            raise Fault(f"a message of {len(message)} characters: {message:.100}") from error
        return "refused"
    except Exception as error:
        raise Fault(f"{type(error).__name__}: {error!s:.300}") from error
    finally:
        shutil.rmtree(directory)
    return "read"


class _Watch:
    """Nothing that a file holds may be run."""

    current: _Watch | None = None
    hooked = False

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __enter__(self) -> None:
        if not _Watch.hooked:
            sys.addaudithook(_listen)  # for ever: there is no way to take it off
            _Watch.hooked = True
        _Watch.current = self

    def __exit__(self, *_: object) -> None:
        _Watch.current = None
        if self.seen:
            raise Fault(f"it ran {', '.join(self.seen)}")


def _listen(event: str, arguments: Any) -> None:
    watch = _Watch.current
    if watch is None:
        return
    if event in _FORBIDDEN or (event == "exec" and _is_text(arguments[0])):
        watch.seen.append(f"{event} {arguments!r:.200}")


def _is_text(code: Any) -> bool:
    """Whether code is of no module's file."""
    filename = code.co_filename
    return filename.startswith("<") and not filename.startswith("<frozen") and not _importing()


def _importing() -> bool:
    frame: Any = sys._getframe(2)
    while frame is not None:
        if "importlib._bootstrap" in frame.f_code.co_filename:
            return True
        frame = frame.f_back
    return False
