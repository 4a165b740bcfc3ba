"""Lion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastnn.optimizers.base import Optimizer, rows
from fastnn.optimizers.schedules import LearningRateSchedule
from fastnn.optimizers.settings import Shared, real

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Lion(Optimizer):
    """Lion, the evolved sign momentum (Chen et al. 2023); arguments and arithmetic are Keras 3's.

    ::

        w -= lr * sign(beta_1 * m + (1 - beta_1) * g)
        m = beta_2 * m + (1 - beta_2) * g

    Every weight takes a step of the same size: a good learning rate is a third to a tenth of
    AdamW's, a good weight decay three to ten times AdamW's.

    Args:
        learning_rate: a number >= 0 or a schedule.
        beta_1: the momentum's share in the step, in (0, 1].
        beta_2: decay of the mean of the gradients, in [0, 1].
        weight_decay: see ``Optimizer``.
        clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency, name,
            adaptive_clip, nonfinite: see ``Optimizer``.
    """

    beta_1 = real(above=0, at_most=1)
    beta_2 = real(at_least=0, at_most=1)

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
        weight_decay: float | None = None,
        *shared: Any,
        **options: Unpack[Shared],
    ) -> None:
        super().__init__(learning_rate, weight_decay, *shared, **options)
        self.beta_1 = beta_1
        self.beta_2 = beta_2

    @property
    def kernel(self) -> str:
        """``lion``."""
        return "lion"

    @property
    def slots(self) -> tuple[str, ...]:
        """``momentum`` (m)."""
        return ("momentum",)

    def scalars(
        self, iterations: NDArray[np.int64], learning_rate: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Rows of learning rate, weight decay, beta_1 and beta_2."""
        return rows(learning_rate, self._decay(learning_rate), self.beta_1, self.beta_2)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "beta_1": self.beta_1, "beta_2": self.beta_2}
