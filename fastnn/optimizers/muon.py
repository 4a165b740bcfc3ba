"""Muon."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastnn.optimizers.base import Optimizer, rows
from fastnn.optimizers.schedules import LearningRateSchedule
from fastnn.optimizers.settings import Setting, Shared, count, flag, optional_real, real
from fastnn.variables import Variable

if TYPE_CHECKING:
    from typing_extensions import Unpack


def _checked_patterns(owner: str, name: str, value: object) -> Sequence[str]:
    patterns = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else None
    if patterns is None or not all(isinstance(pattern, str) for pattern in patterns):
        raise TypeError(f"{owner}: {name} must be a list of strings, got {value!r}")
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(
                f"{owner}: {name} must hold regular expressions, got {pattern!r}: {error}"
            ) from error
    return patterns


class Muon(Optimizer):
    """Muon (Jordan et al. 2024): momentum, orthogonalized; arguments, arithmetic are Keras 3's.

    A kernel (in, out) takes a step along the orthogonal matrix that is nearest to its momentum::

        m = momentum * m + g
        X = g + momentum * m                    (nesterov; else m)
        X /= |X| + 1e-7                         (Frobenius norm)
        ns_steps times: X = a * X + b * X X'X + c * X X'X X'X     (Newton-Schulz)
        w -= lr * rms_rate * sqrt(max(in, out)) * X

    The last factor (Liu et al. 2025) makes the steps as large as Adam's. Biases, and kernels that
    are excluded, take Adam's step with ``adam_lr_ratio * lr``. The output layer's kernel is better
    excluded: ``exclude_layers=["output"]``, if that is its name.

    Args:
        learning_rate: a number >= 0 or a schedule.
        adam_beta_1: ``beta_1`` of ``Adam``.
        adam_beta_2: ``beta_2`` of ``Adam``.
        adam_weight_decay: None or a number >= 0: the decay of the weights that take Adam's step.
        epsilon: ``epsilon`` of ``Adam``.
        weight_decay: None or a number >= 0: the decay of the weights that take Muon's step; see
            ``Optimizer``.
        exclude_layers: regular expressions; weights in whose path ("dense/kernel") one of them is
            found take Adam's step.
        exclude_embeddings: weights with "embedding" in their path take Adam's step.
        muon_a, muon_b, muon_c: coefficients of the Newton-Schulz iteration.
        adam_lr_ratio: Adam's learning rate over Muon's, a number >= 0.
        momentum: in [0, 1].
        ns_steps: Newton-Schulz iterations, an integer >= 0.
        nesterov: look ahead.
        rms_rate: a number > 0, or None: ``w -= lr * X``.
        clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency, name,
            adaptive_clip, nonfinite: see ``Optimizer``.
    """

    adam_beta_1 = real(at_least=0, below=1)
    adam_beta_2 = real(at_least=0, below=1)
    adam_weight_decay = optional_real(at_least=0)
    epsilon = real(at_least=0)
    exclude_layers = Setting(_checked_patterns)
    exclude_embeddings = flag()
    muon_a = real()
    muon_b = real()
    muon_c = real()
    adam_lr_ratio = real(at_least=0)
    momentum = real(at_least=0, at_most=1)
    ns_steps = count(at_least=0)
    nesterov = flag()
    rms_rate = optional_real(above=0)

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        adam_beta_1: float = 0.9,
        adam_beta_2: float = 0.999,
        adam_weight_decay: float | None = 0.004,
        epsilon: float = 1e-7,
        weight_decay: float | None = 0.004,
        *shared: Any,
        exclude_layers: Sequence[str] | None = None,
        exclude_embeddings: bool = True,
        muon_a: float = 3.4445,
        muon_b: float = -4.7750,
        muon_c: float = 2.0315,
        adam_lr_ratio: float = 1.0,
        momentum: float = 0.95,
        ns_steps: int = 5,
        nesterov: bool = True,
        rms_rate: float | None = 0.2,
        **options: Unpack[Shared],
    ) -> None:
        super().__init__(learning_rate, weight_decay, *shared, **options)
        self.adam_beta_1 = adam_beta_1
        self.adam_beta_2 = adam_beta_2
        self.adam_weight_decay = adam_weight_decay
        self.epsilon = epsilon
        self.exclude_layers = () if exclude_layers is None else exclude_layers
        self.exclude_embeddings = exclude_embeddings
        self.muon_a = muon_a
        self.muon_b = muon_b
        self.muon_c = muon_c
        self.adam_lr_ratio = adam_lr_ratio
        self.momentum = momentum
        self.ns_steps = ns_steps
        self.nesterov = nesterov
        self.rms_rate = rms_rate

    @property
    def kernel(self) -> str:
        """``adam``: that of the weights that are no matrices; see ``kernel_for``."""
        return "adam"

    @property
    def slots(self) -> tuple[str, ...]:
        """Adam's ``momentum`` and ``velocity``; see ``slots_for``."""
        return ("momentum", "velocity")

    def kernel_for(self, variable: Variable) -> str:
        """``muon`` for a matrix that is not excluded; ``adam`` for all else."""
        if len(variable.shape) != 2:
            return "adam"
        if self.exclude_embeddings and "embedding" in variable.path.lower():
            return "adam"
        if any(re.search(pattern, variable.path) for pattern in self.exclude_layers):
            return "adam"
        return "muon"

    def slots_for(self, variable: Variable) -> tuple[str, ...]:
        """Muon keeps the ``momentum`` only."""
        return ("momentum",) if self.kernel_for(variable) == "muon" else self.slots

    def scalars(
        self, iterations: NDArray[np.int64], learning_rate: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Rows of Adam's five (see ``Adam.scalars``), then Muon's: learning rate, weight decay,
        momentum."""
        step = iterations + 1.0
        alpha = np.sqrt(1 - self.adam_beta_2**step) / (1 - self.adam_beta_1**step)
        return rows(
            learning_rate * self.adam_lr_ratio * alpha,
            learning_rate * (self.adam_weight_decay or 0.0),
            1 - self.adam_beta_1,
            1 - self.adam_beta_2,
            self.epsilon,
            learning_rate,
            self._decay(learning_rate),
            self.momentum,
        )

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "adam_beta_1": self.adam_beta_1,
            "adam_beta_2": self.adam_beta_2,
            "adam_weight_decay": self.adam_weight_decay,
            "epsilon": self.epsilon,
            "exclude_layers": list(self.exclude_layers),
            "exclude_embeddings": self.exclude_embeddings,
            "muon_a": self.muon_a,
            "muon_b": self.muon_b,
            "muon_c": self.muon_c,
            "adam_lr_ratio": self.adam_lr_ratio,
            "momentum": self.momentum,
            "ns_steps": self.ns_steps,
            "nesterov": self.nesterov,
            "rms_rate": self.rms_rate,
        }
