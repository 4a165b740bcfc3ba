"""The loop of fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn._checks import check_integer, check_real
from fastnn.callbacks import CallbackList, History
from fastnn.data.batches import Batches, is_batches, is_list_of_batches
from fastnn.data.dataset import Dataset
from fastnn.errors import NonFiniteGradientError
from fastnn.images.dataset import ImageDataset
from fastnn.models import arguments
from fastnn.models.evaluating import evaluate_checked
from fastnn.models.executables import Observing
from fastnn.models.feeding import feed
from fastnn.models.learner import Learner
from fastnn.models.lsuv import calibrate
from fastnn.models.passes import Progress
from fastnn.models.totals import Logs
from fastnn.utils import generator


@dataclass(kw_only=True)
class Plan:
    """How long, and in which steps, ``fit`` trains: its arguments of these names, checked.

    Raises:
        TypeError, ValueError: One is not what it must be.
    """

    batch_size: int | None
    epochs: int
    shuffle: bool
    initial_epoch: int
    steps_per_epoch: int | None
    validation_steps: int | None
    validation_batch_size: int | None
    validation_freq: int

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("initial_epoch", 0), ("validation_freq", 1)):
            setattr(self, name, check_integer("fit", name, getattr(self, name), at_least=least))
        for name in ("batch_size", "steps_per_epoch", "validation_steps", "validation_batch_size"):
            setattr(self, name, arguments.count("fit", name, getattr(self, name)))

    @property
    def rows(self) -> int:
        """Of a step."""
        return self.batch_size or arguments.BATCH_SIZE

    def passes(self, n_rows: int) -> list[int]:
        """How many rows each pass of an epoch takes: all of them, in one pass; or, with
        steps_per_epoch, those of so many batches, in as many passes as it takes."""
        steps_of_pass = -(-n_rows // self.rows)
        whole, rest = divmod(self.steps_per_epoch or steps_of_pass, steps_of_pass)
        return [n_rows] * whole + [rest * self.rows] * bool(rest)


class FitData:
    """What ``fit`` trains on, and what it validates with: its arguments of these names, checked.

    Attributes:
        train: A data set, or batches to come.
        validation: Likewise, or None.
        class_weight: For batches to come.

    Raises:
        TypeError, ValueError: They don't fit the model or each other.
    """

    def __init__(
        self,
        model: Learner,
        plan: Plan,
        *,
        x: Any,
        y: Any,
        sample_weight: Any,
        class_weight: Mapping[int, float] | None,
        validation_split: float,
        validation_data: Any,
    ) -> None:
        self.train: Dataset | Batches
        self.validation: Dataset | Batches | None = None
        self.class_weight = class_weight
        share = check_real("fit", "validation_split", validation_split, at_least=0, below=1)
        if is_batches(x) or (y is None and is_list_of_batches(x)):
            if y is not None or sample_weight is not None or share:
                raise ValueError(
                    "fit: x yields batches, so y and sample_weight must come with them, and "
                    "validation_split can't be taken from them"
                )
            self.train = Batches(x, plan.steps_per_epoch, "x")
        else:
            if x is None:
                raise ValueError("fit: x is missing")
            self.train = feed(model, x, y, sample_weight, class_weight)
            if share and validation_data is None:
                self.train, self.validation = self._split(self.train, share)
        if validation_data is not None:
            self.validation = _validation(model, validation_data, plan.validation_steps)

    def _split(self, dataset: Dataset, share: float) -> tuple[Dataset, Dataset]:
        n_rows = len(dataset)
        kept = int(n_rows * (1.0 - share))  # Keras's rounding
        if kept == 0 or kept == n_rows:
            raise ValueError(
                f"fit: validation_split={share} of {n_rows} rows leaves no row to "
                + ("train on" if kept == 0 else "validate on")
            )
        validation = dataset.part(slice(kept, None))
        if self.class_weight is not None:
            # as in Keras, classes weigh in training only
            validation.weights = [None] * len(validation.weights)
        return dataset.part(slice(kept)), validation


def _validation(model: Learner, data: Any, steps: int | None) -> Dataset | Batches:
    if isinstance(data, ImageDataset):
        return feed(model, data.images, data.labels)
    if is_batches(data) or is_list_of_batches(data):
        return Batches(data, steps, "validation_data")
    if isinstance(data, (tuple, list)) and len(data) in (2, 3):
        return feed(model, *data)
    length = f" of {len(data)}" if isinstance(data, (tuple, list)) else ""
    raise ValueError(
        "fit: validation_data must be (x, y), (x, y, sample_weight) or an iterable of batches, "
        f"got {type(data).__name__}{length}"
    )


class Fit:
    """One call of ``fit``.

    Attributes:
        rows: The data set as it came, or the batch at hand of an iterable.
    """

    rows: Dataset

    def __init__(
        self, model: Learner, plan: Plan, data: FitData, callbacks: Any, verbose: str | int
    ) -> None:
        self.model, self.plan, self.data = model, plan, data
        self._calibrated = False
        steps, examples = plan.steps_per_epoch, None
        if isinstance(data.train, Dataset):
            examples = sum(plan.passes(len(data.train)))
            steps = steps or -(-examples // plan.rows)
        self.callbacks = CallbackList(
            callbacks, add_history=True, add_progbar=verbose != 0, model=model,
            epochs=plan.epochs, verbose=verbose, steps=steps, examples=examples,
        )  # fmt: skip
        self._observing: Observing | None = None
        if self.callbacks.statistics_every:
            self._observing = Observing(
                self.callbacks.statistics_every, self.callbacks.statistics_window,
                self.callbacks.on_statistics, self.callbacks.statistics_at_once,
            )  # fmt: skip
        self.history = next(c for c in self.callbacks.callbacks if isinstance(c, History))

    def run(self) -> History:
        """Train."""
        try:
            return self._run()
        except BaseException:  # KeyboardInterrupt may come in the middle of a callback
            self.history.complete()
            raise

    def _run(self) -> History:
        model, plan, data = self.model, self.plan, self.data
        model.stop_training = False
        model.history = self.history
        if isinstance(data.train, Dataset):
            calibrate(model, data.train)
            self.rows = data.train.part(slice(None))
        for each in (data.train, data.validation):
            if isinstance(each, Dataset):
                each.find_nonzeros(model._executables.scales_of_sparse_inputs())
        model._initial_epoch = None
        self.callbacks.on_train_begin()
        logs: Logs = {}
        for epoch in range(model._initial_epoch or plan.initial_epoch, plan.epochs):
            self.callbacks.on_epoch_begin(epoch)
            logs = self._epoch()
            if data.validation is not None and (epoch + 1) % plan.validation_freq == 0:
                validated = evaluate_checked(
                    model, data.validation, plan.validation_batch_size or plan.rows,
                    plan.validation_steps, self.callbacks,
                )  # fmt: skip
                logs |= {f"val_{name}": value for name, value in validated.items()}
            self.callbacks.on_epoch_end(epoch, logs)
            if model.stop_training:
                break
        model._state().finalize()
        self.callbacks.on_train_end(logs)
        return self.history

    def _epoch(self) -> Logs:
        model, train = self.model, self.data.train
        progress = Progress(model, self.callbacks, "train", self._observing)
        if isinstance(train, Dataset):
            for rows in self.plan.passes(len(train)):
                order = self._order(len(train))[:rows]
                self._train(progress, train, order, self.plan.rows)
                if model.stop_training:
                    break
            return progress.logs()
        for x, y, weight in train.epoch():
            dataset = feed(model, x, y, weight, self.data.class_weight)
            if not self._calibrated:
                self._calibrated = True
                calibrate(model, dataset)
            self.rows = dataset
            self._train(progress, dataset, np.arange(len(dataset)), len(dataset))
            if model.stop_training:
                break
        if not progress.rows:
            raise ValueError(
                "fit: x yielded no batch for this epoch; an iterator can't be begun again: give "
                "steps_per_epoch, or an object whose __iter__ starts anew"
            )
        return progress.logs()

    def _train(
        self, progress: Progress, dataset: Dataset, order: NDArray[np.int64], batch_size: int
    ) -> None:
        try:
            progress.run(dataset, order, batch_size, self.model._updates())
        except NonFiniteGradientError as error:
            error._batch = self.rows.part(np.array(error.samples))
            self.callbacks.on_nonfinite(error)
            raise

    def _order(self, n_rows: int) -> NDArray[np.int64]:
        order = np.arange(n_rows, dtype=np.int64)
        if self.plan.shuffle:
            generator("shuffle").shuffle(order)
        return order
