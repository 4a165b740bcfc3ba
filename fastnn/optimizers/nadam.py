"""Nadam."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastnn.optimizers.base import Optimizer, rows
from fastnn.optimizers.schedules import LearningRateSchedule
from fastnn.optimizers.settings import Shared, real

# 0.96^900 / 2 is less than half a unit of float64: from there on the factors are 1.
_WARM = 1000
_PRODUCTS = np.cumprod(1 - 0.5 * 0.96 ** np.arange(1.0, _WARM + 1))

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Nadam(Optimizer):
    """Adam with Nesterov momentum (Dozat 2016); arguments and arithmetic are Keras 3's.

    At step ``t = 1, 2, ...``, with ``u_t = beta_1 * (1 - 0.96^t / 2)`` and ``U_t`` the product of
    all ``u`` up to ``u_t``::

        m += (1 - beta_1) * (g - m)
        v += (1 - beta_2) * (g * g - v)
        n = u_(t+1) * m / (1 - U_(t+1)) + (1 - u_t) * g / (1 - U_t)
        w -= lr * n / (sqrt(v / (1 - beta_2^t)) + epsilon)

    Keras carries ``U_t`` along in float32 as a part of the optimizer's state. Here it is worked out
    from the step's number in float64, so that a step depends on nothing but its number.

    Args:
        learning_rate: a number >= 0 or a schedule.
        beta_1: decay of the mean of the gradients, in [0, 1).
        beta_2: decay of the mean of their squares, in [0, 1).
        epsilon: a number >= 0, added to the root; 0 makes NaN of a weight without gradient.
        weight_decay: see ``Optimizer``.
        clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency, name,
            adaptive_clip, nonfinite: see ``Optimizer``.
    """

    beta_1 = real(at_least=0, below=1)
    beta_2 = real(at_least=0, below=1)
    epsilon = real(at_least=0)

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        weight_decay: float | None = None,
        *shared: Any,
        **options: Unpack[Shared],
    ) -> None:
        super().__init__(learning_rate, weight_decay, *shared, **options)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    @property
    def kernel(self) -> str:
        """``nadam``."""
        return "nadam"

    @property
    def slots(self) -> tuple[str, ...]:
        """``momentum`` (m) and ``velocity`` (v)."""
        return ("momentum", "velocity")

    def scalars(
        self, iterations: NDArray[np.int64], learning_rate: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Rows of m's factor, weight decay, 1 - beta_1, 1 - beta_2, epsilon and g's factor.

        The correction of ``v`` is in the factors and in epsilon.
        """
        step = iterations + 1.0
        u, u_next = self._u(step), self._u(step + 1)
        product = self.beta_1**step * _PRODUCTS[np.minimum(iterations, _WARM - 1)]
        root = np.sqrt(1 - self.beta_2**step)
        rate = learning_rate * root
        return rows(
            rate * u_next / (1 - product * u_next),
            self._decay(learning_rate),
            1 - self.beta_1,
            1 - self.beta_2,
            self.epsilon * root,
            rate * (1 - u) / (1 - product),
        )

    def _u(self, step: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
        return self.beta_1 * (1 - 0.5 * 0.96**step)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
        }
