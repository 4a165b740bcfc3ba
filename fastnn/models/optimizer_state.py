"""What an optimizer keeps of each weight."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastnn.kernels.layout import aligned_zeros, pack, unpack
from fastnn.lowering.builder import Updates

if TYPE_CHECKING:
    from fastnn.optimizers import Optimizer
    from fastnn.variables import Variable


class OptimizerState:
    """The slots of each trainable weight, made when training begins, packed as the weight is."""

    def __init__(self, optimizer: Optimizer) -> None:
        self._optimizer = optimizer
        self._slots: dict[Variable, list[NDArray[np.float32]]] = {}

    def updates(self, weights: Iterable[Variable]) -> Updates:
        """For lowering."""
        for variable in weights:
            if variable.trainable and variable not in self._slots:
                self._slots[variable] = [
                    self._first(variable, name) for name in self._optimizer.slots_for(variable)
                ]
        return Updates(self._optimizer.kernel, self._slots)

    def _first(self, variable: Variable, name: str) -> NDArray[np.float32]:
        slot: NDArray[np.float32] = aligned_zeros(variable.storage.shape)
        # The padding, too: with a gradient of 0 it takes no step.
        slot.fill(self._optimizer.initial_values.get(name, 0.0))
        return slot

    def arrays(self) -> dict[str, NDArray[Any]]:
        """By name: "iterations", and each slot as "weight's path/slot's name"."""
        state: dict[str, NDArray[Any]] = {
            "iterations": np.array(self._optimizer.iterations, np.int64)
        }
        for variable, slots in self._slots.items():
            for name, slot in zip(self._optimizer.slots_for(variable), slots, strict=True):
                state[f"{variable.path}/{name}"] = unpack(slot, variable.shape)
        return state

    def restore(self, state: Mapping[str, NDArray[Any]], weights: list[Variable]) -> None:
        """Take back what ``arrays`` gave.

        Raises:
            ValueError: It does not fit. Nothing has changed then.
        """
        expected = {
            f"{variable.path}/{name}": (variable, number)
            for variable in weights
            for number, name in enumerate(self._optimizer.slots_for(variable))
        }
        names = set(state) - {"iterations"}
        if not names <= set(expected) or "iterations" not in state:
            raise ValueError(f"optimizer state does not fit: {sorted(names - set(expected))}")
        for name in names:
            if state[name].shape != expected[name][0].shape:
                raise ValueError(f"optimizer state {name} has shape {state[name].shape}")
        iterations = np.asarray(state["iterations"])
        if iterations.size != 1 or iterations.dtype.kind not in "iu" or int(iterations.item()) < 0:
            raise ValueError("optimizer state 'iterations' is not a count")
        self.updates(weights)
        for name in names:
            variable, number = expected[name]
            if variable in self._slots:
                pack(state[name], self._slots[variable][number])
        self._optimizer.iterations = int(iterations.item())

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Arrays that copy.deepcopy or pickle made are not aligned.
        self.__dict__.update(state)
        for slots in self._slots.values():
            for number, slot in enumerate(slots):
                slots[number] = aligned_zeros(slot.shape)
                slots[number][...] = slot
