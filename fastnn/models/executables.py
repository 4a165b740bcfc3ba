"""A model's executables: lowered once for each shape, kept for the next call."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastnn.engine.executable import Executable
from fastnn.engine.threads import get_num_threads
from fastnn.lowering.lower import Updates, can_take_nonzeros, lower
from fastnn.lowering.fuse import fuse
from fastnn.lowering.objective import Objective
from fastnn.lowering.trace import Trace, trace

if TYPE_CHECKING:
    from fastnn.models.trainer import Trainer

_KEPT = 8
_INTERVAL = 0.1
"""Seconds after which the engine comes back to Python: for signals, and to show how far it is."""

_WORK_PER_THREAD = 40_000
"""Multiply-adds in a batch that make another thread worth its waits: some microseconds of work."""


class Executables:
    """Executables by what they are for. Training, evaluation and prediction may run in several
    Python threads: each takes an executable that no other uses."""

    def __init__(self, model: Trainer) -> None:
        self._model = model
        self._free: OrderedDict[tuple[Any, ...], list[Executable]] = OrderedDict()
        self._lock = threading.Lock()

    def clear(self) -> None:
        """Forget all; weights or slots have other places, or the objective is another."""
        with self._lock:
            self._free.clear()

    def trace(self) -> Trace:
        """A fresh trace of the model, which lowering will change."""
        model = self._model
        return trace(model.inputs, model.outputs, model.nodes)

    def scales_of_sparse_inputs(self) -> dict[int, float]:
        """Inputs that may come as nonzeros, and what each is multiplied by."""
        fused = self.trace()
        fuse(fused)
        scales = ((i, can_take_nonzeros(fused, i)) for i in range(len(self._model.inputs)))
        return {i: scale for i, scale in scales if scale is not None}

    def take(
        self,
        capacity: int,
        objectives: Sequence[Objective] = (),
        updates: Updates | None = None,
        sparse: dict[int, int] | None = None,
        predict: bool = False,
    ) -> tuple[tuple[Any, ...], Executable]:
        """An executable, and the key to give it back with. See ``lower`` for the arguments."""
        sparse = sparse or {}
        key = (
            capacity, tuple(objective.weighted for objective in objectives), updates is not None,
            tuple(sparse.items()), predict, tuple(v.trainable for v in self._model.weights),
        )  # fmt: skip
        with self._lock:
            free = self._free.get(key)
            if free:
                self._free.move_to_end(key)
                return key, free.pop()
        return key, Executable(lower(self.trace(), capacity, objectives, updates, sparse, predict))

    def give_back(self, key: tuple[Any, ...], executable: Executable) -> None:
        """For the next call that wants the same."""
        with self._lock:
            self._free.setdefault(key, []).append(executable)
            while len(self._free) > _KEPT:
                self._free.popitem(last=False)


def threads_for(work: int) -> int:
    """Threads for a batch of ``work`` multiply-adds. No result depends on it."""
    most = get_num_threads()
    return most if most == 1 else max(1, min(most, work // _WORK_PER_THREAD))


def run_batches(
    executable: Executable,
    sources: list[Any],
    order: NDArray[np.int64],
    batch_size: int,
    sums: NDArray[np.float64],
    outputs: list[NDArray[np.float32]],
    threads: int,
    *,
    scalars: Callable[[int], NDArray[np.float32]] | None = None,
    one_by_one: bool = False,
    before: Callable[[int], None] | None = None,
    after: Callable[[int, int], bool] | None = None,
) -> int:
    """Run all batches of ``order``; returns how many ran.

    Args:
        scalars: Of the optimizer for the next n steps.
        one_by_one: Come back to Python after each batch.
        before: Called with the batch's number before the engine goes on.
        after: Called with the number of batches and of rows done; True stops.
    """
    at = batches = 0
    n_rows = len(order)
    while at < n_rows:
        if before is not None:
            before(batches)
        last = min(n_rows, at + batch_size) if one_by_one else n_rows
        steps = -(-(last - at) // batch_size)
        reached = executable.run(
            sources, order, at, last, batch_size, scalars(steps) if scalars else None, sums, outputs,
            threads, _INTERVAL,
        )  # fmt: skip
        batches += -(-(reached - at) // batch_size)
        at = reached
        if after is not None and after(batches, at):
            break
    return batches
