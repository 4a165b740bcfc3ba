"""Precision, recall and F1: counts of true and false positives and negatives."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn._checks import check_choice, check_integer, check_real
from fastnn.metrics.base import EpochMetric, one_hot_like, weights_of

EPSILON = 1e-7
"""Added to what F1Score divides by, as in Keras."""

Booleans = NDArray[np.bool_]


class CountMetric(EpochMetric):
    """Base class of precision and recall. Arguments: see ``Precision``."""

    def __init__(
        self, name: str, thresholds: float | None, top_k: int | None, class_id: int | None
    ) -> None:
        super().__init__(name)
        owner = type(self).__name__
        if thresholds is not None:
            thresholds = check_real(owner, "thresholds", thresholds, at_least=0, at_most=1)
        if top_k is not None:
            top_k = check_integer(owner, "top_k", top_k, at_least=1)
        if class_id is not None:
            class_id = check_integer(owner, "class_id", class_id, at_least=0)
        self.thresholds = thresholds
        self.top_k = top_k
        self.class_id = class_id

    def compute(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> float:
        """See ``EpochMetric``. 0 where there is nothing to divide by."""
        true, pred = one_hot_like(self, y_true, y_pred)
        width = pred.shape[1]
        if self.top_k is not None and self.top_k > width:
            raise ValueError(
                f"metric {self.name!r} has top_k={self.top_k}, the output only {width}"
            )
        if self.class_id is not None and self.class_id >= width:
            raise ValueError(
                f"metric {self.name!r} has class_id={self.class_id}, the output only {width}"
            )
        positive = self._positive(pred)
        if self.class_id is not None:
            true, positive = true[:, [self.class_id]], positive[:, [self.class_id]]
        weights = weights_of(sample_weight, len(true))
        found = float(weights @ (true & positive).sum(axis=1))
        total = float(weights @ self._total(true, positive).sum(axis=1))
        return found / total if total else 0.0

    def _positive(self, pred: NDArray[np.float64]) -> Booleans:
        if self.top_k is None:
            return _above(pred, 0.5 if self.thresholds is None else self.thresholds)
        largest = np.argsort(-pred, axis=1, kind="stable")[:, : self.top_k]
        positive = np.zeros(pred.shape, np.bool_)
        np.put_along_axis(positive, largest, True, axis=1)
        return positive if self.thresholds is None else positive & _above(pred, self.thresholds)

    @abstractmethod
    def _total(self, true: Booleans, positive: Booleans) -> Booleans:
        """What the true positives are a share of."""

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "thresholds": self.thresholds,
            "top_k": self.top_k,
            "class_id": self.class_id,
        }


class Precision(CountMetric):
    """Share of the positive predictions that are right.

    Each number of the predictions (N, outputs) is a decision of its own, and all of them are
    counted together: with several classes this is scikit-learn's "micro" average. Targets are 0 or
    1, or labels, which become one-hot (Keras refuses those).

    Args:
        thresholds: a number in [0, 1], by default 0.5: a prediction above it is positive; 0 suits
            logits. (Keras also takes a list, and gives a list; make several metrics.)
        top_k: only the k largest predictions of a row are positive; without ``thresholds``, all of
            those.
        class_id: count this output alone.
        name: the key in ``history``. Keras numbers the default names of all instances in a process
            ("precision_1"); here only those of one model are.

    Raises:
        TypeError, ValueError: an argument is out of its range.
    """

    def __init__(
        self,
        thresholds: float | None = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str = "precision",
    ) -> None:
        super().__init__(name, thresholds, top_k, class_id)

    def _total(self, true: Booleans, positive: Booleans) -> Booleans:
        return positive


class Recall(CountMetric):
    """Share of what is true that is predicted positive. Arguments and targets: ``Precision``'s."""

    def __init__(
        self,
        thresholds: float | None = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str = "recall",
    ) -> None:
        super().__init__(name, thresholds, top_k, class_id)

    def _total(self, true: Booleans, positive: Booleans) -> Booleans:
        return true


class F1Score(EpochMetric):
    """Harmonic mean of precision and recall, ``2 * p * r / (p + r)``.

    Targets are 0 or 1, or labels, which become one-hot (Keras refuses those).

    Args:
        average: over the classes: "macro", their plain mean; "weighted", weighted by the number of
            true examples of each; "micro", precision and recall of all classes together. None, the
            default, gives a score for each class in Keras; the logs hold one number, so here it is
            "macro", and ``per_class`` gives the scores.
        threshold: in (0, 1]: a prediction above it is positive. By default the largest of the row
            is; for an output of width 1 (where Keras calls every row positive), one above 0.5.
        name: the key in ``history``.

    Raises:
        TypeError, ValueError: an argument is out of its range.
    """

    def __init__(
        self, average: str | None = None, threshold: float | None = None, name: str = "f1_score"
    ) -> None:
        super().__init__(name)
        if average is not None:
            average = check_choice("F1Score", "average", average, ("micro", "macro", "weighted"))
        if threshold is not None:
            threshold = check_real("F1Score", "threshold", threshold, above=0, at_most=1)
        self.average = average
        self.threshold = threshold

    def compute(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> float:
        """See ``EpochMetric``. A class without positives has the score 0."""
        scores, supports = self._scores(y_true, y_pred, sample_weight, self.average == "micro")
        if self.average == "weighted":
            return float(scores @ supports / (supports.sum() + EPSILON))
        return float(scores.mean())

    def per_class(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> NDArray[np.float64]:
        """The score of each class, (outputs,). Arguments as ``compute``'s."""
        return self._scores(y_true, y_pred, sample_weight, together=False)[0]

    def _scores(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: Any, together: bool
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Scores of the classes, or of all together, and how many examples of each are true."""
        true, pred = one_hot_like(self, y_true, y_pred)
        if self.threshold is not None:
            positive = _above(pred, self.threshold)
        elif pred.shape[1] == 1:
            positive = _above(pred, 0.5)
        else:
            # As in Keras, a row of zeros has no largest.
            positive = (pred >= pred.max(axis=1, keepdims=True)) & (np.abs(pred) > 1e-9)
        weights = weights_of(sample_weight, len(true))
        found, positives, supports = (
            np.atleast_1d((weights @ each).sum() if together else weights @ each)
            for each in (true & positive, positive, true)
        )
        precision = found / (positives + EPSILON)
        recall = found / (supports + EPSILON)
        return 2 * precision * recall / (precision + recall + EPSILON), supports

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "average": self.average, "threshold": self.threshold}


def _above(pred: NDArray[np.float64], threshold: float) -> Booleans:
    # A prediction is a float32: one of 0.3 is not above a threshold of 0.3, which no float32 is.
    return pred > np.float64(np.float32(threshold))
