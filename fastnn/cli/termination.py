"""SIGTERM while a command works: what a batch system, a container or a shutdown sends first."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_TOGETHER = 0.5
"""Seconds within which several are one: ``timeout``, say, sends its own to the process, then to its
group."""


class Terminated(KeyboardInterrupt):
    """SIGTERM came.

    A KeyboardInterrupt, since it asks for the same: whatever a Ctrl-C leaves whole stays whole.
    """


_deferred: Callable[[KeyboardInterrupt], bool] | None = None


@contextmanager
def terminable() -> Iterator[None]:
    """Have SIGTERM raise ``Terminated``, until the block ends.

    Where it is ignored or handled by somebody else, or outside of the main thread, nothing changes.
    """
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    ):
        yield
        return
    came: float | None = None

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal came
        first = came is None
        if came is not None and time.monotonic() - came <= _TOGETHER:
            return
        came = time.monotonic()
        if not (first and _deferred is not None and _deferred(Terminated())):
            raise Terminated

    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def deferred(to: Callable[[KeyboardInterrupt], bool]) -> Iterator[None]:
    """Within the block, have SIGTERM and Ctrl-C call ``to`` with the error, which raises it when it
    is time. Where it returns False it is raised at once, and so are a second Ctrl-C, and a SIGTERM
    half a second after the first."""
    global _deferred
    before = signal.getsignal(signal.SIGINT)
    came = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal came
        first, came = not came, True
        if not (first and to(KeyboardInterrupt())):
            raise KeyboardInterrupt

    here = threading.current_thread() is threading.main_thread()
    takes = here and before is signal.default_int_handler
    _deferred = to
    if takes:
        signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        if takes:
            signal.signal(signal.SIGINT, before)
        _deferred = None


def ignore() -> None:
    """From now on SIGTERM changes nothing: what it asks for is being done. SIGINT still ends it."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
