"""Adam and AdamW."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastnn._checks import check_real
from fastnn.optimizers.base import Optimizer, rows
from fastnn.optimizers.schedules import LearningRateSchedule
from fastnn.optimizers.settings import Shared, flag, real

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015, with the epsilon of its section 2); Keras 3's arguments, arithmetic.

    At step ``t = 1, 2, ...``::

        m += (1 - beta_1) * (g - m)
        v += (1 - beta_2) * (g * g - v)
        w -= alpha * m / (sqrt(v) + epsilon),  alpha = lr * sqrt(1 - beta_2^t) / (1 - beta_1^t)

    and with ``amsgrad`` (Reddi et al. 2018) the largest ``v`` so far in the place of ``v``.

    Args:
        learning_rate: a number >= 0 or a schedule.
        beta_1: decay of the mean of the gradients, in [0, 1).
        beta_2: decay of the mean of their squares, in [0, 1).
        epsilon: a number >= 0, added to the root; 0 makes NaN of a weight without gradient.
        amsgrad: never let a step grow because ``v`` shrinks.
        weight_decay: see ``Optimizer``.
        clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency, name,
            adaptive_clip, nonfinite: see ``Optimizer``.
    """

    beta_1 = real(at_least=0, below=1)
    beta_2 = real(at_least=0, below=1)
    epsilon = real(at_least=0)
    amsgrad = flag()

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        weight_decay: float | None = None,
        *shared: Any,
        **options: Unpack[Shared],
    ) -> None:
        super().__init__(learning_rate, weight_decay, *shared, **options)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.amsgrad = amsgrad

    @property
    def kernel(self) -> str:
        """``adam`` or ``adam_amsgrad``."""
        return "adam_amsgrad" if self.amsgrad else "adam"

    @property
    def slots(self) -> tuple[str, ...]:
        """``momentum`` (m), ``velocity`` (v) and, for AMSGrad, ``velocity_hat`` (the largest v)."""
        slots = ("momentum", "velocity")
        return (*slots, "velocity_hat") if self.amsgrad else slots

    def scalars(
        self, iterations: NDArray[np.int64], learning_rate: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Rows of alpha, weight decay, 1 - beta_1, 1 - beta_2 and epsilon."""
        step = iterations + 1.0
        alpha = learning_rate * np.sqrt(1 - self.beta_2**step) / (1 - self.beta_1**step)
        decay = self._decay(learning_rate)
        return rows(alpha, decay, 1 - self.beta_1, 1 - self.beta_2, self.epsilon)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "amsgrad": self.amsgrad,
        }


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019); Keras 3's defaults.

    Args:
        learning_rate: a number >= 0 or a schedule.
        weight_decay: a number >= 0, not None; see ``Optimizer``.
        beta_1: see ``Adam``.
        beta_2: see ``Adam``.
        epsilon: see ``Adam``.
        amsgrad: see ``Adam``.
        clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency, name,
            adaptive_clip, nonfinite: see ``Optimizer``.
    """

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        *shared: Any,
        **options: Unpack[Shared],
    ) -> None:
        # Adam allows None; here it would silently be Adam.
        check_real(type(self).__name__, "weight_decay", weight_decay, at_least=0)
        super().__init__(
            learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay, *shared, **options
        )
