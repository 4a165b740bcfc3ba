"""What an optimizer keeps of each weight."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastnn.kernels.layout import aligned_zeros
from fastnn.lowering.builder import Updates
from fastnn.optimizers.muon import Muon

if TYPE_CHECKING:
    from fastnn.optimizers import Optimizer
    from fastnn.variables import Variable

_AVERAGE = "average"
"""The name, beside those of the slots, of a weight's moving average."""


class OptimizerState:
    """The slots of each trainable weight, made when training begins, packed as the weight is."""

    def __init__(self, optimizer: Optimizer) -> None:
        self._optimizer = optimizer
        self._slots: dict[Variable, list[NDArray[np.float32]]] = {}
        self._averages: dict[Variable, NDArray[np.float32]] = {}

    def updates(self, weights: Iterable[Variable]) -> Updates:
        """For lowering."""
        optimizer = self._optimizer
        for variable in weights:
            if variable.trainable and variable not in self._slots:
                self._slots[variable] = [
                    self._first(variable, name) for name in optimizer.slots_for(variable)
                ]
                if optimizer.use_ema:
                    # The first step replaces it; but that step may be skipped.
                    self._averages[variable] = _aligned(variable.storage)
        return Updates(
            kernels={variable: optimizer.kernel_for(variable) for variable in self._slots},
            slots=self._slots,
            averages=self._averages,
            ema_momentum=optimizer.ema_momentum,
            overwrite_every=optimizer.ema_overwrite_frequency or 0,
            halts=optimizer.nonfinite != "propagate",
            clipnorm=optimizer.clipnorm or 0.0,
            clipvalue=optimizer.clipvalue or 0.0,
            global_clipnorm=optimizer.global_clipnorm or 0.0,
            adaptive_clip=optimizer.adaptive_clip or 0.0,
            muon=optimizer if isinstance(optimizer, Muon) else None,
        )

    def _first(self, variable: Variable, name: str) -> NDArray[np.float32]:
        slot: NDArray[np.float32] = aligned_zeros(variable.storage.shape)
        # The padding, too: with a gradient of 0 it takes no step.
        slot.fill(self._optimizer.initial_values.get(name, 0.0))
        return slot

    def finalize(self) -> None:
        """Training ends: each average takes its weight's place."""
        if self._optimizer.iterations:
            for variable, average in self._averages.items():
                if variable.trainable:
                    variable.storage[...] = average

    def arrays(self) -> dict[str, NDArray[Any]]:
        """By name: "iterations", and each slot as "weight's path/slot's name"."""
        state: dict[str, NDArray[Any]] = {
            "iterations": np.array(self._optimizer.iterations, np.int64)
        }
        for variable, slots in self._slots.items():
            for name, slot in zip(self._optimizer.slots_for(variable), slots, strict=True):
                state[f"{variable.path}/{name}"] = variable.unpacked(slot)
        for variable, average in self._averages.items():
            state[f"{variable.path}/{_AVERAGE}"] = variable.unpacked(average)
        return state

    def restore(self, state: Mapping[str, NDArray[Any]], weights: list[Variable]) -> None:
        """Take back what ``arrays`` gave.

        Raises:
            ValueError: It does not fit. Nothing has changed then.
        """
        averages = (_AVERAGE,) if self._optimizer.use_ema else ()
        expected = {
            f"{variable.path}/{name}": variable
            for variable in weights
            for name in (*self._optimizer.slots_for(variable), *averages)
        }
        names = set(state) - {"iterations"}
        if not names <= set(expected) or "iterations" not in state:
            raise ValueError(f"optimizer state does not fit: {sorted(names - set(expected))}")
        for name in names:
            if state[name].shape != expected[name].shape:
                raise ValueError(f"optimizer state {name} has shape {state[name].shape}")
        iterations = np.asarray(state["iterations"])
        if iterations.size != 1 or iterations.dtype.kind not in "iu" or int(iterations.item()) < 0:
            raise ValueError("optimizer state 'iterations' is not a count")
        self.updates(weights)
        for path in names:
            variable, name = expected[path], path.rpartition("/")[2]
            if variable not in self._slots:
                continue
            if name == _AVERAGE:
                variable.pack(state[path], self._averages[variable])
            else:
                number = self._optimizer.slots_for(variable).index(name)
                variable.pack(state[path], self._slots[variable][number])
        self._optimizer.iterations = int(iterations.item())

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Arrays that copy.deepcopy or pickle made are not aligned.
        self.__dict__.update(state)
        for slots in self._slots.values():
            slots[:] = map(_aligned, slots)
        self._averages = {v: _aligned(average) for v, average in self._averages.items()}


def _aligned(array: NDArray[np.float32]) -> NDArray[np.float32]:
    copy: NDArray[np.float32] = aligned_zeros(array.shape)
    copy[...] = array
    return copy
