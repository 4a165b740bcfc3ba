"""The record of a training, which ``fit`` returns."""

from __future__ import annotations

from typing import Any

from fastnn.callbacks.base import Callback, Logs


class History(Callback):
    """Keeps the logs of every epoch.

    Attributes:
        history: name of a loss or metric -> its value in each epoch that ended.
        epoch: those epochs' numbers, from 0.
        params: see ``Callback``.
    """

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []
        # An epoch, how long the lists were before it, and its logs.
        self._noting: tuple[int, int, list[tuple[str, int, float]]] | None = None

    def set_model(self, model: Any) -> None:
        """The model keeps its last history, as ``model.history``."""
        super().set_model(model)
        model.history = self

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Forget the epochs' numbers, but not the values, of an earlier ``fit``, as Keras does."""
        self.epoch = []

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Append every log."""
        lengths = {name: len(values) for name, values in self.history.items()}
        found = [(name, lengths.get(name, 0), value) for name, value in (logs or {}).items()]
        self._noting = epoch, len(self.epoch), found
        self.complete()

    def complete(self) -> None:
        """Note what is left of an epoch: Ctrl-C may come between any two lines."""
        if self._noting is None:
            return
        epoch, done, logs = self._noting
        for name, length, value in logs:
            self.history.setdefault(name, [])[length:] = [value]
        self.epoch[done:] = [epoch]
        self._noting = None

    def state_dict(self) -> dict[str, Any]:
        """All that was noted."""
        return {"history": self.history, "epoch": self.epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the place of what an earlier ``fit`` left."""
        self.history = {name: list(values) for name, values in state["history"].items()}
        self.epoch = list(state["epoch"])
