"""Stop when there is nothing more to gain."""

from __future__ import annotations

from typing import Any

from fastnn._checks import check_flag, check_integer, check_real
from fastnn._warnings import warn
from fastnn.callbacks.base import Logs
from fastnn.callbacks.messages import print_message
from fastnn.callbacks.monitor import MonitorCallback

_STATE = ("best", "best_epoch", "best_weights", "stopped_epoch", "wait")


class EarlyStopping(MonitorCallback):
    """Stop training when a log has not improved for ``patience`` epochs; Keras 3's decisions.

    Args:
        monitor: the log's name. An epoch that does not have it warns and counts for nothing.
        min_delta: a change smaller than this is no improvement.
        patience: epochs without improvement after which training stops.
        verbose: 1 says what is done.
        mode: ``"auto"``, ``"min"`` or ``"max"``.
        baseline: only a value that beats this one too begins the patience anew.
        restore_best_weights: at the end, however it came, take back the weights of the best epoch.
        start_from_epoch: epochs that are not looked at.

    Attributes:
        best: the best value.
        best_epoch: its epoch.
        best_weights: its weights, if they are to be restored.
        stopped_epoch: the epoch after which training was stopped; 0 if it was not.
        wait: epochs since the last improvement.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta=min_delta)
        owner = type(self).__name__
        self.patience = check_integer(owner, "patience", patience, at_least=0)
        self.verbose = verbose
        self.baseline = None if baseline is None else check_real(owner, "baseline", baseline)
        self.restore_best_weights = check_flag(owner, "restore_best_weights", restore_best_weights)
        self.start_from_epoch = check_integer(
            owner, "start_from_epoch", start_from_epoch, at_least=0
        )
        self._reset()

    def _reset(self) -> None:
        self.best = None
        self.best_epoch = 0
        self.best_weights: list[Any] | None = None
        self.stopped_epoch = 0
        self.wait = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Begin anew, so that one instance serves several calls of ``fit``."""
        super().on_train_begin(logs)
        self._reset()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Compare, and stop if patience is at its end."""
        logs = logs or {}
        current = logs.get(self.monitor)
        if current is None:
            warn(
                f"EarlyStopping: there is no {self.monitor!r} in epoch {epoch + 1}; "
                f"there are {', '.join(logs)}"
            )
            return
        if epoch < self.start_from_epoch:
            return
        self.wait += 1
        if self._is_improvement(current, self.best):
            self.best = current
            self.best_epoch = epoch
            if self.restore_best_weights:
                self.best_weights = self.model.get_weights()
            if self.baseline is None or self._is_improvement(current, self.baseline):
                self.wait = 0
        elif self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Take back the best weights, if asked for."""
        if self.stopped_epoch > 0 and self.verbose:
            print_message(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.best_weights is not None:
            if self.verbose:
                print_message(f"Restoring the weights of the best epoch, {self.best_epoch + 1}")
            self.model.set_weights(self.best_weights)

    def state_dict(self) -> dict[str, Any]:
        """The attributes."""
        return {name: getattr(self, name) for name in _STATE}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with the patience that was left."""
        for name in _STATE:
            setattr(self, name, state[name])
