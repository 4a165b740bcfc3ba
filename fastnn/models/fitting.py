"""The loop of fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

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
from fastnn.models.lsuv import calibrate
from fastnn.models.passes import Progress
from fastnn.models.totals import Logs
from fastnn.utils import generator

if TYPE_CHECKING:
    from fastnn.models.trainer import Trainer


class Fit:
    """One call of ``Trainer.fit``, whose arguments it takes. All of them are checked here.

    Attributes:
        rows: The data set as it came, or the batch at hand of an iterable.
    """

    rows: Dataset

    def __init__(
        self,
        model: Trainer,
        x: Any,
        y: Any,
        batch_size: int | None,
        epochs: int,
        verbose: str | int,
        callbacks: Any,
        validation_split: float,
        validation_data: Any,
        shuffle: bool,
        class_weight: Mapping[int, float] | None,
        sample_weight: Any,
        initial_epoch: int,
        steps_per_epoch: int | None,
        validation_steps: int | None,
        validation_batch_size: int | None,
        validation_freq: int,
    ) -> None:
        self.model = model
        self._calibrated = False
        if isinstance(x, ImageDataset):
            if validation_split:
                raise ValueError(
                    "fit: validation_split can't be taken from x, whose pictures may lie class by "
                    "class: give it to image_dataset_from_directory"
                )
            shuffle = bool(shuffle) and x.shuffle
            x, y, batch_size = arguments.held_arrays("fit", x, y, batch_size)
        self.epochs = check_integer("fit", "epochs", epochs, at_least=1)
        self.initial_epoch = check_integer("fit", "initial_epoch", initial_epoch, at_least=0)
        self.batch_size = arguments.count("fit", "batch_size", batch_size) or arguments.BATCH_SIZE
        self.steps = arguments.count("fit", "steps_per_epoch", steps_per_epoch)
        self.validation_steps = arguments.count("fit", "validation_steps", validation_steps)
        self.validation_batch_size = (
            arguments.count("fit", "validation_batch_size", validation_batch_size)
            or self.batch_size
        )
        self.validation_freq = check_integer("fit", "validation_freq", validation_freq, at_least=1)
        share = check_real("fit", "validation_split", validation_split, at_least=0, below=1)
        arguments.check_verbose("fit", verbose)
        self.shuffle = bool(shuffle)
        self.class_weight = class_weight
        model._check_compiled()
        self.data: Dataset | Batches
        self.validation: Dataset | Batches | None = None
        if is_batches(x) or (y is None and is_list_of_batches(x)):
            if y is not None or sample_weight is not None or share:
                raise ValueError(
                    "fit: x yields batches, so y and sample_weight must come with them, and "
                    "validation_split can't be taken from them"
                )
            self.data = Batches(x, self.steps, "x")
        else:
            if x is None:
                raise ValueError("fit: x is missing")
            self.data = feed(model, x, y, sample_weight, class_weight)
            if share and validation_data is None:
                self.data, self.validation = self._split(self.data, share)
        if validation_data is not None:
            self.validation = self._validation(validation_data)
        steps, examples = self.steps, None
        if isinstance(self.data, Dataset):
            examples = sum(self._passes(len(self.data)))
            steps = steps or -(-examples // self.batch_size)
        self.callbacks = CallbackList(
            callbacks, add_history=True, add_progbar=verbose != 0, model=model,
            epochs=self.epochs, verbose=verbose, steps=steps, examples=examples,
        )  # fmt: skip
        self._observing: Observing | None = None
        if self.callbacks.statistics_every:
            self._observing = Observing(
                self.callbacks.statistics_every, self.callbacks.statistics_window,
                self.callbacks.on_statistics, self.callbacks.statistics_at_once,
            )  # fmt: skip
        self.history = next(c for c in self.callbacks.callbacks if isinstance(c, History))

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

    def _validation(self, data: Any) -> Dataset | Batches:
        if isinstance(data, ImageDataset):
            return feed(self.model, data.images, data.labels)
        if is_batches(data) or is_list_of_batches(data):
            return Batches(data, self.validation_steps, "validation_data")
        if isinstance(data, (tuple, list)) and len(data) in (2, 3):
            return feed(self.model, *data)
        length = f" of {len(data)}" if isinstance(data, (tuple, list)) else ""
        raise ValueError(
            "fit: validation_data must be (x, y), (x, y, sample_weight) or an iterable of batches, "
            f"got {type(data).__name__}{length}"
        )

    def run(self) -> History:
        """Train."""
        model = self.model
        model.stop_training = False
        model.history = self.history
        if isinstance(self.data, Dataset):
            calibrate(model, self.data)
            self.rows = self.data.part(slice(None))
        for data in (self.data, self.validation):
            if isinstance(data, Dataset):
                data.find_nonzeros(model._executables.scales_of_sparse_inputs())
        model._initial_epoch = None
        self.callbacks.on_train_begin()
        logs: Logs = {}
        for epoch in range(model._initial_epoch or self.initial_epoch, self.epochs):
            self.callbacks.on_epoch_begin(epoch)
            logs = self._epoch()
            if self.validation is not None and (epoch + 1) % self.validation_freq == 0:
                validated = evaluate_checked(
                    model, self.validation, self.validation_batch_size, self.validation_steps,
                    self.callbacks,
                )  # fmt: skip
                logs |= {f"val_{name}": value for name, value in validated.items()}
            self.callbacks.on_epoch_end(epoch, logs)
            if model.stop_training:
                break
        model._state().finalize()
        self.callbacks.on_train_end(logs)
        return self.history

    def _epoch(self) -> Logs:
        model = self.model
        progress = Progress(model, self.callbacks, "train", self._observing)
        if isinstance(self.data, Dataset):
            for rows in self._passes(len(self.data)):
                order = self._order(len(self.data))[:rows]
                self._train(progress, self.data, order, self.batch_size)
                if model.stop_training:
                    break
            return progress.logs()
        for x, y, weight in self.data.epoch():
            dataset = feed(model, x, y, weight, self.class_weight)
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

    def _passes(self, n_rows: int) -> list[int]:
        """How many rows each pass of an epoch takes: all of them, in one pass; or, with
        steps_per_epoch, those of so many batches, in as many passes as it takes."""
        steps_of_pass = -(-n_rows // self.batch_size)
        whole, rest = divmod(self.steps or steps_of_pass, steps_of_pass)
        return [n_rows] * whole + [rest * self.batch_size] * bool(rest)

    def _order(self, n_rows: int) -> NDArray[np.int64]:
        order = np.arange(n_rows, dtype=np.int64)
        if self.shuffle:
            generator("shuffle").shuffle(order)
        return order
