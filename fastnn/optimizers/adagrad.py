"""Adagrad."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastnn.optimizers.base import Optimizer, rows
from fastnn.optimizers.schedules import LearningRateSchedule
from fastnn.optimizers.settings import Shared, real

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Adagrad(Optimizer):
    """Adagrad (Duchi et al. 2011); arguments and arithmetic are Keras 3's.

    ::

        a += g * g
        w -= lr * g / sqrt(a + epsilon)

    Args:
        learning_rate: a number >= 0 or a schedule. Keras's default is small for Adagrad; the paper
            has 1.
        initial_accumulator_value: what ``a`` begins with, a float32 >= 0.
        epsilon: a number >= 0, added under the root; 0 makes NaN of a weight without gradient if
            ``a`` begins with 0, too.
        weight_decay: see ``Optimizer``.
        clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency, name,
            adaptive_clip, nonfinite: see ``Optimizer``.
    """

    initial_accumulator_value = real(at_least=0, at_most=float(np.finfo(np.float32).max))
    epsilon = real(at_least=0)

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        weight_decay: float | None = None,
        *shared: Any,
        **options: Unpack[Shared],
    ) -> None:
        super().__init__(learning_rate, weight_decay, *shared, **options)
        self.initial_accumulator_value = initial_accumulator_value
        self.epsilon = epsilon

    @property
    def kernel(self) -> str:
        """``adagrad``."""
        return "adagrad"

    @property
    def slots(self) -> tuple[str, ...]:
        """``accumulator`` (a)."""
        return ("accumulator",)

    @property
    def initial_values(self) -> Mapping[str, float]:
        """``accumulator`` begins with ``initial_accumulator_value``."""
        return {"accumulator": self.initial_accumulator_value}

    def scalars(
        self, iterations: NDArray[np.int64], learning_rate: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Rows of learning rate, weight decay and epsilon."""
        return rows(learning_rate, self._decay(learning_rate), self.epsilon)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "initial_accumulator_value": self.initial_accumulator_value,
            "epsilon": self.epsilon,
        }
