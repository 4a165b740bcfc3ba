"""Callbacks that change the learning rate between epochs."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from numbers import Real
from typing import Any

from fastnn._checks import check_integer, check_real
from fastnn._warnings import warn
from fastnn.callbacks.base import Callback, Logs
from fastnn.callbacks.messages import print_message
from fastnn.callbacks.monitor import MonitorCallback


class LearningRateScheduler(Callback):
    """Set the learning rate before every epoch; ``learning_rate`` joins the logs.

    Args:
        schedule: ``(epoch, learning_rate) -> float``, or ``(epoch) -> float``; the first epoch
            is 0.
        verbose: 1 says the new learning rate.

    Raises:
        TypeError: ``schedule`` is not a function, or gives something else than a number.
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        if not callable(schedule):
            raise TypeError(
                "LearningRateScheduler: schedule must be a function of the epoch and the learning "
                f"rate, got {schedule!r} of type {type(schedule).__name__}"
            )
        self.schedule = schedule
        self.verbose = verbose

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Ask the schedule and set the learning rate."""
        optimizer = self.model.optimizer
        if _takes_two(self.schedule):
            learning_rate = self.schedule(epoch, optimizer.learning_rate)
        else:
            learning_rate = self.schedule(epoch)
        if isinstance(learning_rate, bool) or not isinstance(learning_rate, Real):
            raise TypeError(
                f"LearningRateScheduler: schedule must give a number, got {learning_rate!r} "
                f"of type {type(learning_rate).__name__} in epoch {epoch + 1}"
            )
        optimizer.learning_rate = float(learning_rate)
        if self.verbose:
            print_message(f"Epoch {epoch + 1}: learning rate set to {learning_rate:g}")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Add ``learning_rate`` to the logs."""
        if logs is not None:
            logs["learning_rate"] = float(self.model.optimizer.learning_rate)


def _takes_two(schedule: Callable[..., float]) -> bool:
    try:
        inspect.signature(schedule).bind(0, 0.0)
    except TypeError:
        return False
    except ValueError:  # a function written in C may have no signature
        return True
    return True


class ReduceLROnPlateau(MonitorCallback):
    """Multiply the learning rate by ``factor`` when a log has stopped improving; as Keras 3.

    ``learning_rate`` joins the logs.

    Args:
        monitor: the log's name. An epoch that does not have it warns and counts for nothing.
        factor: in (0, 1).
        patience: epochs without improvement before the learning rate falls.
        verbose: 1 says what is done.
        mode: ``"auto"``, ``"min"`` or ``"max"``.
        min_delta: a change smaller than this is no improvement.
        cooldown: epochs after a reduction that do not count.
        min_lr: the learning rate never falls below it.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta=min_delta)
        owner = type(self).__name__
        self.factor = check_real(owner, "factor", factor, above=0, below=1)
        self.patience = check_integer(owner, "patience", patience, at_least=0)
        self.verbose = verbose
        self.cooldown = check_integer(owner, "cooldown", cooldown, at_least=0)
        self.min_lr = check_real(owner, "min_lr", min_lr, at_least=0)
        self._reset()

    def _reset(self) -> None:
        self.best = None
        self.cooldown_counter = 0
        self.wait = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Begin anew, so that one instance serves several calls of ``fit``."""
        super().on_train_begin(logs)
        self._reset()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Compare, and reduce if patience is at its end."""
        logs = {} if logs is None else logs
        logs["learning_rate"] = float(self.model.optimizer.learning_rate)
        current = logs.get(self.monitor)
        if current is None:
            warn(
                f"ReduceLROnPlateau: there is no {self.monitor!r} in epoch {epoch + 1}; "
                f"there are {', '.join(logs)}"
            )
            return
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.wait = 0
        if self._is_improvement(current, self.best):
            self.best = current
            self.wait = 0
        elif self.cooldown_counter == 0:
            self.wait += 1
            if self.wait >= self.patience:
                self._reduce(epoch)

    def state_dict(self) -> dict[str, Any]:
        """The best value, and how far patience and cooldown have come."""
        return {
            "best": self.best,
            "cooldown_counter": self.cooldown_counter,
            "wait": self.wait,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with the patience that was left."""
        self.best = state["best"]
        self.cooldown_counter = state["cooldown_counter"]
        self.wait = state["wait"]

    def _reduce(self, epoch: int) -> None:
        optimizer = self.model.optimizer
        if optimizer.learning_rate <= self.min_lr:
            return
        optimizer.learning_rate = max(optimizer.learning_rate * self.factor, self.min_lr)
        self.cooldown_counter = self.cooldown
        self.wait = 0
        if self.verbose:
            print_message(
                f"Epoch {epoch + 1}: learning rate reduced to {optimizer.learning_rate:g}"
            )
