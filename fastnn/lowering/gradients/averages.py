"""Moving averages of weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fastnn.lowering.gradients.need import Need
from fastnn.lowering.program import Buffers, Operands
from fastnn.variables import Variable


@dataclass(frozen=True)
class Averages:
    """The average of each weight that has one, packed as the weight is.

    overwrite_every: Steps after which they become the weights; 0 for never.
    """

    of: Mapping[Variable, NDArray[np.float32]] = field(default_factory=dict)
    momentum: float = 0.0
    overwrite_every: int = 0

    @property
    def need(self) -> Need:
        """A weight must be there as a whole to be averaged after its step."""
        return Need.WHOLE if self.of else Need.NOTHING

    def operands(self, variable: Variable) -> Operands:
        """Of the weight's update."""
        if variable not in self.of:
            return {}
        return {
            "average": Buffers.of_array(f"{variable.path}/average", self.of[variable]),
            "ema_momentum": self.momentum,
            "overwrite_every": self.overwrite_every,
        }
