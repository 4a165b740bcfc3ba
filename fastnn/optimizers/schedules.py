"""Learning-rate schedules: functions of the count of steps done.

Names, arguments and values are Keras 3's, computed in float64; ``OneCycle`` is fastnn's.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn._checks import check_choice, check_flag, check_integer, check_real
from fastnn._registry import resolve
from fastnn._registry import serialize as _serialize

Array = NDArray[np.float64]


class LearningRateSchedule(ABC):
    """Base class of all schedules; one of your own needs ``__call__``, and can't be saved."""

    @abstractmethod
    def __call__(self, step: int) -> float:
        """Learning rate of the step that ``step`` steps came before."""

    def rates(self, steps: NDArray[np.int64]) -> Array:
        """``__call__`` for each of ``steps``: shape (n,) in, shape (n,) out."""
        return np.array([float(self(int(step))) for step in steps], np.float64)


class Formula(LearningRateSchedule):
    """Base class of the schedules below, which have a formula for all steps at once.

    The rate of a step is the same to the last bit whichever steps it is asked for with.
    """

    name: str

    def __call__(self, step: int) -> float:
        """Learning rate of the step that ``step`` steps came before."""
        return float(self.rates(np.array([step]))[0])

    def rates(self, steps: NDArray[np.int64]) -> Array:
        """``__call__`` for each of ``steps``: shape (n,) in, shape (n,) out."""
        return self._formula(np.asarray(steps, np.float64))

    @abstractmethod
    def _formula(self, steps: Array) -> Array: ...

    @abstractmethod
    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Formula:
        """The schedule that ``get_config`` described."""
        return cls(**config)

    def __repr__(self) -> str:
        arguments = ", ".join(f"{key}={value!r}" for key, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"

    def _check(self, argument: str, value: object, **limits: float) -> float:
        return check_real(type(self).__name__, argument, value, **limits)


class ExponentialDecay(Formula):
    """``initial_learning_rate * decay_rate ^ (step / decay_steps)``.

    Args:
        initial_learning_rate: a number >= 0.
        decay_steps: a number > 0.
        decay_rate: a number >= 0.
        staircase: round the exponent down to an integer.
        name: the schedule's name.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "ExponentialDecay",
    ) -> None:
        self.initial_learning_rate = self._check(
            "initial_learning_rate", initial_learning_rate, at_least=0
        )
        self.decay_steps = self._check("decay_steps", decay_steps, above=0)
        self.decay_rate = self._check("decay_rate", decay_rate, at_least=0)
        self.staircase = check_flag(type(self).__name__, "staircase", staircase)
        self.name = name

    def _formula(self, steps: Array) -> Array:
        periods = steps / self.decay_steps
        if self.staircase:
            periods = np.floor(periods)
        return np.asarray(self.initial_learning_rate * self.decay_rate**periods)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": self.decay_steps,
            "decay_rate": self.decay_rate,
            "staircase": self.staircase,
            "name": self.name,
        }


class InverseTimeDecay(Formula):
    """``initial_learning_rate / (1 + decay_rate * step / decay_steps)``.

    Args:
        initial_learning_rate: a number >= 0.
        decay_steps: a number > 0.
        decay_rate: a number >= 0.
        staircase: round ``step / decay_steps`` down to an integer.
        name: the schedule's name.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "InverseTimeDecay",
    ) -> None:
        self.initial_learning_rate = self._check(
            "initial_learning_rate", initial_learning_rate, at_least=0
        )
        self.decay_steps = self._check("decay_steps", decay_steps, above=0)
        self.decay_rate = self._check("decay_rate", decay_rate, at_least=0)
        self.staircase = check_flag(type(self).__name__, "staircase", staircase)
        self.name = name

    def _formula(self, steps: Array) -> Array:
        periods = steps / self.decay_steps
        if self.staircase:
            periods = np.floor(periods)
        return self.initial_learning_rate / (1 + self.decay_rate * periods)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": self.decay_steps,
            "decay_rate": self.decay_rate,
            "staircase": self.staircase,
            "name": self.name,
        }


class PiecewiseConstantDecay(Formula):
    """``values[0]`` up to and with step ``boundaries[0]``, then ``values[1]``, and so on.

    Args:
        boundaries: rising numbers of steps.
        values: learning rates >= 0, one more than boundaries.
        name: the schedule's name.
    """

    def __init__(
        self,
        boundaries: Sequence[float],
        values: Sequence[float],
        name: str = "PiecewiseConstant",
    ) -> None:
        self.boundaries = [self._check("boundaries", boundary) for boundary in boundaries]
        self.values = [self._check("values", value, at_least=0) for value in values]
        self.name = name
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError(
                f"{type(self).__name__}: values must be one more than the "
                f"{len(self.boundaries)} boundaries, got {len(self.values)}"
            )
        if np.any(np.diff(self.boundaries) <= 0):
            raise ValueError(f"{type(self).__name__}: boundaries must rise, got {boundaries!r}")

    def _formula(self, steps: Array) -> Array:
        return np.array(self.values)[np.searchsorted(self.boundaries, steps, side="left")]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"boundaries": self.boundaries, "values": self.values, "name": self.name}


class PolynomialDecay(Formula):
    """From ``initial_learning_rate`` to ``end_learning_rate`` along ``(1 - step / n)^power``.

    ``n`` is ``decay_steps``, and the end is kept from there on; with ``cycle`` it is the first
    multiple of ``decay_steps`` that is not below the step.

    Args:
        initial_learning_rate: a number >= 0.
        decay_steps: a number > 0.
        end_learning_rate: a number >= 0.
        power: a number >= 0.
        cycle: rise again at each multiple of ``decay_steps``.
        name: the schedule's name.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str = "PolynomialDecay",
    ) -> None:
        self.initial_learning_rate = self._check(
            "initial_learning_rate", initial_learning_rate, at_least=0
        )
        self.decay_steps = self._check("decay_steps", decay_steps, above=0)
        self.end_learning_rate = self._check("end_learning_rate", end_learning_rate, at_least=0)
        self.power = self._check("power", power, at_least=0)
        self.cycle = check_flag(type(self).__name__, "cycle", cycle)
        self.name = name

    def _formula(self, steps: Array) -> Array:
        if self.cycle:
            length = self.decay_steps * np.maximum(np.ceil(steps / self.decay_steps), 1)
        else:
            length = np.full_like(steps, self.decay_steps)
        left = 1 - np.minimum(steps, length) / length
        drop = self.initial_learning_rate - self.end_learning_rate
        return np.asarray(drop * left**self.power + self.end_learning_rate)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": self.decay_steps,
            "end_learning_rate": self.end_learning_rate,
            "power": self.power,
            "cycle": self.cycle,
            "name": self.name,
        }


class CosineDecay(Formula):
    """A half cosine (Loshchilov & Hutter 2017), after a linear warm-up if one is asked for.

    The warm-up goes from ``initial_learning_rate`` to ``warmup_target`` in ``warmup_steps``; the
    cosine goes on from there (or from ``initial_learning_rate``) to ``alpha`` times that in
    ``decay_steps``, and the end is kept.

    Args:
        initial_learning_rate: a number >= 0.
        decay_steps: a number > 0.
        alpha: a number >= 0.
        name: the schedule's name.
        warmup_target: None for no warm-up, or a number >= 0.
        warmup_steps: a number >= 0.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        alpha: float = 0.0,
        name: str = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: float = 0,
    ) -> None:
        self.initial_learning_rate = self._check(
            "initial_learning_rate", initial_learning_rate, at_least=0
        )
        self.decay_steps = self._check("decay_steps", decay_steps, above=0)
        self.alpha = self._check("alpha", alpha, at_least=0)
        self.name = name
        self.warmup_target = (
            None
            if warmup_target is None
            else self._check("warmup_target", warmup_target, at_least=0)
        )
        self.warmup_steps = self._check("warmup_steps", warmup_steps, at_least=0)

    def _formula(self, steps: Array) -> Array:
        if self.warmup_target is None:
            return self._cosine(steps, self.initial_learning_rate)
        cosine = self._cosine(steps - self.warmup_steps, self.warmup_target)
        if self.warmup_steps == 0:
            return cosine
        rise = self.warmup_target - self.initial_learning_rate
        warmup = self.initial_learning_rate + rise * (steps / self.warmup_steps)
        return np.where(steps < self.warmup_steps, warmup, cosine)

    def _cosine(self, steps: Array, start: float) -> Array:
        done = np.clip(steps, 0, self.decay_steps) / self.decay_steps
        return start * ((1 - self.alpha) * 0.5 * (1 + np.cos(math.pi * done)) + self.alpha)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": self.decay_steps,
            "alpha": self.alpha,
            "name": self.name,
            "warmup_target": self.warmup_target,
            "warmup_steps": self.warmup_steps,
        }


class CosineDecayRestarts(Formula):
    """Half cosines one after the other: SGDR (Loshchilov & Hutter 2017).

    Period ``i = 0, 1, ...`` takes ``first_decay_steps * t_mul^i`` steps and goes from
    ``initial_learning_rate`` times ``(1 - alpha) * m_mul^i + alpha`` to ``alpha`` times it.

    Args:
        initial_learning_rate: a number >= 0.
        first_decay_steps: a number > 0.
        t_mul: a number >= 1 (Keras's formula has no value for every step below it).
        m_mul: a number >= 0.
        alpha: a number >= 0.
        name: the schedule's name.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: float,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        name: str = "SGDRDecay",
    ) -> None:
        self.initial_learning_rate = self._check(
            "initial_learning_rate", initial_learning_rate, at_least=0
        )
        self.first_decay_steps = self._check("first_decay_steps", first_decay_steps, above=0)
        self.t_mul = self._check("t_mul", t_mul, at_least=1)
        self.m_mul = self._check("m_mul", m_mul, at_least=0)
        self.alpha = self._check("alpha", alpha, at_least=0)
        self.name = name

    def _formula(self, steps: Array) -> Array:
        done = steps / self.first_decay_steps
        if self.t_mul == 1:
            period = np.floor(done)
            done = done - period
        else:
            period = np.floor(np.log(1 + done * (self.t_mul - 1)) / math.log(self.t_mul))
            # At a restart the quotient of logarithms can fall on either side of the integer.
            period += self._start(period + 1) <= done
            period -= self._start(period) > done
            done = (done - self._start(period)) / self.t_mul**period
        height = (1 - self.alpha) * self.m_mul**period
        cosine = 0.5 * (1 + np.cos(math.pi * done))
        return np.asarray(self.initial_learning_rate * (height * cosine + self.alpha))

    def _start(self, period: Array) -> Array:
        """When a period begins, in first periods."""
        return np.asarray((self.t_mul**period - 1) / (self.t_mul - 1))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "first_decay_steps": self.first_decay_steps,
            "t_mul": self.t_mul,
            "m_mul": self.m_mul,
            "alpha": self.alpha,
            "name": self.name,
        }


class OneCycle(Formula):
    """Up to ``max_learning_rate`` and down again, once (Smith & Topin 2019, "Super-convergence").

    Values are those of PyTorch's ``OneCycleLR``: from ``max_learning_rate / div_factor`` to the
    maximum in ``pct_start * total_steps`` steps, then to ``1 / final_div_factor`` of the start
    at the last step. After the last step, where PyTorch raises, the end is kept.

    Args:
        max_learning_rate: a number >= 0.
        total_steps: an integer >= 1: epochs times batches an epoch.
        pct_start: share of the steps that go up, in [0, 1]; with ``three_phase`` in [0, 0.5].
        anneal_strategy: ``"cos"`` or ``"linear"``.
        div_factor: a number > 0.
        final_div_factor: a number > 0.
        three_phase: come down to the start in as many steps as went up, then to the end.
        name: the schedule's name.
    """

    def __init__(
        self,
        max_learning_rate: float,
        total_steps: int,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        name: str = "OneCycle",
    ) -> None:
        self.max_learning_rate = self._check("max_learning_rate", max_learning_rate, at_least=0)
        self.total_steps = check_integer(
            type(self).__name__, "total_steps", total_steps, at_least=1
        )
        self.pct_start = self._check("pct_start", pct_start, at_least=0, at_most=1)
        check_choice(type(self).__name__, "anneal_strategy", anneal_strategy, ("cos", "linear"))
        self.anneal_strategy = anneal_strategy
        self.div_factor = self._check("div_factor", div_factor, above=0)
        self.final_div_factor = self._check("final_div_factor", final_div_factor, above=0)
        self.three_phase = check_flag(type(self).__name__, "three_phase", three_phase)
        if self.three_phase:
            self._check("pct_start with three_phase", pct_start, at_most=0.5)
        self.name = name

    def _formula(self, steps: Array) -> Array:
        phases = self._phases()
        starts = [0.0] + [stop for stop, _, _ in phases[:-1]]
        rates = np.full_like(steps, phases[-1][2])
        for start, (stop, before, after) in reversed(list(zip(starts, phases, strict=True))):
            # A phase of one step is at its end.
            done = np.clip((steps - start) / (stop - start), 0, 1) if stop > start else 1.0
            left = 0.5 * (1 + np.cos(math.pi * done)) if self.anneal_strategy == "cos" else 1 - done
            rates = np.where(steps <= stop, after + (before - after) * left, rates)
        return rates

    def _phases(self) -> list[tuple[float, float, float]]:
        """The last step of each phase, and the rates that it goes from and to."""
        highest = self.max_learning_rate
        first = highest / self.div_factor
        last = first / self.final_div_factor
        up = self.pct_start * self.total_steps
        end = float(self.total_steps - 1)
        if self.three_phase:
            return [(up - 1, first, highest), (2 * up - 2, highest, first), (end, first, last)]
        return [(up - 1, first, highest), (end, highest, last)]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "max_learning_rate": self.max_learning_rate,
            "total_steps": self.total_steps,
            "pct_start": self.pct_start,
            "anneal_strategy": self.anneal_strategy,
            "div_factor": self.div_factor,
            "final_div_factor": self.final_div_factor,
            "three_phase": self.three_phase,
            "name": self.name,
        }


CLASSES: dict[str, type[Formula]] = {
    cls.__name__: cls
    for cls in (
        ExponentialDecay,
        InverseTimeDecay,
        PiecewiseConstantDecay,
        PolynomialDecay,
        CosineDecay,
        CosineDecayRestarts,
        OneCycle,
    )
}
"""Every schedule that a config may name."""


def serialize(schedule: LearningRateSchedule) -> dict[str, Any]:
    """The config of ``schedule``; ValueError if it isn't one of fastnn's own."""
    if CLASSES.get(type(schedule).__name__) is not type(schedule):
        raise ValueError(
            f"a learning-rate schedule of type {type(schedule).__name__} can't be saved: "
            "it isn't one of fastnn's own"
        )
    return _serialize(schedule)


def deserialize(config: dict[str, Any]) -> Formula:
    """The schedule that ``serialize`` described; ValueError naming what is wrong."""
    # mypy wants a class that can be called, but an abstract base only serves isinstance.
    return resolve("learning-rate schedule", Formula, CLASSES, config)  # type: ignore[type-abstract]
