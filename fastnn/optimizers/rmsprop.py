"""RMSprop, plain, with momentum, or centered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastnn.optimizers.base import Optimizer, rows
from fastnn.optimizers.schedules import LearningRateSchedule
from fastnn.optimizers.settings import Shared, flag, real

if TYPE_CHECKING:
    from typing_extensions import Unpack


class RMSprop(Optimizer):
    """RMSprop (Tieleman & Hinton 2012); arguments and arithmetic are Keras 3's.

    ::

        v = rho * v + (1 - rho) * g * g
        m = momentum * m + lr * g / sqrt(v + epsilon)
        w -= m

    and with ``centered`` (Graves 2013) the variance ``v - a * a`` in the place of ``v``, where
    ``a = rho * a + (1 - rho) * g``.

    Args:
        learning_rate: a number >= 0 or a schedule.
        rho: decay of the mean of the squares, in [0, 1).
        momentum: in [0, 1].
        epsilon: a number >= 0, added under the root.
        centered: divide by the standard deviation, not by the root of the mean square.
        weight_decay: see ``Optimizer``.
        clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency, name,
            adaptive_clip, nonfinite: see ``Optimizer``.
    """

    rho = real(at_least=0, below=1)
    momentum = real(at_least=0, at_most=1)
    epsilon = real(at_least=0)
    centered = flag()

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        weight_decay: float | None = None,
        *shared: Any,
        **options: Unpack[Shared],
    ) -> None:
        super().__init__(learning_rate, weight_decay, *shared, **options)
        self.rho = rho
        self.momentum = momentum
        self.epsilon = epsilon
        self.centered = centered

    @property
    def kernel(self) -> str:
        """``rmsprop``, ``rmsprop_momentum`` or ``rmsprop_centered`` (which does momentum too)."""
        if self.centered:
            return "rmsprop_centered"
        return "rmsprop" if self.momentum == 0 else "rmsprop_momentum"

    @property
    def slots(self) -> tuple[str, ...]:
        """``velocity`` (v), then ``momentum`` (m) and ``average_gradient`` (a) as needed."""
        if self.centered:
            return ("velocity", "momentum", "average_gradient")
        return ("velocity",) if self.momentum == 0 else ("velocity", "momentum")

    def scalars(
        self, iterations: NDArray[np.int64], learning_rate: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Rows of learning rate, weight decay, rho, epsilon and momentum."""
        decay = self._decay(learning_rate)
        return rows(learning_rate, decay, self.rho, self.epsilon, self.momentum)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "rho": self.rho,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "centered": self.centered,
        }
