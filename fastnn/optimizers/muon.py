"""Muon."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn._checks import check_flag, check_integer
from fastnn.optimizers.base import Optimizer, rows
from fastnn.optimizers.schedules import LearningRateSchedule
from fastnn.variables import Variable


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

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        adam_beta_1: float = 0.9,
        adam_beta_2: float = 0.999,
        adam_weight_decay: float | None = 0.004,
        epsilon: float = 1e-7,
        weight_decay: float | None = 0.004,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        *,
        name: str | None = None,
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
        adaptive_clip: float | None = None,
        nonfinite: str = "raise",
    ) -> None:
        super().__init__(
            learning_rate,
            weight_decay,
            clipnorm,
            clipvalue,
            global_clipnorm,
            use_ema,
            ema_momentum,
            ema_overwrite_frequency,
            name=name,
            adaptive_clip=adaptive_clip,
            nonfinite=nonfinite,
        )
        self.adam_beta_1 = self._check("adam_beta_1", adam_beta_1, at_least=0, below=1)
        self.adam_beta_2 = self._check("adam_beta_2", adam_beta_2, at_least=0, below=1)
        self.adam_weight_decay = self._check_optional(
            "adam_weight_decay", adam_weight_decay, at_least=0
        )
        self.epsilon = self._check("epsilon", epsilon, at_least=0)
        self.exclude_layers = self._checked_patterns(exclude_layers)
        self.exclude_embeddings = check_flag("Muon", "exclude_embeddings", exclude_embeddings)
        self.muon_a = self._check("muon_a", muon_a)
        self.muon_b = self._check("muon_b", muon_b)
        self.muon_c = self._check("muon_c", muon_c)
        self.adam_lr_ratio = self._check("adam_lr_ratio", adam_lr_ratio, at_least=0)
        self.momentum = self._check("momentum", momentum, at_least=0, at_most=1)
        self.ns_steps = check_integer("Muon", "ns_steps", ns_steps, at_least=0)
        self.nesterov = check_flag("Muon", "nesterov", nesterov)
        self.rms_rate = self._check_optional("rms_rate", rms_rate, above=0)

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

    def _checked_patterns(self, patterns: Sequence[str] | None) -> tuple[str, ...]:
        if patterns is None:
            return ()
        if isinstance(patterns, str) or not all(isinstance(pattern, str) for pattern in patterns):
            raise TypeError(f"Muon: exclude_layers must be a list of strings, got {patterns!r}")
        for pattern in patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(
                    f"Muon: exclude_layers must hold regular expressions, got {pattern!r}: {error}"
                ) from error
        return tuple(patterns)
