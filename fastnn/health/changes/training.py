"""How steps are taken: learning rate, optimizer, clipping, batch size."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from fastnn.health.blueprint import Blueprint
from fastnn.health.changes.base import Change
from fastnn.health.standard import goes_by_gradient
from fastnn.optimizers import SGD, Adam, Optimizer
from fastnn.optimizers.schedules import LearningRateSchedule

_RATES = {"Lion": 1e-4, "Adagrad": 1e-2}
"""Rates to begin with (Chen et al. 2023 for Lion: a tenth of Adam's)."""

_RATE = 1e-3
_SGD_RATE = 0.1
_MOMENTUM_RATE = 0.01

_NORM = 1.0

_COMMON = (
    "weight_decay", "clipnorm", "clipvalue", "global_clipnorm", "adaptive_clip", "use_ema",
    "ema_momentum", "ema_overwrite_frequency", "nonfinite",
)  # fmt: skip
"""What Adam takes over from another optimizer."""


def learning_rate(blueprint: Blueprint) -> list[Change]:
    """The optimizer's usual one, if the present one is not near; a tenth; ten times as much."""
    optimizer = blueprint.optimizer
    usual, now = usual_rate(optimizer), optimizer.learning_rate
    rates = {}
    if not usual / 2 <= now <= 2 * usual or _scheduled(optimizer):
        rates["default"] = usual
    if now:
        rates["down"], rates["up"] = now / 10, now * 10
    changes: dict[str, Change] = {}
    for name, rate in rates.items():
        text = f"{rate:.3g}"
        before = type(optimizer._learning_rate).__name__ if _scheduled(optimizer) else f"{now:.3g}"
        words = f"learning rate {text} instead of {before}"
        change = Change(f"learning_rate_{name}", words, "learning_rate", with_rate(rate))
        changes.setdefault(text, change)
    return list(changes.values())


def with_rate(rate: float) -> Callable[[Blueprint], Blueprint]:
    # The public setter refuses a number where a schedule rules.
    return _changing("_learning_rate", rate)


def optimizer(blueprint: Blueprint) -> list[Change]:
    """Adam in the place of those that take steps as long as the gradient."""
    if not goes_by_gradient(blueprint.optimizer):
        return []
    words = f"Adam({_RATE:g}) instead of {blueprint.optimizer!r}"
    return [Change("optimizer", words, "optimizer", _with_adam)]


def _with_adam(blueprint: Blueprint) -> Blueprint:
    old = blueprint.optimizer
    if not goes_by_gradient(old):
        return blueprint
    common: dict[str, Any] = {key: getattr(old, key) for key in _COMMON}
    return replace(blueprint, optimizer=Adam(_RATE, **common))


def clipping(blueprint: Blueprint) -> list[Change]:
    """Where nothing is clipped yet (Pascanu et al. 2013)."""
    old = blueprint.optimizer
    if old.clipnorm or old.clipvalue or old.global_clipnorm or old.adaptive_clip:
        return []
    return [
        Change(
            "clipping",
            f"gradients clipped to a norm of {_NORM:g} over all weights",
            "clipping",
            _changing("global_clipnorm", _NORM),
        )
    ]


def batch_size(present: int) -> list[Change]:
    """Four times as much, less noise; or if it is large already, more steps."""
    other = 128 if present <= 64 else 32
    return [
        Change(
            f"batch_size_{other}",
            f"batches of {other} rows instead of {present}",
            "batch_size",
            fit_arguments=lambda: {"batch_size": other},
        )
    ]


def _changing(attribute: str, value: float) -> Callable[[Blueprint], Blueprint]:
    def edit(blueprint: Blueprint) -> Blueprint:
        optimizer = copy.deepcopy(blueprint.optimizer)
        setattr(optimizer, attribute, value)
        return replace(blueprint, optimizer=optimizer)

    return edit


def _scheduled(optimizer: Optimizer) -> bool:
    return isinstance(optimizer._learning_rate, LearningRateSchedule)


def usual_rate(optimizer: Optimizer) -> float:
    """A rate to begin with."""
    if isinstance(optimizer, SGD):
        return _MOMENTUM_RATE if optimizer.momentum else _SGD_RATE
    return _RATES.get(type(optimizer).__name__, _RATE)
