"""A lock that one process at a time holds, and that ends with it however it ends."""

from __future__ import annotations

import errno
import os
import weakref
from contextlib import suppress

from fastnn._warnings import warn


class FileLock:
    """Held from the beginning until ``release``, or the death of the process.

    It is ``flock``'s, which the kernel forgets with the process; the file that it is on may stay,
    and means nothing. Its descriptor does not go to programs that are started, and a child of
    ``fork`` closes its copy: it would keep the lock when its parent was killed.

    Args:
        path: Of a file that is made.
        what: Said of whoever holds it: "another training".

    Raises:
        BlockingIOError: Somebody holds it.
        OSError: The file can't be made.
    """

    def __init__(self, path: str, what: str) -> None:
        self.path = path
        self._descriptor = -1
        while self._descriptor < 0:
            self._descriptor = _locked(path, what)
        with suppress(OSError):  # for messages only
            os.truncate(self._descriptor, 0)
            os.write(self._descriptor, f"{os.getpid()}\n".encode())
        _held.add(self)

    def release(self) -> None:
        """Let others have it; the file is removed."""
        if self._descriptor >= 0:
            # While it is held: who waits for a lock on a removed file takes another one.
            with suppress(OSError):
                os.unlink(self.path)
            self._close()

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1


def _locked(path: str, what: str) -> int:
    """A descriptor with the lock on it; -1 if the file was removed in between."""
    import fcntl

    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 20).decode(errors="replace").strip()
            process = f", process {holder}," if holder else ""
            directory = os.path.dirname(path) or os.curdir
            raise BlockingIOError(
                errno.EWOULDBLOCK, f"{what}{process} uses it at this moment", directory
            ) from None
        except OSError as error:
            warn(
                f"{path} can't be locked ({error.strerror}): nothing keeps a second run from "
                "using the same directory"
            )
            return descriptor
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                return descriptor
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return -1


_held: weakref.WeakSet[FileLock] = weakref.WeakSet()


def _forget_in_child() -> None:
    for lock in list(_held):
        lock._close()


os.register_at_fork(after_in_child=_forget_in_child)
