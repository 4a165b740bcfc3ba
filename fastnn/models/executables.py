"""A model's executables: lowered once for each key, kept for the next call."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnn.engine.executable import Executable
from fastnn.engine.processes import Processes
from fastnn.engine.threads import get_num_threads
from fastnn.engine.turns import Turns, after_fork, before_fork
from fastnn.graph import Network
from fastnn.layers.base import CHANGES
from fastnn.lowering.algorithms import ALGORITHMS
from fastnn.lowering.fuse import fuse
from fastnn.lowering.gradients.settings import Updates
from fastnn.lowering.lower import can_take_nonzeros, lower
from fastnn.lowering.nodes import EmbeddingNode
from fastnn.lowering.objective import Objective
from fastnn.lowering.penalties import is_penalized
from fastnn.lowering.program import Program
from fastnn.lowering.record import Record
from fastnn.lowering.values import Trace
from fastnn.models.frontier import frontier, trace_of
from fastnn.models.program_key import (
    ProgramKey,
    Watched,
    network_settings,
    objective_settings,
    update_settings,
)
from fastnn.statistics import StepStatistics

_KEPT = 8
INTERVAL = 0.1
"""Seconds after which the engine comes back to Python: for signals, and to show how far it is."""

_NONZEROS = 64
"""Room for the nonzeros of a row comes in multiples of this."""

_WORK_PER_THREAD = 40_000
"""Multiply-adds in a batch that make another thread worth its waits: some microseconds of work."""


@dataclass(frozen=True)
class Signature:
    """Shapes of a model's inputs and outputs, without the batch, and the work for an example."""

    inputs: list[tuple[int, ...]]
    outputs: list[tuple[int, ...]]
    multiply_adds: int
    penalized: bool
    """Whether regularizers add to the loss."""


_lock = threading.RLock()
"""Held for some looks into dictionaries, by whoever forks, too: no child finds it taken by a thread
that it does not have."""

os.register_at_fork(
    before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release
)
# Registered last, called first: a step that others wait for may need the lock to come to its end.
os.register_at_fork(before=before_fork, after_in_parent=after_fork, after_in_child=after_fork)


class Pool:
    """Executables of one key that nobody uses at the moment.

    Args:
        make: Returns a new one, and whether it is of that key: settings may have changed since the
            key was made, or another thread may be changing them.
    """

    def __init__(self, make: Callable[[], tuple[Executable, bool]]) -> None:
        self._make = make
        self._free: list[Executable] = []
        self._strays: list[Executable] = []

    def take(self) -> Executable:
        """One for the caller alone, until it gives it back."""
        try:
            return self._free.pop()
        except IndexError:
            executable, fits = self._make()
            if not fits:
                self._strays.append(executable)
            return executable

    def give(self, executable: Executable) -> None:
        """Take one back; what is not of the key is dropped."""
        if executable in self._strays:
            self._strays.remove(executable)
        else:
            self._free.append(executable)

    @contextmanager
    def lend(self) -> Iterator[Executable]:
        """One for the caller alone."""
        executable = self.take()
        try:
            yield executable
        finally:
            self.give(executable)


class Few(NamedTuple):
    """What predicting so many rows takes, kept because making it takes longer than a prediction."""

    pool: Pool
    order: NDArray[np.int64]
    output_shapes: list[tuple[int, ...]]
    work: int


class _State:
    """What follows from the settings that a network's layers have; it stands for them in a key."""

    def __init__(self, network: Network, settings: Hashable, traced: Trace) -> None:
        self.settings = settings
        steps, sources, _ = frontier(network)
        self.signature = Signature(
            [tensor.extents for tensor in sources],
            [tensor.extents for tensor in network.outputs],
            multiply_adds(traced),
            is_penalized(traced),
        )
        fuse(traced)
        scales = ((i, can_take_nonzeros(traced, i)) for i in range(len(sources)))
        self.scales = {i: scale for i, scale in scales if scale is not None}
        self.indices = index_bounds(traced)
        self.as_they_come = not steps and not self.indices


class IndexBound(NamedTuple):
    """An input holds integers from 0 to ``stop`` - 1, since the layer of this name says so."""

    layer: str
    stop: int


def index_bounds(traced: Trace) -> dict[int, IndexBound]:
    """The inputs that are read as integers; the narrowest bound of each."""
    found: dict[int, IndexBound] = {}
    for node in traced.nodes:
        if isinstance(node, EmbeddingNode):
            bound = IndexBound(node.name, node.embeddings.shape[0])
            if node.source not in found or bound.stop < found[node.source].stop:
                found[node.source] = bound
    return found


class _Look(NamedTuple):
    """What a look at the layers found. One object: who reads it gets parts that belong together,
    whoever looks again meanwhile."""

    state: _State
    watched: Watched
    few: dict[tuple[int, ...], Few]


def multiply_adds(traced: Trace) -> int:
    """The work for an example, about: each number of a weight is multiplied once for each
    position."""
    return sum(node.output.positions * v.size for node in traced.nodes for v in node.variables())


class Executables:
    """Executables by what they depend on. Training, evaluation and prediction may run in several
    Python threads: each takes an executable that no other uses.

    Attributes:
        seen: The number of ``CHANGES`` at which ``few`` was right.
    """

    def __init__(self, network: Network) -> None:
        self.seen = -1
        self._network = network
        self._turns = Turns()
        self.clear()

    def clear(self) -> None:
        """Forget all: the graph is another one."""
        with _lock:
            self._pools: OrderedDict[ProgramKey, Pool] = OrderedDict()
            self._states: OrderedDict[Hashable, _State] = OrderedDict()
            self._look: _Look | None = None

    @property
    def few(self) -> dict[tuple[int, ...], Few]:
        """By the shape of an input, as the layers were when somebody last looked."""
        look = self._look
        return {} if look is None else look.few

    @property
    def signature(self) -> Signature:
        """Of the network, which must be built."""
        return self._current().signature

    def scales_of_sparse_inputs(self) -> dict[int, float]:
        """Inputs that may come as nonzeros, and what each is multiplied by."""
        return self._current().scales

    def index_inputs(self) -> dict[int, IndexBound]:
        """Inputs that are read as integers."""
        return self._current().indices

    @property
    def take_data_as_it_comes(self) -> bool:
        """Whether arrays may go to the engine unchanged: no layer comes before it, and none takes
        integers."""
        return self._current().as_they_come

    def pool(
        self,
        capacity: int,
        objectives: Sequence[Objective],
        updates: Updates | None,
        longest_rows: Mapping[int, int],
        store: bool = False,
        window: int = 0,
        processes: Processes | None = None,
    ) -> Pool:
        """Executables to train or evaluate with. See ``lower`` for the arguments."""
        # Rounded up, so that few programs serve all batches of an iterable.
        sparse = {i: -(-max(n, 1) // _NONZEROS) * _NONZEROS for i, n in longest_rows.items()}

        def key(state: _State) -> ProgramKey:
            return ProgramKey(
                state, capacity, tuple(sparse.items()),
                tuple(map(objective_settings, objectives)), updates and update_settings(updates),
                store=store, window=window, processes=processes,
            )  # fmt: skip

        return self._pool(
            key,
            lambda traced: lower(
                traced, capacity, objectives, updates, sparse, store=store, window=window,
                processes=processes,
            ),
        )  # fmt: skip

    def lend(
        self,
        capacity: int,
        objectives: Sequence[Objective],
        updates: Updates | None,
        longest_rows: Mapping[int, int],
        store: bool = False,
        window: int = 0,
    ) -> AbstractContextManager[Executable]:
        """One of ``pool``."""
        return self.pool(capacity, objectives, updates, longest_rows, store, window).lend()

    def predictors(self, capacity: int, sparse: Iterable[int] = ()) -> Pool:
        """Executables to predict with.

        Args:
            sparse: Inputs that come as nonzeros.
        """
        no_columns = dict.fromkeys(sparse, 0)

        def key(state: _State) -> ProgramKey:
            return ProgramKey(state, capacity, tuple(no_columns.items()), predict=True)

        return self._pool(
            key, lambda traced: lower(traced, capacity, sparse=no_columns, predict=True)
        )

    def look_at_layers(self) -> None:
        """Have ``few`` right, after an attribute of some layer was set."""
        seen = CHANGES[0]
        if self._look is not None:
            self._current()
        self.seen = seen

    def _pool(
        self, key: Callable[[_State], ProgramKey], program: Callable[[Trace], Program]
    ) -> Pool:
        state = self._current()
        wanted = key(state)

        def make() -> tuple[Executable, bool]:
            traced = self._trace()
            fits = network_settings(traced) == state.settings
            made = Executable(program(traced), self._turns)
            return made, fits and key(state) == wanted

        with _lock:
            pool = self._pools.get(wanted)
            if pool is None:
                pool = self._pools[wanted] = Pool(make)
            self._pools.move_to_end(wanted)
            # Who has one of a forgotten pool puts it back there, out of reach.
            if len(self._pools) > _KEPT:
                self._pools.popitem(last=False)
            return pool

    def _current(self) -> _State:
        look = self._look
        return self._look_again() if look is None or look.watched.changed() else look.state

    def _look_again(self) -> _State:
        # Before the trace: what changes between the two is seen at the next look.
        watched = Watched([*(node.layer for node in self._network.nodes), ALGORITHMS])
        traced = self._trace()
        settings = network_settings(traced)
        with _lock:
            state = self._states.get(settings)
            if state is None:
                state = self._states[settings] = _State(self._network, settings, traced)
            self._states.move_to_end(settings)
            if len(self._states) > _KEPT:
                self._states.popitem(last=False)
            last = self._look
            few = last.few if last is not None and last.state is state else {}
            self._look = _Look(state, watched, few)
        return state

    def _trace(self) -> Trace:
        """A fresh trace of the network, which lowering will change."""
        return trace_of(self._network)


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
        self._restored: Sequence[NDArray[np.int64]] | None = None

    def state(self) -> list[NDArray[np.int64]]:
        """What the steps so far have shown of the units."""
        return list(self._restored or ()) if self._last is None else self._last.memories

    def restore(self, state: Sequence[NDArray[np.int64]]) -> None:
        """Go on from what ``state`` gave."""
        self._last, self._restored = None, state or None

    def room(self, record: Record, steps: int) -> NDArray[np.float64]:
        """For the records of so many steps.

        Batches of another size, and steps that no bound proves, have programs of their own: what
        one has seen of the units goes on in the next.
        """
        if record is not self._last:
            if self._restored is not None:
                record.remember(self._restored)
            else:
                record.go_on(self._last)
            self._last, self._restored = record, None
        return record.room(steps, self.every)
