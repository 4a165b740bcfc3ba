"""What an optimizer keeps of each weight."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastnn.lowering.gradients.averages import Averages
from fastnn.lowering.gradients.clipping import Clipping
from fastnn.lowering.gradients.settings import Updates
from fastnn.optimizers.muon import Muon
from fastnn.variables import Variable, flat

if TYPE_CHECKING:
    from fastnn.optimizers import Optimizer

_AVERAGE = "average"
"""The name, beside those of the slots, of a weight's moving average."""


class OptimizerState:
    """The slots of each trainable weight, and its average, made when training begins: packed as the
    weight is, those of one name in one piece of memory.

    Which there are follows the optimizer's settings: a slot that is needed since a setting was
    changed begins as in a new training, one that is not needed any more is dropped.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self._optimizer = optimizer
        self._kernels: dict[Variable, str] = {}
        self._arrays: dict[Variable, dict[str, NDArray[np.float32]]] = {}

    def updates(self, weights: Iterable[Variable]) -> Updates:
        """For lowering."""
        optimizer = self._optimizer
        for variable in weights:
            if variable.trainable:
                self._arrays.setdefault(variable, {})
        self._follow_settings()
        averages = {v: arrays[_AVERAGE] for v, arrays in self._arrays.items() if optimizer.use_ema}
        return Updates(
            kernels=dict(self._kernels),
            slots={
                variable: [array for name, array in arrays.items() if name != _AVERAGE]
                for variable, arrays in self._arrays.items()
            },
            clipping=Clipping(
                optimizer.clipvalue or 0.0, optimizer.clipnorm or 0.0,
                optimizer.global_clipnorm or 0.0, optimizer.adaptive_clip or 0.0,
            ),
            averages=Averages(
                averages, optimizer.ema_momentum, optimizer.ema_overwrite_frequency or 0
            ),
            halts=optimizer.nonfinite != "propagate",
            muon=optimizer if isinstance(optimizer, Muon) else None,
        )  # fmt: skip

    def _names(self, variable: Variable) -> tuple[str, ...]:
        averages = (_AVERAGE,) if self._optimizer.use_ema else ()
        return (*self._optimizer.slots_for(variable), *averages)

    def _follow_settings(self) -> None:
        missing: dict[str, list[Variable]] = {}
        for variable, arrays in self._arrays.items():
            kernel, names = self._optimizer.kernel_for(variable), self._names(variable)
            before = self._kernels.get(variable, kernel)
            # Muon's momentum is no mean, as Adam's is.
            if kernel != before and "muon" in (kernel, before):
                arrays = {name: arrays[name] for name in arrays if name == _AVERAGE}
            self._kernels[variable] = kernel
            self._arrays[variable] = arrays
            for name in names:
                if name not in arrays:
                    missing.setdefault(name, []).append(variable)
        for name, variables in missing.items():
            for variable, array in flat(variables).items():
                # The padding, too: with a gradient of 0 it takes no step. A weight itself is its
                # average until the first step replaces that, which may be skipped.
                first = self._optimizer.initial_values.get(name, 0.0)
                array[...] = variable.storage if name == _AVERAGE else first
                self._arrays[variable] = {**self._arrays[variable], name: array}
        for variable, arrays in self._arrays.items():
            names = self._names(variable)
            if (*arrays,) != names:
                self._arrays[variable] = {name: arrays[name] for name in names}

    def finalize(self) -> None:
        """Training ends: each average takes its weight's place."""
        self._follow_settings()
        if self._optimizer.iterations:
            for variable, arrays in self._arrays.items():
                if variable.trainable and _AVERAGE in arrays:
                    variable.storage[...] = arrays[_AVERAGE]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """By name: "iterations", and each slot as "weight's path/slot's name"."""
        self._follow_settings()
        state: dict[str, NDArray[Any]] = {
            "iterations": np.array(self._optimizer.iterations, np.int64)
        }
        for variable, arrays in self._arrays.items():
            for name, array in arrays.items():
                state[f"{variable.path}/{name}"] = variable.unpacked(array)
        return state

    def restore(self, state: Mapping[str, NDArray[Any]], weights: list[Variable]) -> None:
        """Take back what ``arrays`` gave.

        Raises:
            ValueError: It does not fit. Nothing has changed then.
        """
        expected = {
            f"{variable.path}/{name}": variable
            for variable in weights
            for name in self._names(variable)
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
            if variable in self._arrays:
                variable.pack(state[path], self._arrays[variable][name])
        self._optimizer.iterations = int(iterations.item())

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Arrays that copy.deepcopy or pickle made are not aligned.
        self.__dict__.update(state)
        for name in dict.fromkeys(name for arrays in self._arrays.values() for name in arrays):
            owners = [variable for variable in self._arrays if name in self._arrays[variable]]
            for variable, array in flat(owners).items():
                array[...] = self._arrays[variable][name]
                self._arrays[variable][name] = array
