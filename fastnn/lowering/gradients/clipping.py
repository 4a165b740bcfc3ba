"""Clipping: what makes gradients shorter."""

from __future__ import annotations

from dataclasses import dataclass

from fastnn.lowering.gradients.need import Need
from fastnn.lowering.program import Buffer, Operands


@dataclass(frozen=True)
class Clipping:
    """As an optimizer takes it; 0 for none.

    Attributes:
        value: Of each number: where the gradient is finished.
        norm: Of a weight's gradient; from here on, where it is updated.
        global_norm: Of all gradients together: the guard finds their common factor.
        adaptive: Of a unit's gradient, by the norm of its weights.
    """

    value: float = 0.0
    norm: float = 0.0
    global_norm: float = 0.0
    adaptive: float = 0.0

    @property
    def need(self) -> Need:
        """What it must know of the gradients."""
        if self.norm or self.adaptive:
            return Need.WHOLE
        return Need.NORM if self.global_norm else Need.NOTHING

    @property
    def by_norm(self) -> bool:
        """Whether an update multiplies gradients by a factor."""
        return bool(self.norm or self.global_norm or self.adaptive)

    def operands(self, norm: Buffer) -> Operands:
        """Of an op that clips. norm: where that of the gradient is found, squared."""
        return {
            "norm": norm if self.norm else None,
            "clipnorm": self.norm,
            "adaptive_clip": self.adaptive,
        }
