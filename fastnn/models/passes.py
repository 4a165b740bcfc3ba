"""A pass over rows: training or evaluation, with the callbacks that hear of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnn.callbacks import CallbackList
from fastnn.data.dataset import Dataset
from fastnn.engine.processes import Processes, rows_of
from fastnn.errors import NonFiniteGradientError
from fastnn.lowering.gradients.settings import Updates
from fastnn.lowering.objective import Objective
from fastnn.models.executables import Observing, Pool
from fastnn.models.learner import Learner
from fastnn.models.runner import Borders, Runner, Training
from fastnn.models.sharing import agree_on_stop, gather_predictions
from fastnn.models.totals import Logs, Totals

ROWS_AT_A_TIME = 256
"""Rows evaluated or predicted at a time where nobody says; results do not depend on it."""


class Pauses(NamedTuple):
    """Who may want to keep where a pass is.

    Attributes:
        steps_at_a_time: See ``Borders``.
        reached: Called with the rows that are done, and a function that gives the state of the
            totals.
    """

    steps_at_a_time: Callable[[], int | None]
    reached: Callable[[int, Callable[[], dict[str, Any]]], None]


def run_pass(
    model: Learner,
    dataset: Dataset,
    order: NDArray[np.int64],
    batch_size: int,
    totals: Totals,
    updates: Updates | None = None,
    observing: Observing | None = None,
    *,
    one_by_one: bool = False,
    before: Callable[[int], None] | None = None,
    after: Callable[[int, int], bool] | None = None,
    pauses: Pauses | None = None,
    processes: Processes | None = None,
) -> None:
    """Train on, or evaluate, the rows ``order`` of a data set; adds to ``totals``.

    Args:
        totals: Its objectives are what the rows are held to.
        updates: To train; each step is counted in the optimizer's ``iterations``.
        observing: To take statistics of its steps.
        one_by_one, before, after: See ``Runner.run``.
        pauses: Where training could be left to be gone on with.
        processes: Each does its rows of every batch.
    """
    executables = model._executables
    objectives, weighted = objectives_for(totals.objectives, dataset)
    window = observing.window if observing is not None else 0

    capacity = batch_size if processes is None else rows_of(batch_size, 0, processes.size)

    def pool(store: bool = False) -> Pool:
        return executables.pool(
            capacity, objectives, updates, dataset.longest_rows, store, window, processes
        )

    training = None
    if updates is not None:
        training = Training(model.optimizer, lambda: pool(store=True), observing)
    signature = executables.signature
    predictions = totals.collector.room(len(order), signature.outputs)
    rows_before = totals.rows

    def count(batches: int, rows: int) -> bool:
        totals.rows = rows_before + rows
        return after is not None and after(batches, rows)

    def keep_state(at: int) -> None:
        assert pauses is not None
        pauses.reached(
            at, lambda: totals.state(totals.collector.and_more(dataset, order[:at], predictions))
        )

    reached = Runner(
        pool(), dataset.sources(weighted), order, batch_size, totals.sums, predictions,
        signature.multiply_adds, training, processes,
    ).run(
        one_by_one, before, count, pauses and Borders(pauses.steps_at_a_time, keep_state)
    )  # fmt: skip
    if processes is not None:
        gather_predictions(processes, predictions, reached, batch_size)
    totals.collector.keep(dataset, order[:reached], predictions)


def objectives_for(
    objectives: Sequence[Objective], dataset: Dataset
) -> tuple[list[Objective], bool]:
    """The objectives for this data, and whether it must give weights."""
    # Weights are needed for themselves where a weighted metric is divided by their sum.
    weighted = dataset.weighted or any(o.weighted_metrics for o in objectives)
    targets = iter(dataset.targets)
    found = [
        replace(
            o,
            weighted=weighted and o.takes_weights,
            labels=o.are_labels(next(targets)) if o.has_target else None,
        )
        for o in objectives
    ]
    return found, weighted


class Progress:
    """An epoch of training, or an evaluation, which may take several passes: its totals, and the
    callbacks that hear of them.

    Args:
        phase: "train" or "test".
        observing: Takes statistics of the steps.
        processes: Each does its rows of every batch; all have the same totals.
    """

    def __init__(
        self,
        model: Learner,
        callbacks: CallbackList,
        phase: str,
        observing: Observing | None = None,
        processes: Processes | None = None,
    ) -> None:
        self._processes = processes
        self._model = model
        self._callbacks = callbacks
        self._training = phase == "train"
        self._begin = getattr(callbacks, f"on_{phase}_batch_begin")
        self._end = getattr(callbacks, f"on_{phase}_batch_end")
        self._totals: Totals | None = None
        self._batches = 0
        self._observing = observing
        self.hears_batches = (
            callbacks.has_batch_hooks if self._training else callbacks.has_test_batch_hooks
        )

    @property
    def rows(self) -> int:
        """Rows done."""
        return self._totals.rows if self._totals is not None else 0

    def logs(self, whole: bool = True) -> Logs:
        """Means over the rows done; when the epoch is over, whole, all metrics."""
        return self._totals.logs(whole) if self._totals is not None else {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from where ``Pauses`` of another one had kept it."""
        self._totals = self._model._totals()
        self._totals.restore(state)
        self._batches = state["batches"]

    def run(
        self,
        dataset: Dataset,
        order: NDArray[np.int64],
        batch_size: int,
        updates: Updates | None = None,
        pauses: Pauses | None = None,
    ) -> None:
        """One pass."""
        if self._totals is None:  # not before: the first batch of an iterable may build the model
            self._totals = self._model._totals()
        batches_before = self._batches

        def before(batches: int) -> None:
            if self.hears_batches:
                self._begin(batches_before + batches)

        def after(batches: int, rows: int) -> bool:
            self._batches = batches_before + batches
            if self.hears_batches:
                self._end(self._batches - 1, self.logs(whole=False))
            if self._training:
                self._callbacks.on_train_progress(self.rows, self.logs(whole=False))
                if self._processes is not None and self.hears_batches:
                    agree_on_stop(self._processes, self._model)
            return self._training and self._model.stop_training

        def reached(at: int, state: Callable[[], dict[str, Any]]) -> None:
            assert pauses is not None
            pauses.reached(at, lambda: {**state(), "batches": self._batches})

        try:
            run_pass(
                self._model, dataset, order, batch_size, self._totals, updates,
                self._observing, one_by_one=self.hears_batches, before=before, after=after,
                pauses=pauses and Pauses(pauses.steps_at_a_time, reached),
                processes=self._processes,
            )  # fmt: skip
        except NonFiniteGradientError as error:
            error.batch += batches_before
            raise
