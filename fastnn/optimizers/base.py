"""What all optimizers share: learning rate, decay, clipping, averaging, count of steps, config."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fastnn._checks import check_real, check_text
from fastnn.optimizers import schedules
from fastnn.optimizers.schedules import LearningRateSchedule
from fastnn.optimizers.settings import (
    Clip,
    choice,
    flag,
    full_signature,
    optional_count,
    optional_real,
    real,
)
from fastnn.variables import Variable


class Optimizer(ABC):
    """Base class of the optimizers: which update, and its numbers for each step.

    A subclass says which kernel updates a weight, which arrays of the weight's shape the kernel
    keeps (``slots``), and which numbers it takes at a step (``scalars``).

    At most one of the four ways to clip may be given; each takes a number > 0. Keras, which has the
    first three, takes a number <= 0 for none.

    Args:
        learning_rate: a number >= 0, or a ``LearningRateSchedule``. Keras's third choice, a
            function without arguments, does not exist here.
        weight_decay: None, or a number >= 0; before each step every weight loses
            ``learning_rate * weight_decay`` of itself (Loshchilov & Hutter 2019).
        clipnorm: the gradient of each weight is scaled down to this L2 norm where it exceeds it.
        clipvalue: each element of a gradient is clipped to [-clipvalue, clipvalue].
        global_clipnorm: all gradients are scaled down together to this L2 norm, taken over all of
            them, where they exceed it (Pascanu et al. 2013).
        use_ema: keep an exponential moving average of each trainable weight, which takes the
            weight's place at the end of ``fit``.
        ema_momentum: the share of the average that a step keeps, in [0, 1]; the first average is
            the weight after the first step.
        ema_overwrite_frequency: None, or after every how many steps (an integer >= 1) the average
            takes the weight's place in the midst of training.
        name: the optimizer's name; by default its class's, in lower case.
        adaptive_clip: the clipping factor lambda of adaptive gradient clipping (Brock et al. 2021,
            eq. 3; they use 0.01): the gradient of each unit is scaled down to lambda times the norm
            of the unit's weights where it exceeds that. Keras has no such argument.
        nonfinite: what to do about a gradient with an element that is not finite: ``"raise"``
            before any weight is touched, ``"skip"`` the step, or ``"propagate"`` it, as Keras does,
            which has no such argument.

    Attributes:
        iterations (int): steps done so far.
        weight_decay (float | None): see above, as all that follow. Each of them, and what a
            subclass adds, can be set at any time; it takes effect with the next epoch or call.
        clipnorm (float | None)
        clipvalue (float | None)
        global_clipnorm (float | None)
        adaptive_clip (float | None)
        use_ema (bool)
        ema_momentum (float)
        ema_overwrite_frequency (int | None)
        nonfinite (str)

    Raises:
        TypeError, ValueError: an argument is not what it must be, or several clip.
    """

    weight_decay = optional_real(at_least=0)
    clipnorm = Clip()
    clipvalue = Clip()
    global_clipnorm = Clip()
    adaptive_clip = Clip()
    use_ema = flag()
    ema_momentum = real(at_least=0, at_most=1)
    ema_overwrite_frequency = optional_count(at_least=1)
    nonfinite = choice("raise", "skip", "propagate")

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        *,
        name: str | None = None,
        adaptive_clip: float | None = None,
        nonfinite: str = "raise",
        **unknown: Any,
    ) -> None:
        if unknown:
            raise TypeError(f"{type(self).__name__} takes no argument {next(iter(unknown))!r}")
        owner = type(self).__name__
        self.name = owner.lower() if name is None else check_text(owner, "name", name)
        self.iterations = 0
        self._learning_rate = self._checked_learning_rate(learning_rate)
        self.weight_decay = weight_decay
        self.clipnorm = clipnorm
        self.clipvalue = clipvalue
        self.global_clipnorm = global_clipnorm
        self.adaptive_clip = adaptive_clip
        self.use_ema = use_ema
        self.ema_momentum = ema_momentum
        self.ema_overwrite_frequency = ema_overwrite_frequency
        self.nonfinite = nonfinite

    __signature__: ClassVar[inspect.Signature]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.__signature__ = full_signature(cls.__init__, Optimizer.__init__)

    @property
    @abstractmethod
    def kernel(self) -> str:
        """The kernel that does the update."""

    @property
    @abstractmethod
    def slots(self) -> tuple[str, ...]:
        """Names of the arrays of a weight's shape that the kernel keeps."""

    @property
    def initial_values(self) -> Mapping[str, float]:
        """First values of the slots that do not begin at zero, by the slot's name."""
        return {}

    def kernel_for(self, variable: Variable) -> str:
        """The kernel that updates this weight; for most optimizers the same for all."""
        return self.kernel

    def slots_for(self, variable: Variable) -> tuple[str, ...]:
        """The slots of this weight; for most optimizers the same for all."""
        return self.slots

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
            "clipnorm": self.clipnorm,
            "clipvalue": self.clipvalue,
            "global_clipnorm": self.global_clipnorm,
            "adaptive_clip": self.adaptive_clip,
            "use_ema": self.use_ema,
            "ema_momentum": self.ema_momentum,
            "ema_overwrite_frequency": self.ema_overwrite_frequency,
            "nonfinite": self.nonfinite,
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

    def _checked_learning_rate(
        self, learning_rate: float | LearningRateSchedule
    ) -> float | LearningRateSchedule:
        if isinstance(learning_rate, LearningRateSchedule):
            return learning_rate
        return check_real(type(self).__name__, "learning_rate", learning_rate, at_least=0)

    def _decay(self, learning_rate: NDArray[np.float64]) -> NDArray[np.float64]:
        """The share of itself that a weight loses before each step."""
        return learning_rate * (self.weight_decay or 0.0)


def rows(*columns: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """The columns side by side, (n, len(columns)): arrays (n,), one at least, or numbers."""
    n = next(len(column) for column in columns if isinstance(column, np.ndarray))
    # Quicker than np.stack: this is called for each batch where a callback hears of batches.
    table = np.empty((n, len(columns)))
    for number, column in enumerate(columns):
        table[:, number] = column
    return table
