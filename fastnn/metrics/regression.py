"""Metrics of regression that need the whole epoch, or that no loss is."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastnn._checks import check_choice, check_integer
from fastnn._warnings import warn
from fastnn.metrics.base import EpochMetric, values_like, weights_of

EPSILON = 1e-7
"""The norm that CosineSimilarity divides by is at least this, as in Keras."""


class RootMeanSquaredError(EpochMetric):
    """``sqrt(mean((y - p)^2))`` over all examples and outputs."""

    direction = "min"

    def __init__(self, name: str = "root_mean_squared_error") -> None:
        super().__init__(name)

    def compute(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> float:
        """See ``EpochMetric``."""
        true, pred = values_like(self, y_true, y_pred)
        weights = weights_of(sample_weight, len(true))
        total = weights.sum()
        return math.sqrt(weights @ np.square(true - pred).mean(axis=1) / total) if total else 0.0


class CosineSimilarity(EpochMetric):
    """Mean over the examples of ``y . p / (|y| |p|)``.

    Args:
        name: the key in ``history``.
        axis: always -1, the outputs.
    """

    def __init__(self, name: str = "cosine_similarity", axis: int = -1) -> None:
        super().__init__(name)
        if axis not in (-1, 1):
            raise ValueError(f"CosineSimilarity: axis must be -1 or 1, the last one, got {axis!r}")

    def compute(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> float:
        """See ``EpochMetric``."""
        true, pred = values_like(self, y_true, y_pred)
        weights = weights_of(sample_weight, len(true))
        norms = [np.maximum(np.linalg.norm(each, axis=1), EPSILON) for each in (true, pred)]
        cosines = (true * pred).sum(axis=1) / (norms[0] * norms[1])
        total = weights.sum()
        return float(weights @ cosines / total) if total else 0.0


class R2Score(EpochMetric):
    """Coefficient of determination: ``1 - sum((y - p)^2) / sum((y - mean(y))^2)``.

    An output whose targets are all equal scores 0, and nan if the predictions equal them too.

    Args:
        class_aggregation: over several outputs: "uniform_average", or "variance_weighted_average".
            (Keras's None gives a list; the logs hold one number.)
        num_regressors: if not 0, the adjusted score, for so many independent inputs:
            ``1 - (1 - R2) * (n - 1) / (n - num_regressors - 1)``, n being the number of values in
            the targets, as Keras counts them.
        name: the key in ``history``.

    Raises:
        TypeError, ValueError: an argument is none of these.
    """

    def __init__(
        self,
        class_aggregation: str = "uniform_average",
        num_regressors: int = 0,
        name: str = "r2_score",
    ) -> None:
        super().__init__(name)
        self.class_aggregation = check_choice(
            "R2Score", "class_aggregation", class_aggregation,
            ("uniform_average", "variance_weighted_average"),
        )  # fmt: skip
        self.num_regressors = check_integer("R2Score", "num_regressors", num_regressors, at_least=0)

    def compute(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> float:
        """See ``EpochMetric``. Warns where there are too few values for ``num_regressors``."""
        true, pred = values_like(self, y_true, y_pred)
        weights = weights_of(sample_weight, len(true))
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = weights @ true / weights.sum()
            total = weights @ np.square(true - mean)
            scores = 1 - weights @ np.square(true - pred) / total
            scores[np.isinf(scores)] = 0.0
            if self.class_aggregation == "uniform_average":
                score = float(scores.mean())
            else:
                score = float(total @ scores / total.sum())
        return self._adjusted(score, true.size)

    def _adjusted(self, score: float, n: int) -> float:
        if not self.num_regressors:
            return score
        rest = n - self.num_regressors - 1
        if rest <= 0:
            warn(
                f"R2Score: {n} values are too few for num_regressors={self.num_regressors}; the "
                "score is not adjusted"
            )
            return score
        return 1 - (1 - score) * (n - 1) / rest

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "class_aggregation": self.class_aggregation,
            "num_regressors": self.num_regressors,
        }
