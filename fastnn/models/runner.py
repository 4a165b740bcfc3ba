"""Runs the batches of a pass: what lies between the loops and the engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnn.engine.executable import Executable
from fastnn.engine.processes import Processes, rows_of
from fastnn.engine.sources import Rows, SparseRows
from fastnn.errors import NonFiniteGradientError
from fastnn.lowering.program import Program
from fastnn.models import executables
from fastnn.models.executables import Observing, Pool, threads_for
from fastnn.optimizers import Optimizer

_SCALARS = 8
"""Numbers of the optimizer that a step has room for."""


class Training(NamedTuple):
    """What the batches of a training need beside an executable.

    Attributes:
        optimizer: Its ``iterations`` count each step that is done, even if Ctrl-C follows.
        storing: Executables whose programs store gradients, for a step of which the usual one can't
            prove that they are finite.
        observing: Takes statistics, from executables with a record.
    """

    optimizer: Optimizer
    storing: Callable[[], Pool]
    observing: Observing | None = None

    def scalars(self, steps: int) -> NDArray[np.float32]:
        """The optimizer's numbers for the next steps."""
        optimizer = self.optimizer
        iterations = optimizer.iterations + np.arange(steps, dtype=np.int64)
        rows = optimizer.scalars(iterations, optimizer.learning_rates(iterations))
        padded = np.zeros((steps, _SCALARS), np.float32)
        padded[:, : rows.shape[1]] = rows
        return padded

    def steps_at_a_time(self) -> int | None:
        """How many may be done before somebody must see what they showed; None for any number."""
        if self.observing is None or not self.observing.at_once:
            return None
        return -self.optimizer.iterations % self.observing.every + 1


class Borders(NamedTuple):
    """What wants to hear of borders between batches.

    Attributes:
        steps_at_a_time: Batches up to the next one that it must hear of, or None; of others it
            hears when the engine comes back anyway.
        reached: Called with the rows that are done.
    """

    steps_at_a_time: Callable[[], int | None]
    reached: Callable[[int], None]


class Runner:
    """One pass over some rows: borrows an executable, goes through the batches, has a step that it
    can't prove run again by another one, and stops.

    Args:
        pool: Of executables for such batches.
        sources: In the program's order.
        order: Numbers of the rows, in the order in which they come.
        batch_size: Rows at a time.
        sums: What losses and metrics add to.
        outputs: Where predictions go.
        work: Multiply-adds of a row.
        training: To train.
        processes: Each does its rows of every batch; all have the same of everything here.
    """

    def __init__(
        self,
        pool: Pool,
        sources: list[Rows | SparseRows],
        order: NDArray[np.int64],
        batch_size: int,
        sums: NDArray[np.float64],
        outputs: list[NDArray[np.float32]],
        work: int,
        training: Training | None = None,
        processes: Processes | None = None,
    ) -> None:
        self._pool = pool
        self._sources = sources
        self._order = order
        self._batch_size = batch_size
        self._sums = sums
        self._outputs = outputs
        self._process, self._processes = 0, 1
        if processes is not None:
            self._process, self._processes = processes.rank, processes.size
        rows = rows_of(min(batch_size, len(order)), 0, self._processes)
        self._threads = threads_for(rows * work)
        self._training = training
        self._at = 0
        self._batches = 0
        self._skipped_rows = 0

    def run(
        self,
        one_by_one: bool = False,
        before: Callable[[int], None] | None = None,
        after: Callable[[int, int], bool] | None = None,
        borders: Borders | None = None,
    ) -> int:
        """Run all batches; returns how many of the rows were reached.

        Args:
            one_by_one: Come back to Python after each batch.
            before: Called with the batch's number before the engine goes on.
            after: Called with the number of batches done and of rows that they summed; True stops.
            borders: Told of borders between batches, after ``after``, unless training stops there.

        Raises:
            NonFiniteGradientError: In training, unless ``after`` stops at that batch. It is counted
                for ``after``, but has changed nothing.
        """
        training, n_rows = self._training, len(self._order)
        with self._pool.lend() as executable:
            while self._at < n_rows:
                if before is not None:
                    before(self._batches)
                steps = [1] if one_by_one else []
                for each in (training, borders):
                    steps += filter(None, [each and each.steps_at_a_time()])
                ran = self._go(executable, self._after(min(steps)) if steps else n_rows)
                wrong = self._refused(ran) if ran.nonfinite and training else None
                if after is not None and after(self._batches, self._at - self._skipped_rows):
                    break
                if wrong is not None:
                    raise wrong
                if borders is not None:
                    borders.reached(self._at)
        return self._at

    def _after(self, steps: int) -> int:
        return min(len(self._order), self._at + steps * self._batch_size)

    def _go(self, executable: Executable, last: int) -> Executable:
        """On to row ``last``, or as far as it goes; returns who ran the batch at the end."""
        self._advance(executable, last)
        if not executable.unproven or self._training is None:
            return executable
        with self._training.storing().lend() as storing:
            self._advance(storing, self._after(1))
        return storing

    def _advance(self, executable: Executable, last: int) -> None:
        training, at, size = self._training, self._at, self._batch_size
        if training is None:
            done = executable.run(
                self._sources, self._order, at, last, size, None, self._sums, self._outputs,
                self._threads, executables.INTERVAL, process=self._process,
                processes=self._processes,
            )  # fmt: skip
        else:
            optimizer, observing = training.optimizer, training.observing
            steps = -(-(last - at) // size)
            every, records = 0, None
            if observing is not None:
                every = observing.every
                records = observing.room(executable.program.record, steps)
            done = executable.run(
                self._sources, self._order, at, last, size, training.scalars(steps), self._sums,
                self._outputs, self._threads, executables.INTERVAL, optimizer,
                optimizer.nonfinite == "skip", every, records, None, self._process,
                self._processes,
            )  # fmt: skip
            if observing is not None and records is not None:
                observing.take(executable.program.record.statistics(records))
        self._skipped_rows += executable.skipped_rows
        self._batches += -(-(done - at) // size)
        self._at = done

    def _refused(self, executable: Executable) -> NonFiniteGradientError:
        """The batch at hand can't be taken: it counts as done."""
        assert self._training is not None
        last = self._after(1)
        wrong = NonFiniteGradientError(
            _first_bad(executable.program), self._training.optimizer.iterations, self._batches,
            tuple(self._order[self._at : last].tolist()),
        )  # fmt: skip
        self._batches, self._at = self._batches + 1, last
        return wrong


def _first_bad(program: Program) -> str:
    """The path of the weight where a gradient was first not finite.

    Gradients stand in the order of backward. If already the first of them is wrong, it came wrong
    out of forward: then the layer nearest to the input is named.
    """
    gradients: list[str] = list(program.gradients)
    bad: list[int] = np.flatnonzero(~np.isfinite(program.norms)).tolist()
    if bad[0] > 0:
        return gradients[bad[0]]
    layer = gradients[bad[-1]].rpartition("/")[0]
    return next(path for path in gradients if path.rpartition("/")[0] == layer)
