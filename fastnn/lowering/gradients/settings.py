"""The optimizer as lowering sees it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fastnn.lowering.gradients import constraints
from fastnn.lowering.gradients.averages import Averages
from fastnn.lowering.gradients.clipping import Clipping
from fastnn.lowering.gradients.need import Need
from fastnn.optimizers.muon import Muon
from fastnn.variables import Variable

_RESTING = ("sgd", "adagrad")
"""Kernels that keep nothing which changes without a gradient."""


@dataclass
class Updates:
    """What becomes of gradients.

    Attributes:
        kernels: The kernel of each variable.
        slots: The slots of each variable.
        clipping, averages: As the optimizer has them.
        halts: A step stops before its updates if a gradient is not finite.
        apply: Update the weights; else only store the gradients.
        muon: The optimizer, if it has weights of the kernel "muon".
    """

    kernels: Mapping[Variable, str]
    slots: Mapping[Variable, Sequence[NDArray[np.float32]]]
    clipping: Clipping = field(default_factory=Clipping)
    averages: Averages = field(default_factory=Averages)
    halts: bool = False
    apply: bool = True
    muon: Muon | None = None

    def rests(self, variable: Variable) -> bool:
        """Whether a step leaves the weight and its slots as they are where the gradient is 0, but
        for what decays."""
        return (
            self.kernels.get(variable) in _RESTING
            and variable.regularizer is None
            and variable.constraint is None
        )

    def need(self, variables: Iterable[Variable]) -> Need:
        """What must be known of the variables' gradients before the first update."""
        whole = not self.apply or self.muon is not None
        return max(
            Need.WHOLE if whole else Need.NOTHING, self.clipping.need, self.averages.need,
            *map(constraints.need, variables),
        )  # fmt: skip
