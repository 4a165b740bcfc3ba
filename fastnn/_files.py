"""Files that are written whole or not at all, and what is said of one that is at fault."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress


def shortened(text: object, most: int = 800) -> str:
    """What a file holds, for a message: beginning and end if it is of more characters."""
    whole = str(text)
    if len(whole) <= most:
        return whole
    return f"{whole[: most * 3 // 4]} ... {whole[-most // 4 :]}"


def write_whole(
    path: str | os.PathLike[str],
    content: bytes | memoryview | Sequence[bytes | memoryview],
    *,
    sync: bool = True,
    previous: str | os.PathLike[str] | None = None,
) -> None:
    """Write ``content`` to a file that takes the place of ``path`` once it is on the disk.

    Args:
        content: Or its parts, one after another.
        sync: Whether to wait for the disk, some milliseconds. Without it, the file is whole after a
            crash of the process, but perhaps not after one of the machine.
        previous: Where to, in the same directory, what is at ``path`` goes.

    Raises:
        OSError: it can't be written; what was at ``path`` is still there, or at ``previous``.
    """
    directory, name = os.path.split(os.fspath(path))
    temporary = os.path.join(directory, f".{name}.{os.urandom(8).hex()}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.writelines([content] if isinstance(content, (bytes, memoryview)) else content)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        if previous is not None and os.path.exists(path):
            os.replace(path, previous)
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.errno is not None:
            # Of a full disk it has no name, else the temporary file's.
            error.filename = os.fspath(path)
        raise
    if sync:
        _sync_directory(directory or os.curdir)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Find out whether ``write_whole`` could write a file here.

    Raises:
        OSError: not in this directory.
    """
    directory, name = os.path.split(os.fspath(path))
    probe = os.path.join(directory, f".{name}.{os.urandom(8).hex()}.tmp")
    os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    os.unlink(probe)


def remove_leftovers(path: str | os.PathLike[str]) -> None:
    """Remove what killed writers of ``path`` have left beside it. Nobody may be writing it now.

    Raises:
        OSError: the directory can't be read or changed.
    """
    directory, name = os.path.split(os.fspath(path))
    for found in os.listdir(directory or os.curdir):
        if found.startswith(f".{name}.") and found.endswith(".tmp"):
            os.unlink(os.path.join(directory, found))


def _sync_directory(directory: str) -> None:
    """Have the names in it, too, on the disk."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        # Some file systems can't, or do it anyway.
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
