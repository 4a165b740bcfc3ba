"""What all optimizers share: the learning rate, weight decay, the count of steps, the config."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn._checks import check_real
from fastnn.optimizers import schedules
from fastnn.optimizers.schedules import LearningRateSchedule


class Optimizer(ABC):
    """Base class of the optimizers: which update, and its numbers for each step.

    A subclass says which kernel updates a weight, which arrays of the weight's shape the kernel
    keeps (``slots``), and which numbers it takes at a step (``scalars``).

    Args:
        learning_rate: a number >= 0, or a ``LearningRateSchedule``. Keras's third choice, a
            function without arguments, does not exist here.
        weight_decay: None, or a number >= 0; before each step every weight loses
            ``learning_rate * weight_decay`` of itself (Loshchilov & Hutter 2019).
        name: the optimizer's name; by default its class's, in lower case.

    Attributes:
        iterations: steps done so far.

    Raises:
        TypeError, ValueError: an argument is not a number, or out of its bounds.
    """

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule,
        weight_decay: float | None = None,
        name: str | None = None,
    ) -> None:
        self.name = type(self).__name__.lower() if name is None else name
        self.iterations = 0
        self._learning_rate = self._checked_learning_rate(learning_rate)
        self.weight_decay = (
            None if weight_decay is None else self._check("weight_decay", weight_decay, at_least=0)
        )

    @property
    @abstractmethod
    def kernel(self) -> str:
        """The kernel that does the update."""

    @property
    @abstractmethod
    def slots(self) -> tuple[str, ...]:
        """Names of the arrays of a weight's shape, zero at first, that the kernel keeps."""

    @abstractmethod
    def scalars(
        self, iterations: NDArray[np.int64], learning_rate: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """The kernel's numbers for n steps.

        Args:
            iterations: shape (n,), the counts of steps done before each step.
            learning_rate: shape (n,), the learning rate of each step.

        Returns:
            Shape (n, number of scalars), C order. A row depends on nothing but its step.
        """

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step; with a schedule, its value now.

        Set it to a number at any time, or to a schedule. Where a schedule rules, a number is a
        TypeError, as in Keras.
        """
        if isinstance(self._learning_rate, LearningRateSchedule):
            return float(self.learning_rates(np.array([self.iterations], np.int64))[0])
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: float | LearningRateSchedule) -> None:
        scheduled = isinstance(self._learning_rate, LearningRateSchedule)
        if scheduled and not isinstance(learning_rate, LearningRateSchedule):
            raise TypeError(
                f"learning_rate of {type(self).__name__} follows a "
                f"{type(self._learning_rate).__name__} and can't be set to {learning_rate!r}; "
                "make the optimizer with a number instead"
            )
        self._learning_rate = self._checked_learning_rate(learning_rate)

    def learning_rates(self, iterations: NDArray[np.int64]) -> NDArray[np.float64]:
        """Learning rates, shape (n,), of the steps after ``iterations`` steps, shape (n,).

        Raises:
            ValueError: the schedule gives a negative or non-finite value; the step is named.
        """
        if not isinstance(self._learning_rate, LearningRateSchedule):
            return np.full(len(iterations), self._learning_rate)
        rates = self._learning_rate.rates(iterations)
        wrong = np.flatnonzero(~((rates >= 0) & np.isfinite(rates)))
        if len(wrong):
            raise ValueError(
                f"a learning rate must be finite and at least 0, but "
                f"{type(self._learning_rate).__name__} gives {rates[wrong[0]]} at step "
                f"{iterations[wrong[0]]}"
            )
        return rates

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, a schedule as ``schedules.serialize`` gives it.

        Raises:
            ValueError: the schedule is not one of fastnn's own.
        """
        rate = self._learning_rate
        return {
            "name": self.name,
            "learning_rate": rate if isinstance(rate, float) else schedules.serialize(rate),
            "weight_decay": self.weight_decay,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Optimizer:
        """The optimizer that ``get_config`` described, at step 0."""
        arguments = dict(config)
        if isinstance(arguments.get("learning_rate"), dict):
            arguments["learning_rate"] = schedules.deserialize(arguments["learning_rate"])
        return cls(**arguments)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(learning_rate={self._learning_rate!r})"

    def _check(self, argument: str, value: object, **limits: float) -> float:
        return check_real(type(self).__name__, argument, value, **limits)

    def _checked_learning_rate(
        self, learning_rate: float | LearningRateSchedule
    ) -> float | LearningRateSchedule:
        if isinstance(learning_rate, LearningRateSchedule):
            return learning_rate
        return self._check("learning_rate", learning_rate, at_least=0)

    def _decay(self, learning_rate: NDArray[np.float64]) -> NDArray[np.float64]:
        """The share of itself that a weight loses before each step."""
        return learning_rate * (self.weight_decay or 0.0)


def rows(*columns: ArrayLike) -> NDArray[np.float64]:
    """The columns, arrays of shape (n,) or numbers, side by side: shape (n, len(columns))."""
    return np.stack(np.broadcast_arrays(*columns), axis=1).astype(np.float64, copy=False)
