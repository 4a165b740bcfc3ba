"""Stochastic gradient descent, with or without momentum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastnn.optimizers.base import Optimizer, rows
from fastnn.optimizers.schedules import LearningRateSchedule
from fastnn.optimizers.settings import Shared, flag, real

if TYPE_CHECKING:
    from typing_extensions import Unpack


class SGD(Optimizer):
    """Gradient descent; arguments and arithmetic are Keras 3's.

    Without momentum ``w -= lr * g``; with it ``m = momentum * m - lr * g`` and ``w += m``
    (Polyak 1964), or ``w += momentum * m - lr * g`` with ``nesterov`` (Sutskever et al. 2013).

    Args:
        learning_rate: a number >= 0 or a schedule.
        momentum: in [0, 1].
        nesterov: look ahead; means nothing without momentum.
        weight_decay: see ``Optimizer``.
        clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency, name,
            adaptive_clip, nonfinite: see ``Optimizer``.
    """

    momentum = real(at_least=0, at_most=1)
    nesterov = flag()

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float | None = None,
        *shared: Any,
        **options: Unpack[Shared],
    ) -> None:
        super().__init__(learning_rate, weight_decay, *shared, **options)
        self.momentum = momentum
        self.nesterov = nesterov

    @property
    def kernel(self) -> str:
        """``sgd``, ``momentum`` or ``nesterov``."""
        if self.momentum == 0:
            return "sgd"
        return "nesterov" if self.nesterov else "momentum"

    @property
    def slots(self) -> tuple[str, ...]:
        """``momentum``, if there is any."""
        return () if self.momentum == 0 else ("momentum",)

    def scalars(
        self, iterations: NDArray[np.int64], learning_rate: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Rows of learning rate, weight decay and, if there is any, momentum."""
        decay = self._decay(learning_rate)
        if self.momentum == 0:
            return rows(learning_rate, decay)
        return rows(learning_rate, decay, self.momentum)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "momentum": self.momentum, "nesterov": self.nesterov}
