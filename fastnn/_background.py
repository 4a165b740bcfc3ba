"""Work that goes on beside the thread that asks for it."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Background:
    """Does one job after another in a thread of its own; of those that wait, only the last one.

    So whoever asks never waits, and no more than two jobs are kept however slow they are.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._next: Callable[[], None] | None = None
        self._busy = False
        self._closed = False
        self._error: Exception | None = None
        self._thread: threading.Thread | None = None

    def submit(self, job: Callable[[], None]) -> None:
        """Have ``job`` done, in the place of one that has not begun yet."""
        if self._thread is None:
            thread = threading.Thread(target=self._work, name="fastnn-background")
            try:
                thread.start()
            except RuntimeError as error:  # Python's word for no memory, or by a limit, no thread
                self._error = error
                return
            self._thread = thread
        with self._changed:
            self._next = job
            self._changed.notify_all()

    def wait(self) -> None:
        """Until nothing is left to do."""
        with self._changed:
            self._changed.wait_for(lambda: self._next is None and not self._busy)

    def take_error(self) -> Exception | None:
        """What the last job that failed has raised, if not taken yet."""
        with self._changed:
            error, self._error = self._error, None
        return error

    def close(self) -> None:
        """Do what is left, and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._next is not None or self._closed)
                job, self._next = self._next, None
                if job is None:
                    return
                self._busy = True
            try:
                job()
            except Exception as error:  # whoever asked is told
                with self._changed:
                    self._error = error
            # Its snapshot must not outlive it while the thread waits for the next one.
            del job
