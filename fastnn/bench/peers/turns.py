"""Take a library's many-epoch ``fit`` one epoch at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable


class _LastTurnOver(Exception):
    """Raised out of ``fit`` when no more epochs are wanted."""


class Turns:
    """Runs ``fit(begin, end)`` in a thread that waits before each epoch until it is asked for.

    So each entrant can train one epoch in its turn, within one ``fit``, as a user would who trains
    many: what ``fit`` does once, before its first epoch, is not paid at every turn.
    """

    def __init__(self, fit: Callable[[Callable[[], None], Callable[[float], None]], None]) -> None:
        self._fit = fit
        self._asked = threading.Semaphore(0)
        self._answered = threading.Semaphore(0)
        self._over = False
        self._epochs = 0
        self._loss = 0.0
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._asked.acquire()
            if not self._over:
                self._fit(self._begin, self._end)
        except _LastTurnOver:
            pass
        except BaseException as error:
            self._error = error
        self._answered.release()

    def _begin(self) -> None:
        # The first epoch's permission has been taken in _run: what fit does before it counts as
        # part of the first epoch, which is the warm-up.
        if self._epochs > 0:
            self._asked.acquire()
        if self._over:
            raise _LastTurnOver

    def _end(self, loss: float) -> None:
        self._epochs += 1
        self._loss = loss
        self._answered.release()

    def epoch(self) -> float:
        """Let one epoch run; the loss that ``end`` was given."""
        self._asked.release()
        self._answered.acquire()
        if self._error is not None:
            raise self._error
        return self._loss

    def close(self) -> None:
        """Leave ``fit`` and wait for the thread."""
        self._over = True
        self._asked.release()
        self._thread.join()
