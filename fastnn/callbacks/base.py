"""The hooks that ``fit``, ``evaluate`` and ``predict`` call, and the list that calls them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from fastnn.errors import NonFiniteGradientError
from fastnn.statistics import StepStatistics

Logs = dict[str, float]
"""Name of a loss or metric -> its mean over the epoch so far. A callback may add figures of layers,
"dense/gradient_norm", when an epoch ends."""

TRAIN_BATCH_HOOKS = (
    "on_batch_begin",
    "on_batch_end",
    "on_train_batch_begin",
    "on_train_batch_end",
)
TEST_BATCH_HOOKS = ("on_test_batch_begin", "on_test_batch_end")
PREDICT_BATCH_HOOKS = ("on_predict_batch_begin", "on_predict_batch_end")


def is_of_layer(name: str) -> bool:
    """Whether a log is a figure of a layer: only those have a slash."""
    return "/" in name


class Callback:
    """Base class: override the hooks that you need. All are Keras 3's but ``on_train_progress``,
    ``on_statistics`` and ``on_nonfinite``; and ``state_dict`` with ``load_state_dict``, if what the
    callback has learned must outlive an interruption.

    A callback without batch hooks costs nothing while an epoch runs; one with a batch hook brings
    training back to Python after every batch.

    Attributes:
        model: the model that is trained, evaluated or asked for predictions.
        params: ``verbose``, ``epochs``, ``steps`` (batches) and ``examples`` of the run; the last
            two are None where they are not known beforehand.
        statistics_every: ``on_statistics`` wants those of each step whose number, from 0, is a
            multiple of this; 0 for none. To be set before ``fit``.
        statistics_window: Steps for which a unit must be silent to count as dead in them.
        statistics_at_once: ``on_statistics`` must be called before the step after those, because it
            may end the training, which is to end at the same step each time.
        only_first_process: it writes files or prints: where several processes share a training
            (``distribution``), only the hooks of the first one's are called.
    """

    # On the class, so that a subclass need not call ``super().__init__()``.
    params: Mapping[str, Any] = MappingProxyType({})
    statistics_every: int = 0
    statistics_window: int = 0
    statistics_at_once: bool = False
    only_first_process: bool = False
    _model: Any = None

    @property
    def model(self) -> Any:
        """The model, None before ``set_model``."""
        return self._model

    def set_model(self, model: Any) -> None:
        """Called before the first hook."""
        self._model = model

    def set_params(self, params: Mapping[str, Any]) -> None:
        """Called before the first hook."""
        self.params = params

    def state_dict(self) -> dict[str, Any]:
        """What a training that goes on after an interruption must know: the counterpart of
        ``load_state_dict``. ``BackupAndRestore`` keeps it in its file.

        Returns:
            JSON values (None, bools, numbers, strings, and lists and dicts with strings as keys of
            such) and NumPy arrays of numbers. Arrays are copied. A tuple comes back as a list.
        """
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what ``state_dict`` gave in the process that was cut off.

        Called after every callback's ``on_train_begin``; and, if the training goes on in the midst
        of an epoch, once more after that epoch's ``on_epoch_begin``. So what these hooks reset is
        restored.
        """

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Called before an epoch of training; the first one is 0."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Called after an epoch and its validation, whose names in ``logs`` begin with ``val_``."""

    def on_train_progress(self, examples_done: int, logs: Logs | None = None) -> None:
        """Called about ten times a second while an epoch runs, and when its last batch is done.

        Not a batch hook: between two calls many batches run at once, if nobody has batch hooks.
        """

    def on_statistics(self, statistics: Sequence[StepStatistics]) -> None:
        """Called with the statistics of steps that the engine has done since the last call, before
        ``on_train_progress``. Not a batch hook, either."""

    def on_nonfinite(self, error: NonFiniteGradientError) -> None:
        """Called when training stops at a gradient that is not finite, before the error is raised.

        The model is as it was before that step. No other hook follows.
        """

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Another name of ``on_train_batch_begin``."""

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Another name of ``on_train_batch_end``."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before a batch of training; the first one of an epoch is 0."""
        self.on_batch_begin(batch, logs=logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after a batch of training."""
        self.on_batch_end(batch, logs=logs)

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before a batch of ``evaluate`` or of validation."""

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after a batch of ``evaluate`` or of validation."""

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before a batch of ``predict``."""

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after a batch of ``predict``."""

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Called when ``fit`` begins."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Called when ``fit`` ends."""

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Called when ``evaluate`` or validation begins."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Called when ``evaluate`` or validation ends."""

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Called when ``predict`` begins."""

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """Called when ``predict`` ends."""


class CallbackList:
    """Calls the same hook of several callbacks, in their order.

    The callbacks of one call share one ``logs`` dict: what one adds, the later ones see.

    Args:
        callbacks: a callback, a list or tuple of them, or None.
        add_history: append a ``History`` if there is none.
        add_progbar: append a ``ProgbarLogger`` if there is none.
        model: given to every callback.
        first_process: whether those are called that only the first process calls.
        params: given to every callback; see ``Callback``.

    Raises:
        TypeError: one of ``callbacks`` is not a ``Callback``.
    """

    def __init__(
        self,
        callbacks: Callback | Sequence[Callback] | None = None,
        add_history: bool = False,
        add_progbar: bool = False,
        model: Any = None,
        first_process: bool = True,
        **params: Any,
    ) -> None:
        # Here, because both are callbacks themselves.
        from fastnn.callbacks.history import History
        from fastnn.callbacks.progress import ProgbarLogger

        if callbacks is None:
            callbacks = []
        elif isinstance(callbacks, Callback):
            callbacks = [callbacks]
        elif not isinstance(callbacks, (list, tuple)):
            raise TypeError(
                "callbacks must be a Callback or a list of them, "
                f"got {callbacks!r} of type {type(callbacks).__name__}"
            )
        for callback in callbacks:
            if not isinstance(callback, Callback):
                raise TypeError(
                    f"callbacks must be Callback instances, got {callback!r} "
                    f"of type {type(callback).__name__}"
                )
        self.callbacks: list[Callback] = list(callbacks)
        if add_history and not any(isinstance(each, History) for each in self.callbacks):
            self.callbacks.append(History())
        if add_progbar and not any(isinstance(each, ProgbarLogger) for each in self.callbacks):
            self.callbacks.append(ProgbarLogger())
        self._called = [
            each for each in self.callbacks if first_process or not each.only_first_process
        ]
        self.set_params(params)
        if model is not None:
            self.set_model(model)

    @property
    def has_batch_hooks(self) -> bool:
        """Whether a callback must be called for every batch of training."""
        return self._overridden(TRAIN_BATCH_HOOKS)

    @property
    def has_test_batch_hooks(self) -> bool:
        """Whether a callback must be called for every batch of ``evaluate`` and validation."""
        return self._overridden(TEST_BATCH_HOOKS)

    @property
    def has_predict_batch_hooks(self) -> bool:
        """Whether a callback must be called for every batch of ``predict``."""
        return self._overridden(PREDICT_BATCH_HOOKS)

    def state_dict(self) -> list[dict[str, Any]]:
        """The state of each callback that keeps one, with the name of its class, in their order."""
        return [
            {"class": type(each).__name__, "state": each.state_dict()} for each in self._keepers()
        ]

    def check_state(self, states: Sequence[Mapping[str, Any]]) -> None:
        """Whether ``load_state_dict`` can take this.

        Raises:
            ValueError: It is of other callbacks, by position and name of the class.
        """
        there = [type(each).__name__ for each in self._keepers()]
        found = [state["class"] for state in states]
        if there != found:
            raise ValueError(
                f"the callbacks that keep a state must be those of the backup, in its order: "
                f"{', '.join(found)}; got {', '.join(there)}"
            )

    def load_state_dict(self, states: Sequence[Mapping[str, Any]]) -> None:
        """Give each callback what ``state_dict`` had of it.

        Raises:
            ValueError: A callback does not take it.
        """
        for each, state in zip(self._keepers(), states, strict=True):
            try:
                each.load_state_dict(dict(state["state"]))
            except (KeyError, TypeError, ValueError) as error:
                name = type(each).__name__
                raise ValueError(f"{name} does not take its state: {error!r}") from error

    def _keepers(self) -> list[Callback]:
        return [each for each in self.callbacks if type(each).state_dict is not Callback.state_dict]

    def _overridden(self, hooks: tuple[str, ...]) -> bool:
        # A hook may be a function set on the instance: it has no __func__, or another one.
        return any(
            getattr(getattr(callback, hook), "__func__", None) is not getattr(Callback, hook)
            for callback in self.callbacks
            for hook in hooks
        )

    def set_model(self, model: Any) -> None:
        """Give ``model`` to every callback."""
        for callback in self.callbacks:
            callback.set_model(model)

    def set_params(self, params: Mapping[str, Any]) -> None:
        """Give ``params`` to every callback."""
        for callback in self.callbacks:
            callback.set_params(params)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Call this hook of every callback."""
        self._call("on_epoch_begin", logs, epoch)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Call this hook of every callback."""
        self._call("on_epoch_end", logs, epoch)

    def on_train_progress(self, examples_done: int, logs: Logs | None = None) -> None:
        """Call this hook of every callback."""
        self._call("on_train_progress", logs, examples_done)

    @property
    def statistics_every(self) -> int:
        """Steps of which one must be looked at, so that every callback finds its own; or 0."""
        return math.gcd(*(callback.statistics_every for callback in self.callbacks))

    @property
    def statistics_window(self) -> int:
        """The longest that a callback asks for."""
        return max([1, *(callback.statistics_window for callback in self.callbacks)])

    @property
    def statistics_at_once(self) -> bool:
        """Whether a callback asks for it."""
        return any(callback.statistics_at_once for callback in self.callbacks)

    def on_statistics(self, statistics: Sequence[StepStatistics]) -> None:
        """Call this hook of every callback that wants statistics, with those that it wants."""
        for callback in self._called:
            every = callback.statistics_every
            wanted = [each for each in statistics if every and each.step % every == 0]
            if wanted:
                callback.on_statistics(wanted)

    def on_nonfinite(self, error: NonFiniteGradientError) -> None:
        """Call this hook of every callback."""
        for callback in self._called:
            callback.on_nonfinite(error)

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Call this hook of every callback."""
        self._call("on_train_batch_begin", logs, batch)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Call this hook of every callback."""
        self._call("on_train_batch_end", logs, batch)

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Call this hook of every callback."""
        self._call("on_test_batch_begin", logs, batch)

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Call this hook of every callback."""
        self._call("on_test_batch_end", logs, batch)

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Call this hook of every callback."""
        self._call("on_predict_batch_begin", logs, batch)

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Call this hook of every callback."""
        self._call("on_predict_batch_end", logs, batch)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Call this hook of every callback."""
        self._call("on_train_begin", logs)

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Call this hook of every callback."""
        self._call("on_train_end", logs)

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Call this hook of every callback."""
        self._call("on_test_begin", logs)

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Call this hook of every callback."""
        self._call("on_test_end", logs)

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Call this hook of every callback."""
        self._call("on_predict_begin", logs)

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """Call this hook of every callback."""
        self._call("on_predict_end", logs)

    def _call(self, hook: str, logs: Logs | None, *position: int) -> None:
        shared = {} if logs is None else dict(logs)
        for callback in self._called:
            getattr(callback, hook)(*position, shared)
