"""The optimizer that ``solver`` names, and scikit-learn's rules for its learning rate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastnn import optimizers
from fastnn.optimizers import Optimizer
from fastnn.optimizers.schedules import LearningRateSchedule

if TYPE_CHECKING:
    from fastnn.sklearn.mlp import MLP

_LOWEST = 1e-6
"""An adaptive learning rate is not divided any more from here on."""


def make_optimizer(estimator: MLP) -> Optimizer:
    """A fresh one, as the estimator's checked arguments say."""
    solver = estimator.solver
    if isinstance(solver, Optimizer):
        return type(solver).from_config(solver.get_config())
    rate = estimator.learning_rate
    if not isinstance(rate, LearningRateSchedule):
        rate = estimator.learning_rate_init
    options: dict[str, Any] = {
        "clipnorm": estimator.clipnorm,
        "clipvalue": estimator.clipvalue,
        "global_clipnorm": estimator.global_clipnorm,
        "adaptive_clip": estimator.adaptive_clip,
    }
    if solver == "adam":
        options |= {
            "beta_1": estimator.beta_1,
            "beta_2": estimator.beta_2,
            "epsilon": estimator.epsilon,
        }
    elif solver == "sgd":
        options |= {"momentum": estimator.momentum, "nesterov": bool(estimator.nesterovs_momentum)}
    return optimizers.CLASSES[solver](learning_rate=rate, **options)


class LearningRate:
    """What becomes of SGD's learning rate from epoch to epoch.

    Args:
        kind: "invscaling": after t rows, learning_rate_init / (t + 1)^power_t; "adaptive": a fifth
            wherever training would stop, down to 1e-6; anything else: as the optimizer has it.
    """

    def __init__(self, kind: Any, first: float, power_t: float, optimizer: Optimizer) -> None:
        self._kind, self._first, self._power = kind, first, power_t
        self._optimizer = optimizer

    def epoch_ends(self, rows: int) -> None:
        """So many rows were trained on since the weights were drawn."""
        if self._kind == "invscaling":
            self._optimizer.learning_rate = self._first / (rows + 1) ** self._power

    def goes_down(self) -> bool:
        """Whether training, which does not get on, shall go on with a lower rate."""
        if self._kind != "adaptive" or self._optimizer.learning_rate <= _LOWEST:
            return False
        self._optimizer.learning_rate = self._optimizer.learning_rate / 5.0
        return True


def learning_rate(estimator: MLP, optimizer: Optimizer) -> LearningRate:
    """As in scikit-learn, only "sgd" heeds the estimator's ``learning_rate`` if it is a name."""
    kind = estimator.learning_rate if estimator.solver == "sgd" else "constant"
    return LearningRate(kind, estimator.learning_rate_init, estimator.power_t, optimizer)
