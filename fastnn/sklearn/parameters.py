"""The constructor arguments of the perceptrons, checked when ``fit`` begins, as scikit-learn's
conventions have it; and what they mean for a net of so many layers."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import activations
from fastnn._checks import check_choice, check_flag, check_integer, check_real
from fastnn.activations import Activation
from fastnn.callbacks import Callback
from fastnn.optimizers import CLASSES as OPTIMIZERS
from fastnn.optimizers import Optimizer
from fastnn.optimizers.schedules import LearningRateSchedule

if TYPE_CHECKING:
    from fastnn.sklearn.mlp import MLP

RATES = ("constant", "invscaling", "adaptive")

_ACTIVATIONS = {"identity": "linear", "logistic": "sigmoid"}
"""scikit-learn's names that are not Keras's."""

_REALS: dict[str, dict[str, float]] = {
    "alpha": {"at_least": 0},
    "power_t": {"at_least": 0},
    "tol": {"at_least": 0},
    "momentum": {"at_least": 0, "at_most": 1},
    "validation_fraction": {"at_least": 0, "below": 1},
    "beta_1": {"at_least": 0, "below": 1},
    "beta_2": {"at_least": 0, "below": 1},
    "epsilon": {"above": 0},
    "learning_rate_init": {"above": 0},
}
_COUNTS = ("max_iter", "max_fun")
_FLAGS = ("shuffle", "warm_start", "nesterovs_momentum", "early_stopping", "batch_norm")
_CLIPS = ("clipnorm", "clipvalue", "global_clipnorm", "adaptive_clip")


@dataclass(frozen=True)
class Hidden:
    """A hidden layer."""

    units: int
    activation: Activation
    dropout: float


def check_parameters(estimator: MLP) -> None:
    """All arguments but those that :func:`hidden_layers` reads.

    Raises:
        TypeError, ValueError: One is not what it must be; the message names it.
    """
    owner = type(estimator).__name__
    for name, bounds in _REALS.items():
        check_real(owner, name, getattr(estimator, name), **bounds)
    for name in _COUNTS:
        check_integer(owner, name, getattr(estimator, name), at_least=1)
    for name in _FLAGS:
        value = getattr(estimator, name)
        check_flag(owner, name, bool(value) if isinstance(value, np.bool_) else value)
    for name in _CLIPS:
        value = getattr(estimator, name)
        if value is not None:
            check_real(owner, name, value, above=0)
    if estimator.batch_size != "auto":
        check_integer(owner, "batch_size", estimator.batch_size, at_least=1)
    if estimator.n_iter_no_change != math.inf:
        check_integer(owner, "n_iter_no_change", estimator.n_iter_no_change, at_least=1)
    if not isinstance(estimator.learning_rate, LearningRateSchedule):
        check_choice(owner, "learning_rate", estimator.learning_rate, RATES)
    _check_solver(owner, estimator)
    callbacks = estimator.callbacks
    if callbacks is not None and not (
        isinstance(callbacks, (list, tuple)) and all(isinstance(c, Callback) for c in callbacks)
    ):
        raise TypeError(
            f"{owner}: callbacks must be a list of Callback instances, got {callbacks!r}"
        )


def _check_solver(owner: str, estimator: MLP) -> None:
    solver = estimator.solver
    if solver == "lbfgs":
        unused = ["callbacks", *_CLIPS]
        given = [name for name in unused if getattr(estimator, name) is not None]
        given += ["batch_norm"] * bool(estimator.batch_norm)
        given += ["dropout"] * bool(np.any(estimator.dropout))
        if isinstance(estimator.learning_rate, LearningRateSchedule):
            given.append("a schedule as learning_rate")
        if given:
            raise ValueError(f"{owner}: solver='lbfgs' can't be combined with {given[0]}")
    elif isinstance(solver, Optimizer):
        given = [name for name in _CLIPS if getattr(estimator, name) is not None]
        if isinstance(estimator.learning_rate, LearningRateSchedule):
            given.append("learning_rate")
        if given:
            raise ValueError(
                f"{owner}: solver is an optimizer that has settings of its own: give it "
                f"{given[0]}, not the estimator"
            )
    elif not isinstance(solver, str) or solver not in OPTIMIZERS:
        names = sorted(name for name in OPTIMIZERS if name.islower())
        raise ValueError(
            f"{owner}: solver must be 'lbfgs', an Optimizer of fastnn, or one of "
            f"{', '.join(names)}; got {solver!r}"
        )


def settings_of_backup(estimator: MLP) -> dict[str, Any] | None:
    """The arguments that must be the same where a training goes on from a backup; None if none can
    go on, since other numbers would be drawn."""
    if estimator.warm_start or not isinstance(estimator.random_state, numbers.Integral):
        return None
    return {
        name: repr(_plain(value))
        for name, value in estimator.get_params(deep=False).items()
        if name not in ("callbacks", "max_iter", "verbose")
    }


def _plain(value: Any) -> Any:
    """An argument in a form in which it is equal to what means the same."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return sorted((repr(_plain(key)), _plain(item)) for key, item in value.items())
    if hasattr(value, "get_config"):
        return [type(value).__name__, _plain(value.get_config())]
    if value is None or isinstance(value, (bool, int, float, str)) or is_dataclass(value):
        return value
    return type(value).__name__


def hidden_layers(estimator: MLP) -> list[Hidden]:
    """The hidden layers that ``hidden_layer_sizes``, ``activation`` and ``dropout`` describe.

    Raises:
        TypeError, ValueError: They don't fit each other, or one is not what it must be.
    """
    owner = type(estimator).__name__
    sizes = estimator.hidden_layer_sizes
    sizes = list(sizes) if hasattr(sizes, "__iter__") else [sizes]
    units = [check_integer(owner, "hidden_layer_sizes", size) for size in sizes]
    if any(size <= 0 for size in units):
        raise ValueError(f"{owner}: hidden_layer_sizes must be > 0, got {units}.")
    functions = _each(owner, "activation", estimator.activation, len(units))
    rates = _each(owner, "dropout", estimator.dropout, len(units))
    return [
        Hidden(size, _activation(owner, function), _rate(owner, rate))
        for size, function, rate in zip(units, functions, rates, strict=True)
    ]


def _each(owner: str, argument: str, value: Any, count: int) -> list[Any]:
    """One value for each hidden layer."""
    if not isinstance(value, (list, tuple, np.ndarray)):
        return [value] * count
    if len(value) != count:
        raise ValueError(
            f"{owner}: {argument} must be one for all hidden layers, or a list of {count}, one for "
            f"each; got {len(value)}"
        )
    return list(value)


def _rate(owner: str, value: Any) -> float:
    return check_real(owner, "dropout", value, at_least=0, below=1)


def _activation(owner: str, value: Any) -> Activation:
    name = _ACTIVATIONS.get(value, value) if isinstance(value, str) else value
    try:
        return activations.get(name)
    except (TypeError, ValueError) as fault:
        raise type(fault)(f"{owner}: activation: {fault}") from fault


def class_factors(
    owner: str, class_weight: Any, classes: np.ndarray, labels: np.ndarray
) -> np.ndarray | None:
    """What ``class_weight`` makes each row weigh, (N,) float64; None without.

    Raises:
        ValueError: It is neither None, "balanced" nor a dict from labels to numbers >= 0.
    """
    if class_weight is None:
        return None
    factors = np.ones(len(classes))
    if isinstance(class_weight, str):
        check_choice(owner, "class_weight", class_weight, ("balanced",))
        counts = np.bincount(labels, minlength=len(classes))
        present = counts > 0
        factors[present] = len(labels) / (present.sum() * counts[present])
    elif isinstance(class_weight, Mapping):
        places = {label: place for place, label in enumerate(classes.tolist())}
        for label, factor in class_weight.items():
            if label not in places:
                raise ValueError(
                    f"{owner}: class_weight names class {label!r}; classes are {classes.tolist()}"
                )
            factors[places[label]] = check_real(owner, "class_weight", factor, at_least=0)
    else:
        raise ValueError(
            f"{owner}: class_weight must be None, 'balanced' or a dict, got {class_weight!r}"
        )
    found: np.ndarray = factors[labels]
    return found
