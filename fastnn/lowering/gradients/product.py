"""What the gradient of a kernel is the sum of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from fastnn.lowering.emitter import Emitter
from fastnn.lowering.program import Buffer, Operands
from fastnn.lowering.values import Value
from fastnn.variables import Variable


@dataclass(eq=False)
class WeightProduct(ABC):
    """The gradient of a kernel, and of the bias that goes with it, still to be computed.

    x, dz: What it is the product of.
    """

    kernel: Variable
    bias: Variable | None
    x: Value
    dz: Buffer

    @property
    def is_of_factors(self) -> bool:
        """Whether it is the matrix product x' dz and nothing else."""
        return False

    @property
    def factor(self) -> Value | None:
        """What dz is multiplied by; None if it is only added up."""
        return self.x

    def weights(self) -> dict[str, Variable]:
        """Role -> the weight whose gradient it makes."""
        found = {"kernel": self.kernel}
        if self.bias is not None:
            found["bias"] = self.bias
        return found

    @abstractmethod
    def tiles(self, emitter: Emitter, role: str) -> int:
        """How many tiles the gradient of the kernel or the bias comes in."""

    def produce(self, emitter: Emitter) -> None:  # noqa: B027 -- a product may need none
        """Add the ops that must be done before ``hand_over``, for which the team waits once for all
        products."""

    @abstractmethod
    def hand_over(self, emitter: Emitter, operands: Operands) -> None:
        """Add the op that ends the sums and gives the gradients to the optimizer, or stores them:
        ``operands``."""
