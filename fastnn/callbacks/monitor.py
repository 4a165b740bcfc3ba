"""What EarlyStopping, ModelCheckpoint and ReduceLROnPlateau share: is a value the best so far?"""

from __future__ import annotations

from typing import Literal

from fastnn._checks import check_choice, check_real
from fastnn.callbacks.base import Callback, Logs


class MonitorCallback(Callback):
    """Base class of callbacks that watch one of the logs.

    Args:
        monitor: the log's name.
        mode: ``"min"``, ``"max"``, or ``"auto"``: min for a loss, max for an accuracy, else what
            the model's metric of this name says.
        best: the value to beat; None for the first one that comes.
        min_delta: a change smaller than this is no improvement.

    Raises:
        ValueError: ``mode`` is none of these. (Keras warns and takes ``"auto"``.)
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        mode: str = "auto",
        best: float | None = None,
        min_delta: float = 0.0,
    ) -> None:
        owner = type(self).__name__
        check_choice(owner, "mode", mode, ("auto", "min", "max"))
        self.monitor = monitor
        self.mode = mode
        self.best = best
        self.min_delta = abs(check_real(owner, "min_delta", min_delta))

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Raise now, not after an epoch, if it can't be told which values are good."""
        self._direction()

    def _is_improvement(self, value: float, reference: float | None) -> bool:
        """Whether ``value`` beats ``reference`` by more than ``min_delta``; anything beats None."""
        if reference is None:
            return True
        if self._direction() == "min":
            return value + self.min_delta < reference
        return value - self.min_delta > reference

    def _direction(self) -> Literal["min", "max"]:
        if self.mode == "min" or self.mode == "max":
            return "min" if self.mode == "min" else "max"
        name = self.monitor.removeprefix("val_")
        if name.endswith("loss"):
            return "min"
        # With several outputs the output's name stands before the metric's.
        for metric in getattr(self.model, "metrics", ()):
            if name == metric.name or name.endswith(f"_{metric.name}"):
                direction: Literal["min", "max"] | None = metric.direction
                if direction is not None:
                    return direction
        if name.endswith(("acc", "accuracy")):
            return "max"
        raise ValueError(
            f"{type(self).__name__}: whether a high or a low {self.monitor!r} is good can't be "
            "told from its name; give mode='max' or mode='min'"
        )
