"""What a user sees while a model works."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

from fastnn.callbacks.base import Callback, Logs, is_of_layer

SECONDS_BETWEEN_DRAWS = 0.05


class ProgbarLogger(Callback):
    """Shows training: a bar while an epoch runs, a line when it has ended.

    ``verbose`` of ``fit``, ``evaluate`` and ``predict`` chooses: 0 shows nothing, 1 bar and lines,
    2 lines, ``"auto"`` is 1 on a terminal and 2 elsewhere. The seconds in a line are those of the
    epoch with its validation; the examples a second are those of training alone. Figures of layers,
    which ``GradientHealth`` adds to the logs, are too many to be shown.
    """

    only_first_process = True

    def __init__(self) -> None:
        self._verbose = 0
        self._in_fit = False
        self._bar: Any = None
        self._title = ""
        self._begun = 0.0
        self._done = 0
        self._seconds_of_done = 0.0
        self._seconds_of_drawn = 0.0

    def set_params(self, params: Mapping[str, Any]) -> None:
        """Read ``verbose``.

        Raises:
            ValueError: it is none of "auto", 0, 1, 2.
        """
        super().set_params(params)
        verbose = params.get("verbose", "auto")
        if verbose not in ("auto", 0, 1, 2):
            raise ValueError(f"verbose must be 'auto', 0, 1 or 2, got {verbose!r}")
        self._verbose = (1 if sys.stdout.isatty() else 2) if verbose == "auto" else int(verbose)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """From now on a test is validation, which has no line of its own."""
        self._in_fit = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Remove the bar that an interruption may have left."""
        self._in_fit = False
        self._close_bar()

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Draw the bar and start the clock."""
        title = f"Epoch {epoch + 1}/{self.params.get('epochs')}"
        self._close_bar()
        if self._verbose == 1:
            self._bar = _new_bar(title, self.params.get("examples"))
        self._start(title)

    def on_train_progress(self, examples_done: int, logs: Logs | None = None) -> None:
        """Move the bar."""
        self._done = examples_done
        self._seconds_of_done = time.perf_counter() - self._begun
        # With batch hooks this is called for every batch, and drawing may take longer than one.
        if (
            self._bar is None
            or self._seconds_of_done - self._seconds_of_drawn < SECONDS_BETWEEN_DRAWS
        ):
            return
        self._seconds_of_drawn = self._seconds_of_done
        self._bar.n = examples_done
        self._bar.set_description_str("  ".join([*_texts(logs), *self._rate()]))

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Put the line in the place of the bar."""
        self._finish(logs)

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Start the clock."""
        if not self._in_fit:
            self._start("Test")

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Print the line."""
        if not self._in_fit:
            self._finish_all_examples(logs)

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Start the clock."""
        self._start("Predict")

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """Print the line."""
        self._finish_all_examples(None)

    def _start(self, title: str) -> None:
        self._title = title
        self._begun = time.perf_counter()
        self._done = 0
        self._seconds_of_drawn = 0.0

    def _finish_all_examples(self, logs: Logs | None) -> None:
        self._done = self.params.get("examples") or 0
        self._seconds_of_done = time.perf_counter() - self._begun
        self._finish(logs)

    def _finish(self, logs: Logs | None) -> None:
        self._close_bar()
        if self._verbose:
            seconds = time.perf_counter() - self._begun
            parts = [self._title, *_texts(logs), f"{seconds:.1f} s", *self._rate()]
            print("  ".join(parts), flush=True)

    def _rate(self) -> list[str]:
        if self._done == 0 or self._seconds_of_done <= 0:
            return []
        return [f"{self._done / self._seconds_of_done:.0f} examples/s"]

    def _close_bar(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _texts(logs: Logs | None) -> list[str]:
    return [
        f"{name} {value:.4f}" if abs(value) > 1e-3 or value == 0 else f"{name} {value:.3e}"
        for name, value in (logs or {}).items()
        if not is_of_layer(name)
    ]


def _new_bar(title: str, n_examples: int | None) -> Any:
    from tqdm import tqdm

    # Without the thread with which tqdm watches for slow bars: it would not survive a fork.
    make_bar: Any = type("Bar", (tqdm,), {"monitor_interval": 0})
    # The logs are the bar's description, because that part of a tqdm bar is free text.
    layout = title + " {percentage:3.0f}%|{bar}| {remaining} left  {desc}"
    return make_bar(
        total=n_examples,
        bar_format=layout,
        file=sys.stdout,
        leave=False,
        dynamic_ncols=True,
    )
