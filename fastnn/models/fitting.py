"""The loops of fit, evaluate and predict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastnn._checks import check_integer
from fastnn.callbacks import CallbackList, History
from fastnn.data.batches import Batches, is_batches
from fastnn.data.dataset import Dataset
from fastnn.models.executables import run_batches, threads_for
from fastnn.utils import generator

if TYPE_CHECKING:
    from fastnn.models.trainer import Logs, Trainer

DEFAULT_BATCH_SIZE = 32  # Keras's

ROWS_AT_A_TIME = 256
"""Rows evaluated or predicted at a time where nobody says; results do not depend on it."""


class Fit:
    """One call of ``Trainer.fit``; the arguments are its."""

    def __init__(
        self, model: Trainer, x: Any, y: Any, batch_size: int | None, epochs: int, verbose: str | int,
        callbacks: Any, validation_split: float, validation_data: Any, shuffle: bool,
        class_weight: Mapping[int, float] | None, sample_weight: Any, initial_epoch: int,
        steps_per_epoch: int | None, validation_steps: int | None, validation_batch_size: int | None,
        validation_freq: int,
    ) -> None:  # fmt: skip
        self.model = model
        self.epochs = check_integer("fit", "epochs", epochs, at_least=1)
        self.initial_epoch = check_integer("fit", "initial_epoch", initial_epoch, at_least=0)
        self.batch_size = _batch_size("fit", batch_size) or DEFAULT_BATCH_SIZE
        self.steps = _optional_count("steps_per_epoch", steps_per_epoch)
        self.validation_steps = _optional_count("validation_steps", validation_steps)
        self.validation_batch_size = _batch_size("fit", validation_batch_size)
        self.validation_freq = check_integer("fit", "validation_freq", validation_freq, at_least=1)
        self.verbose = _verbose(verbose)
        self.shuffle = bool(shuffle)
        self.class_weight = class_weight
        model._settled()
        if x is None:
            raise ValueError("fit: x is missing")
        if not 0.0 <= validation_split < 1.0:
            raise ValueError(f"fit: validation_split must be within [0, 1), got {validation_split}")
        self.batches: Batches | None = None
        self.dataset: Dataset | None = None
        self.validation: Any = None
        if is_batches(x):
            if y is not None or sample_weight is not None or validation_split:
                raise ValueError(
                    "fit: x yields batches, so y and sample_weight must come with them, and "
                    "validation_split can't be taken from them"
                )
            self.batches = Batches(x, self.steps, "x")
        else:
            self.dataset = model._dataset(x, y, sample_weight, class_weight)
            if validation_split:
                self._split(validation_split)
        if validation_data is not None:
            self._validate_on(validation_data)
        scales = model._executables().scales_of_sparse_inputs() if self.dataset else {}
        for dataset in (self.dataset, self.validation):
            if isinstance(dataset, Dataset):
                dataset.find_nonzeros(scales)
        self.callbacks = CallbackList(
            callbacks, add_history=True, add_progbar=self.verbose != 0, model=model,
            epochs=self.epochs, verbose=self.verbose, steps=self._steps_of_epoch(),
            examples=len(self.dataset) if self.dataset else None,
        )  # fmt: skip
        self.history = next(c for c in self.callbacks.callbacks if isinstance(c, History))

    def _split(self, share: float) -> None:
        assert self.dataset is not None
        n_rows = len(self.dataset)
        kept = int(n_rows * (1.0 - share))  # Keras's rounding
        if kept == 0 or kept == n_rows:
            raise ValueError(
                f"fit: validation_split={share} of {n_rows} rows leaves no row to "
                + ("train on" if kept == 0 else "validate on")
            )
        self.validation = self.dataset.part(slice(kept, None))
        if self.class_weight is not None:
            # as in Keras, classes weigh in training only
            self.validation.weights = [None] * len(self.validation.weights)
        self.dataset = self.dataset.part(slice(kept))

    def _validate_on(self, data: Any) -> None:
        if is_batches(data):
            self.validation = Batches(data, self.validation_steps, "validation_data")
        elif isinstance(data, (tuple, list)) and len(data) in (2, 3):
            self.validation = self.model._dataset(*data)
        else:
            raise ValueError(
                "fit: validation_data must be (x, y), (x, y, sample_weight) or an iterable of batches, "
                f"got {type(data).__name__}" + (f" of {len(data)}" if isinstance(data, (tuple, list)) else "")
            )

    def _steps_of_epoch(self) -> int | None:
        if self.dataset is None or self.steps is not None:
            return self.steps
        return -(-len(self.dataset) // self.batch_size)

    def run(self) -> History:
        """Train."""
        model = self.model
        model.stop_training = False
        model.history = self.history
        self.callbacks.on_train_begin()
        logs: Logs = {}
        try:
            for epoch in range(self.initial_epoch, self.epochs):
                self.callbacks.on_epoch_begin(epoch)
                logs = self._epoch()
                if self.validation is not None and (epoch + 1) % self.validation_freq == 0:
                    validated = _evaluate(
                        model, self.validation, self.validation_batch_size or self.batch_size,
                        self.callbacks, self.validation_steps,
                    )  # fmt: skip
                    logs |= {f"val_{name}": value for name, value in validated.items()}
                self.callbacks.on_epoch_end(epoch, logs)
                if model.stop_training:
                    break
        finally:
            model.reset_metrics()
        self.callbacks.on_train_end(logs)
        return self.history

    def _epoch(self) -> Logs:
        model = self.model
        progress = _Progress(model, self.callbacks, "train")
        if self.batches is not None:
            number = 0
            for number, (x, y, weight) in enumerate(self.batches.epoch(), start=1):
                dataset = model._dataset(x, y, weight, self.class_weight)
                self._train(dataset, np.arange(len(dataset)), len(dataset), progress)
                if model.stop_training:
                    break
            if number == 0:
                raise ValueError(
                    "fit: x yielded no batch for this epoch; an iterator can't be begun again: give "
                    "steps_per_epoch, or an object whose __iter__ starts anew"
                )
            return progress.logs()
        assert self.dataset is not None
        for order in self._orders(len(self.dataset)):
            self._train(self.dataset, order, self.batch_size, progress)
        return progress.logs()

    def _orders(self, n_rows: int) -> Iterator[NDArray[np.int64]]:
        """The rows of an epoch; with steps_per_epoch, of so many batches, in as many passes as it takes."""
        left = n_rows if self.steps is None else self.steps * self.batch_size
        while left > 0:
            order = np.arange(n_rows, dtype=np.int64)
            if self.shuffle:
                generator("shuffle").shuffle(order)
            yield order[:left]
            left -= n_rows

    def _train(self, dataset: Dataset, order: NDArray[np.int64], batch_size: int, progress: _Progress) -> None:
        progress.begin_pass(batch_size)
        self.model._pass(
            dataset, order, batch_size, progress.sums, self.model._updates(),
            one_by_one=self.callbacks.has_batch_hooks, before=progress.before, after=progress.after,
        )  # fmt: skip


class _Progress:
    """Sums of an epoch, and the callbacks that hear of them."""

    def __init__(self, model: Trainer, callbacks: CallbackList | None, phase: str) -> None:
        self.model = model
        self.callbacks = callbacks
        self.phase = phase
        self.sums = np.zeros(model._n_sums())
        self.rows = 0
        self.batch = 0
        self._rows_before = 0
        self._batch_before = 0
        self._called = bool(
            callbacks
            and (callbacks.has_batch_hooks if phase == "train" else callbacks.has_test_batch_hooks)
        )

    def logs(self) -> Logs:
        return self.model._logs(self.sums, self.rows)

    def begin_pass(self, batch_size: int) -> None:
        if len(self.sums) != self.model._n_sums():  # the first batch of an iterable built the model
            self.sums = np.zeros(self.model._n_sums())
        self._rows_before, self._batch_before = self.rows, self.batch

    def before(self, batch: int) -> None:
        if self._called:
            getattr(self.callbacks, f"on_{self.phase}_batch_begin")(self._batch_before + batch)

    def after(self, batches: int, rows: int) -> bool:
        self.rows = self._rows_before + rows
        self.batch = self._batch_before + batches
        if self._called:
            getattr(self.callbacks, f"on_{self.phase}_batch_end")(self.batch - 1, self.logs())
        if self.callbacks is not None and self.phase == "train":
            self.callbacks.on_train_progress(self.rows, self.logs())
        return self.phase == "train" and self.model.stop_training


def _evaluate(
    model: Trainer, data: Dataset | Batches, batch_size: int, callbacks: CallbackList | None,
    steps: int | None,
) -> Logs:  # fmt: skip
    """Loss and metrics of checked data."""
    if callbacks is not None:
        callbacks.on_test_begin()
    progress = _Progress(model, callbacks, "test")
    called = callbacks is not None and callbacks.has_test_batch_hooks
    if isinstance(data, Dataset):
        n_rows = len(data) if steps is None else min(len(data), steps * batch_size)
        # Without callbacks to hear of each batch, the batches are the cache's affair.
        rows_at_a_time = batch_size if called else min(n_rows, ROWS_AT_A_TIME)
        progress.begin_pass(rows_at_a_time)
        model._pass(
            data, np.arange(n_rows), rows_at_a_time, progress.sums, None,
            one_by_one=called, before=progress.before, after=progress.after,
        )  # fmt: skip
    else:
        for x, y, weight in data.epoch():
            dataset = model._dataset(x, y, weight)
            progress.begin_pass(len(dataset))
            model._pass(
                dataset, np.arange(len(dataset)), len(dataset), progress.sums, None,
                before=progress.before, after=progress.after,
            )  # fmt: skip
        if not progress.rows:
            raise ValueError("the data to evaluate yielded no batch")
    logs = progress.logs()
    if callbacks is not None:
        callbacks.on_test_end(logs)
    return logs


def evaluate(
    model: Trainer, x: Any, y: Any, batch_size: int | None, verbose: str | int, sample_weight: Any,
    steps: int | None, callbacks: Any,
) -> Logs:  # fmt: skip
    """``Trainer.evaluate``."""
    model._settled()
    size = _batch_size("evaluate", batch_size) or DEFAULT_BATCH_SIZE
    steps = _optional_count("steps", steps)
    _verbose(verbose)
    data: Dataset | Batches
    if is_batches(x):
        data = Batches(x, steps, "x")
    else:
        data = model._dataset(x, y, sample_weight)
        data.find_nonzeros(model._executables().scales_of_sparse_inputs())
    return _evaluate(model, data, size, CallbackList(callbacks, model=model), steps)


def predict(model: Trainer, x: Any, batch_size: int | None, steps: int | None, callbacks: Any) -> Any:
    """``Trainer.predict``."""
    size = _batch_size("predict", batch_size)
    steps = _optional_count("steps", steps)
    hooks = CallbackList(callbacks, model=model) if callbacks is not None else None
    if hooks is not None:
        hooks.on_predict_begin()
    if is_batches(x):
        parts = [_predict_rows(model, batch, size, hooks) for batch, _, _ in Batches(x, steps, "x").epoch()]
        if not parts:
            raise ValueError("predict: x yielded no batch")
        outputs = [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
    else:
        outputs = _predict_rows(model, x, size, hooks)
    if hooks is not None:
        hooks.on_predict_end()
    return outputs[0] if len(outputs) == 1 else outputs


def _predict_rows(
    model: Trainer, x: Any, batch_size: int | None, hooks: CallbackList | None
) -> list[NDArray[np.float32]]:
    dataset = model._dataset(x, with_targets=False)
    n_rows = len(dataset)
    called = hooks is not None and hooks.has_predict_batch_hooks
    if called:
        rows_at_a_time = batch_size or DEFAULT_BATCH_SIZE
    else:
        # a power of two, so that few programs serve all sizes
        rows_at_a_time = min(1 << (n_rows - 1).bit_length(), ROWS_AT_A_TIME)
    if n_rows >= ROWS_AT_A_TIME:
        dataset.find_nonzeros(model._executables().scales_of_sparse_inputs())
    nonzeros = {i: rows.longest_row for i, rows in dataset.nonzeros.items()}
    outputs = [
        np.empty((n_rows, *(int(n) for n in tensor.shape[1:] if n is not None)), np.float32)
        for tensor in model.outputs
    ]
    executables = model._executables()
    key, executable = executables.take(rows_at_a_time, sparse=nonzeros, predict=True)

    def before(batch: int) -> None:
        if hooks is not None and called:
            hooks.on_predict_batch_begin(batch)

    def after(batches: int, rows: int) -> bool:
        if hooks is not None and called:
            hooks.on_predict_batch_end(batches - 1, {})
        return False

    try:
        run_batches(
            executable, dataset.sources(), np.arange(n_rows), rows_at_a_time, np.zeros(0), outputs,
            threads_for(min(n_rows, rows_at_a_time) * model._multiply_adds()), one_by_one=called,
            before=before, after=after,
        )  # fmt: skip
    finally:
        executables.give_back(key, executable)
    return outputs


def _batch_size(function: str, value: int | None) -> int | None:
    return None if value is None else check_integer(function, "batch_size", value, at_least=1)


def _optional_count(argument: str, value: int | None) -> int | None:
    return None if value is None else check_integer("fit", argument, value, at_least=1)


def _verbose(verbose: str | int) -> int | str:
    if verbose not in ("auto", 0, 1, 2):
        raise ValueError(f"verbose must be 'auto', 0, 1 or 2, got {verbose!r}")
    return verbose
