"""The loop of fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn._checks import check_integer, check_real
from fastnn.callbacks import BackupAndRestore, CallbackList, History
from fastnn.data.batches import Batches, is_batches, is_list_of_batches
from fastnn.data.dataset import Dataset
from fastnn.engine.processes import Processes
from fastnn.errors import NonFiniteGradientError
from fastnn.images.dataset import ImageDataset
from fastnn.models import arguments, backups, sharing
from fastnn.models.backups import Position, Resumption, Within
from fastnn.models.evaluating import evaluate_checked
from fastnn.models.executables import Observing
from fastnn.models.feeding import feed
from fastnn.models.learner import Learner
from fastnn.models.lsuv import calibrate
from fastnn.models.passes import Pauses, Progress
from fastnn.models.totals import Logs
from fastnn.utils import generator, random_state, restore_random_state


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
        self,
        model: Learner,
        plan: Plan,
        data: FitData,
        callbacks: Any,
        verbose: str | int,
        processes: Processes | None = None,
    ) -> None:
        self.model, self.plan, self.data = model, plan, data
        self._processes = processes
        first_process = processes is None or processes.rank == 0
        self._calibrated = False
        steps, examples = plan.steps_per_epoch, None
        if isinstance(data.train, Dataset):
            examples = sum(plan.passes(len(data.train)))
            steps = steps or -(-examples // plan.rows)
        self.callbacks = CallbackList(
            callbacks, add_history=True, add_progbar=verbose != 0, model=model,
            first_process=first_process, epochs=plan.epochs, verbose=verbose, steps=steps,
            examples=examples,
        )  # fmt: skip
        self._observing: Observing | None = None
        if self.callbacks.statistics_every:
            self._observing = Observing(
                self.callbacks.statistics_every, self.callbacks.statistics_window,
                self.callbacks.on_statistics, self.callbacks.statistics_at_once,
            )  # fmt: skip
        self.history = next(c for c in self.callbacks.callbacks if isinstance(c, History))
        self._given_backup = _only_backup(self.callbacks)
        # The state is the same in all processes: the first one writes it.
        self._backup = self._given_backup if first_process else None
        self._logs: Logs = {}

    def run(self) -> History:
        """Train."""
        try:
            return self._run()
        except BaseException:  # KeyboardInterrupt may come in the middle of a callback
            self.history.complete()
            raise

    def _run(self) -> History:
        model, data = self.model, self.data
        processes = self._processes
        if processes is not None:
            sharing.check(model, self.callbacks)
            sharing.compare(
                processes, model, asdict(self.plan), self.callbacks, data.train, data.validation
            )
        model.stop_training = False
        model.history = self.history
        if isinstance(data.train, Dataset):
            calibrate(model, data.train)
            self.rows = data.train.part(slice(None))
        if processes is not None:
            sharing.share_state(processes, model)
        for each in (data.train, data.validation):
            if isinstance(each, Dataset):
                each.find_nonzeros(model._executables.scales_of_sparse_inputs())
        try:
            self.callbacks.on_train_begin()
            self._epochs()
            model._state().finalize()
            self.callbacks.on_train_end(self._logs)
        finally:
            if self._backup is not None:
                self._backup.close()
        if self._backup is not None:
            self._backup.settle()  # it came after the last border
        return self.history

    def _epochs(self) -> None:
        model, plan, data = self.model, self.plan, self.data
        resumption = self._resumption()
        first = plan.initial_epoch
        if resumption is not None:
            resumption.apply()
            first = resumption.position.epoch
            if self._backup is not None:
                self._backup.note_resumption(first)
            self._logs = resumption.position.logs
            if resumption.position.stopped:
                return
        for epoch in range(first, plan.epochs):
            self.callbacks.on_epoch_begin(epoch)
            within = None
            if resumption is not None and epoch == first:
                within = self._catch_up(resumption)
            logs = self._epoch(epoch, within)
            if data.validation is not None and (epoch + 1) % plan.validation_freq == 0:
                validated = evaluate_checked(
                    model, data.validation, plan.validation_batch_size or plan.rows,
                    plan.validation_steps, self.callbacks, self._processes,
                )  # fmt: skip
                logs |= {f"val_{name}": value for name, value in validated.items()}
            self.callbacks.on_epoch_end(epoch, logs)
            if self._processes is not None:
                sharing.agree_on_epoch(self._processes, model, epoch)
            self._logs = logs
            if self._backup is not None:
                last = model.stop_training or epoch + 1 == plan.epochs
                if self._backup.is_due(epoch_ended=True, training_ended=last):
                    self._save(epoch + 1)
            if model.stop_training:
                break

    def _epoch(self, epoch: int, within: Within | None) -> Logs:
        model, train = self.model, self.data.train
        progress = Progress(model, self.callbacks, "train", self._observing, self._processes)
        if within is not None:
            progress.restore(within.progress)
        if isinstance(train, Dataset):
            passes = self.plan.passes(len(train))
            for number in range(within.number if within else 0, len(passes)):
                random, row, then = random_state(), 0, None
                if within is not None and number == within.number:
                    random = then = within.random
                    row = within.row
                with _random_state_of(then):
                    order = self._order(len(train))[: passes[number]]
                self._train(
                    progress, train, order[row:], self.plan.rows,
                    self._pauses(epoch, number, row, random),
                )  # fmt: skip
                if model.stop_training:
                    break
            return progress.logs()
        then = within.random if within is not None else None
        done = within.number if within is not None else 0
        random = then or random_state()
        with _random_state_of(then):
            batches = train.epoch(done)
        for number, (x, y, weight) in enumerate(batches, done + 1):
            dataset = feed(model, x, y, weight, self.data.class_weight)
            if not self._calibrated:
                self._calibrated = True
                calibrate(model, dataset)
                if self._processes is not None:
                    sharing.share_state(self._processes, model)
            if self._processes is not None:
                sharing.agree_on_batch(self._processes, dataset)
            self.rows = dataset
            self._train(
                progress, dataset, np.arange(len(dataset)), len(dataset),
                self._pauses(epoch, number, 0, random),
            )  # fmt: skip
            if model.stop_training:
                break
        if not progress.rows:
            raise ValueError(
                "fit: x yielded no batch for this epoch; an iterator can't be begun again: give "
                "steps_per_epoch, or an object whose __iter__ starts anew"
            )
        return progress.logs()

    def _train(
        self,
        progress: Progress,
        dataset: Dataset,
        order: NDArray[np.int64],
        batch_size: int,
        pauses: Pauses | None,
    ) -> None:
        if not len(order):
            return
        try:
            progress.run(dataset, order, batch_size, self.model._updates(), pauses)
        except NonFiniteGradientError as error:
            error._batch = self.rows.part(np.array(error.samples))
            self.callbacks.on_nonfinite(error)
            raise

    # Backups

    def _resumption(self) -> Resumption | None:
        found = self._backup.found if self._backup is not None else None
        if self._processes is not None and self._given_backup is not None:
            found = sharing.share_backup(self._processes, found)
        if found is None:
            return None
        path, content = found
        return Resumption(content, path, self.model, self.callbacks, self._settings())

    def _catch_up(self, resumption: Resumption) -> Within | None:
        """Iterables go to where they were; in the midst of an epoch, all that its beginning may
        have changed is restored again."""
        position = resumption.position
        done = 0
        if position.within is not None:
            resumption.apply()
            done = position.within.number
        for each, drawn, in_epoch in zip(
            (self.data.train, self.data.validation), position.drawn, (done, 0), strict=True
        ):
            if isinstance(each, Batches):
                each.catch_up(drawn, in_epoch)
        if self._observing is not None:
            self._observing.restore(position.observed)
        return position.within

    def _pauses(self, epoch: int, number: int, row: int, random: dict[str, Any]) -> Pauses | None:
        """Where a pass, of which ``row`` rows are done, may be left."""
        backup = self._backup
        if backup is None:
            return None

        def reached(at: int, progress: Callable[[], dict[str, Any]]) -> None:
            if backup.is_due():
                within = row + at if isinstance(self.data.train, Dataset) else 0
                self._save(epoch, Within(number, within, random, progress()))

        return Pauses(backup.batches_to_go, reached)

    def _save(self, epoch: int, within: Within | None = None) -> None:
        assert self._backup is not None
        drawn = [
            each.drawn if isinstance(each, Batches) else 0
            for each in (self.data.train, self.data.validation)
        ]
        observed = self._observing.state() if self._observing is not None else []
        position = Position(epoch, within, self.model.stop_training, self._logs, drawn, observed)
        try:
            content = backups.capture(self.model, self.callbacks, position, self._settings())
        except MemoryError as error:
            self._backup.give_up(error)
        else:
            self._backup.save(content)

    def _settings(self) -> dict[str, Any]:
        """What must not change on the way, since the result would."""
        plan, train, validation = self.plan, self.data.train, self.data.validation
        assert self._given_backup is not None
        shared = {} if self._processes is None else {"processes": self._processes.size}
        return {
            **self._given_backup.settings,
            **shared,
            **backups.described(self.model),
            "batch_size": plan.rows,
            "shuffle": plan.shuffle,
            "steps_per_epoch": plan.steps_per_epoch,
            "validation_freq": plan.validation_freq,
            "validation_steps": plan.validation_steps,
            "rows to train on": len(train) if isinstance(train, Dataset) else None,
            "weights of rows": isinstance(train, Dataset) and train.weighted,
            "rows to validate on": len(validation) if isinstance(validation, Dataset) else None,
        }

    def _order(self, n_rows: int) -> NDArray[np.int64]:
        order = np.arange(n_rows, dtype=np.int64)
        if self.plan.shuffle:
            generator("shuffle").shuffle(order)
        return order


def _only_backup(callbacks: CallbackList) -> BackupAndRestore | None:
    found = [each for each in callbacks.callbacks if isinstance(each, BackupAndRestore)]
    if len(found) > 1:
        raise ValueError(f"fit: callbacks must have one BackupAndRestore at most, got {len(found)}")
    return found[0] if found else None


@contextmanager
def _random_state_of(state: dict[str, Any] | None) -> Iterator[None]:
    """What is drawn inside is as it was then, and counts for nothing after."""
    now = random_state()
    if state is not None:
        restore_random_state(state)
    try:
        yield
    finally:
        if state is not None:
            restore_random_state(now)
