"""A model's executables: lowered once for each shape, kept for the next call."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnn.engine.executable import Executable
from fastnn.engine.threads import get_num_threads
from fastnn.errors import NonFiniteGradientError
from fastnn.lowering.builder import Updates
from fastnn.lowering.fuse import fuse
from fastnn.lowering.graph import Trace
from fastnn.lowering.lower import can_take_nonzeros, lower
from fastnn.lowering.objective import Objective
from fastnn.lowering.penalties import is_penalized
from fastnn.lowering.program import Program
from fastnn.lowering.record import Record
from fastnn.lowering.trace import trace
from fastnn.statistics import StepStatistics

if TYPE_CHECKING:
    from fastnn.graph import SymbolicTensor
    from fastnn.models.trainer import Trainer
    from fastnn.optimizers import Optimizer

_KEPT = 8
INTERVAL = 0.1
"""Seconds after which the engine comes back to Python: for signals, and to show how far it is."""

_NONZEROS = 64
"""Room for the nonzeros of a row comes in multiples of this."""

_WORK_PER_THREAD = 40_000
"""Multiply-adds in a batch that make another thread worth its waits: some microseconds of work."""


@dataclass(frozen=True)
class Signature:
    """Shapes of a model's inputs and outputs, without the batch, and the work for a row."""

    inputs: list[tuple[int, ...]]
    outputs: list[tuple[int, ...]]
    multiply_adds: int
    penalized: bool
    """Whether regularizers add to the loss."""


class Few(NamedTuple):
    """What predicting so many rows takes, kept because making it takes longer than a prediction."""

    capacity: int
    pool: list[Executable]
    order: NDArray[np.int64]
    output_shapes: list[tuple[int, ...]]
    work: int


class Executables:
    """Executables by what they are for. Training, evaluation and prediction may run in several
    Python threads: each takes an executable that no other uses.

    Attributes:
        few: By the shape of an input.
    """

    def __init__(self, model: Trainer) -> None:
        self._model = model
        self._lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        """Forget all: the graph, the slots or the objectives are others."""
        with self._lock:
            self._free: OrderedDict[tuple[Any, ...], list[Executable]] = OrderedDict()
            self._signature: Signature | None = None
            self.few: dict[tuple[int, ...], Few] = {}

    @property
    def signature(self) -> Signature:
        """Of the model, which must be built."""
        if self._signature is None:
            model = self._model
            self._signature = Signature(
                [_extents(tensor) for tensor in model.inputs],
                [_extents(tensor) for tensor in model.outputs],
                sum(variable.size for variable in model.weights),
                is_penalized(self._trace()),
            )
        return self._signature

    def scales_of_sparse_inputs(self) -> dict[int, float]:
        """Inputs that may come as nonzeros, and what each is multiplied by."""
        fused = self._trace()
        fuse(fused)
        scales = ((i, can_take_nonzeros(fused, i)) for i in range(len(self._model.inputs)))
        return {i: scale for i, scale in scales if scale is not None}

    @contextmanager
    def lend(
        self,
        capacity: int,
        objectives: Sequence[Objective],
        updates: Updates | None,
        longest_rows: Mapping[int, int],
        store: bool = False,
        window: int = 0,
    ) -> Iterator[Executable]:
        """An executable to train or evaluate with. See ``lower`` for the arguments."""
        # Rounded up, so that few programs serve all batches of an iterable.
        sparse = {i: -(-max(n, 1) // _NONZEROS) * _NONZEROS for i, n in longest_rows.items()}
        key = (
            capacity, tuple((o.weighted, o.labels, *o.all_metrics) for o in objectives),
            updates and updates.apply, store, window,
            tuple(sparse.items()), tuple(v.trainable for v in self._model.weights),
            tuple(node.layer.trainable for node in self._model.nodes),
        )  # fmt: skip
        pool = self._pool(key)
        try:
            executable = pool.pop()
        except IndexError:
            program = lower(
                self._trace(), capacity, objectives, updates, sparse, store=store, window=window
            )
            executable = Executable(program)
        try:
            yield executable
        finally:
            pool.append(executable)

    def predictors(self, capacity: int, sparse: tuple[int, ...] = ()) -> list[Executable]:
        """Free executables to predict with; one that is popped is appended again after use.

        Args:
            sparse: Inputs that come as nonzeros.
        """
        return self._pool((capacity, sparse))

    def make_predictor(self, capacity: int, sparse: tuple[int, ...] = ()) -> Executable:
        """Another one of ``predictors``, where none is free."""
        no_columns = dict.fromkeys(sparse, 0)
        program = lower(self._trace(), capacity, sparse=no_columns, predict=True)
        return Executable(program)

    def _pool(self, key: tuple[Any, ...]) -> list[Executable]:
        with self._lock:
            pool = self._free.setdefault(key, [])
            self._free.move_to_end(key)
            # Who has one of a forgotten pool puts it back there, out of reach.
            if len(self._free) > _KEPT:
                self._free.popitem(last=False)
            return pool

    def _trace(self) -> Trace:
        """A fresh trace of the model, which lowering will change."""
        model = self._model
        return trace(model.inputs, model.outputs, model.nodes)


def _extents(tensor: SymbolicTensor) -> tuple[int, ...]:
    return tuple(extent for extent in tensor.shape[1:] if extent is not None)


def threads_for(work: int) -> int:
    """Threads for a batch of ``work`` multiply-adds. No result depends on it."""
    most = get_num_threads()
    return most if most == 1 else max(1, min(most, work // _WORK_PER_THREAD))


class Observing:
    """Statistics for whoever looks at a training.

    Args:
        every: Steps of which one is looked at.
        window: Steps for which a unit must be silent to count as dead.
        take: Called with the statistics of each step that was looked at.
        at_once: Before the next step is done.
    """

    def __init__(
        self,
        every: int,
        window: int,
        take: Callable[[list[StepStatistics]], None],
        at_once: bool = False,
    ) -> None:
        self.every = every
        self.window = window
        self.take = take
        self.at_once = at_once
        self._last: Record | None = None

    def room(self, record: Record, steps: int) -> NDArray[np.float64]:
        """For the records of so many steps.

        Batches of another size, and steps that no bound proves, have programs of their own: what
        one has seen of the units goes on in the next.
        """
        if record is not self._last:
            record.go_on(self._last)
            self._last = record
        return record.room(steps, self.every)


class Training(NamedTuple):
    """What the batches of a training need beside an executable.

    Attributes:
        optimizer: Its ``iterations`` count each step that is done, even if Ctrl-C follows.
        scalars: Of the optimizer for the next n steps.
        storing: Lends an executable whose program stores gradients, for a step of which the usual
            one can't prove that they are finite.
        observing: Takes statistics, from executables with a record.
    """

    optimizer: Optimizer
    scalars: Callable[[int], NDArray[np.float32]]
    storing: Callable[[], AbstractContextManager[Executable]]
    observing: Observing | None = None

    def steps_at_a_time(self) -> int | None:
        """How many may be done before somebody must see what they showed; None for any number."""
        if self.observing is None or not self.observing.at_once:
            return None
        return -self.optimizer.iterations % self.observing.every + 1


def run_batches(
    executable: Executable,
    sources: list[Any],
    order: NDArray[np.int64],
    batch_size: int,
    sums: NDArray[np.float64],
    outputs: list[NDArray[np.float32]],
    threads: int,
    *,
    training: Training | None = None,
    one_by_one: bool = False,
    before: Callable[[int], None] | None = None,
    after: Callable[[int, int], bool] | None = None,
) -> int:
    """Run all batches of ``order``; returns how many of its rows were reached.

    Args:
        one_by_one: Come back to Python after each batch.
        before: Called with the batch's number before the engine goes on.
        after: Called with the number of batches done and of rows that they summed; True stops.

    Raises:
        NonFiniteGradientError: In training, unless ``after`` stops at that batch. It is counted for
            ``after``, but has changed nothing.
    """
    at = batches = skipped_rows = 0
    n_rows = len(order)

    def run(executable: Executable, last: int) -> int:
        steps = -(-(last - at) // batch_size)
        if training is None:
            return executable.run(
                sources, order, at, last, batch_size, None, sums, outputs, threads, INTERVAL
            )
        optimizer, observing = training.optimizer, training.observing
        records = None
        if observing is not None:
            records = observing.room(executable.program.record, steps)
        done = executable.run(
            sources, order, at, last, batch_size, training.scalars(steps), sums, outputs, threads,
            INTERVAL, optimizer, optimizer.nonfinite == "skip",
            observing.every if observing is not None else 0, records,
        )  # fmt: skip
        if observing is not None and records is not None:
            observing.take(executable.program.record.statistics(records))
        return done

    while at < n_rows:
        if before is not None:
            before(batches)
        steps = 1 if one_by_one else training.steps_at_a_time() if training is not None else None
        last = n_rows if steps is None else min(n_rows, at + steps * batch_size)
        done = run(executable, last)
        skipped_rows += executable.skipped_rows
        ran, wrong = executable, None
        if executable.unproven and training is not None:
            batches += -(-(done - at) // batch_size)
            at = done
            with training.storing() as ran:
                done = run(ran, min(n_rows, at + batch_size))
                skipped_rows += ran.skipped_rows
        batches += -(-(done - at) // batch_size)
        at = done
        if ran.nonfinite and training is not None:
            wrong = NonFiniteGradientError(
                _first_bad(ran.program), training.optimizer.iterations, batches,
                tuple(order[at : at + batch_size].tolist()),
            )  # fmt: skip
            batches, at = batches + 1, min(n_rows, at + batch_size)
        if after is not None and after(batches, at - skipped_rows):
            break
        if wrong is not None:
            raise wrong
    return at


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
