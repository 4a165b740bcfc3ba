"""The area under a curve of decisions over all thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn._checks import check_choice, check_flag, check_integer, check_real
from fastnn.metrics.base import EpochMetric, one_hot_like, weights_of

EPSILON = 1e-7
"""How far the outermost thresholds lie outside [0, 1], as in Keras."""

Floats = NDArray[np.float64]


class AUC(EpochMetric):
    """Area under the ROC curve (true against false positives), or of precision against recall.

    As Keras does, it sums over a row of thresholds; the more of them, the closer it comes to the
    exact area. Each number of the predictions (N, outputs) is a decision of its own. Targets are 0
    or 1, or labels, which become one-hot (Keras refuses those). Predictions are clipped to [0, 1].

    Args:
        num_thresholds: thresholds from 0 to 1, at least 2.
        curve: "ROC" or "PR". (Keras's "PRGAIN" isn't there.)
        summation_method: "interpolation": trapezoids for ROC, and for PR the interpolation of Davis
            & Goadrich 2006, section 4; "minoring" and "majoring": the smaller or the larger end of
            each interval, bounds of the area.
        name: the key in ``history``; see ``Precision``.
        thresholds: the thresholds themselves, in [0, 1], beside 0 and 1.
        multi_label: the mean of each output's own area. (Keras's ``num_labels`` isn't needed, its
            ``label_weights`` isn't there.)
        from_logits: predictions are logits: their sigmoid is taken.

    Raises:
        TypeError, ValueError: an argument is out of its range.
    """

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        name: str = "auc",
        thresholds: Sequence[float] | None = None,
        multi_label: bool = False,
        from_logits: bool = False,
    ) -> None:
        super().__init__(name)
        self.num_thresholds = check_integer("AUC", "num_thresholds", num_thresholds, at_least=2)
        self.curve = check_choice("AUC", "curve", curve, ("ROC", "PR"))
        self.summation_method = check_choice(
            "AUC", "summation_method", summation_method, ("interpolation", "minoring", "majoring")
        )
        self.multi_label = check_flag("AUC", "multi_label", multi_label)
        self.from_logits = check_flag("AUC", "from_logits", from_logits)
        self.thresholds: list[float] | None = None
        if thresholds is not None:
            self.thresholds = sorted(
                check_real("AUC", "thresholds", each, at_least=0, at_most=1) for each in thresholds
            )
            self.num_thresholds = len(self.thresholds) + 2

    def compute(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> float:
        """See ``EpochMetric``."""
        true, pred = one_hot_like(self, y_true, y_pred)
        weights = weights_of(sample_weight, len(true))
        if self.from_logits:
            pred = 0.5 * (1.0 + np.tanh(0.5 * pred))
        pred = pred.clip(0.0, 1.0)
        if self.multi_label:
            columns = range(pred.shape[1])
            return float(np.mean([self._area(true[:, j], pred[:, j], weights) for j in columns]))
        repeated = np.repeat(weights, pred.shape[1])
        return self._area(true.ravel(), pred.ravel(), repeated)

    def _area(self, true: NDArray[np.bool_], pred: Floats, weights: Floats) -> float:
        # How many thresholds, float32 as the predictions are, each prediction is above.
        above = np.searchsorted(self._all_thresholds(), pred)
        tp, fp = (
            # Of each threshold, those above it: sums from the right.
            np.bincount(above, weights * chosen, self.num_thresholds + 1)[:0:-1].cumsum()[::-1]
            for chosen in (true, ~true)
        )
        # The lowest threshold is below every prediction.
        recall, fall_out = _ratio(tp, tp[0]), _ratio(fp, fp[0])
        if self.curve == "ROC":
            return self._sum(fall_out, recall)
        if self.summation_method == "interpolation":
            return _interpolated(tp, fp)
        return self._sum(recall, _ratio(tp, tp + fp))

    def _sum(self, x: Floats, y: Floats) -> float:
        heights = {
            "interpolation": (y[:-1] + y[1:]) / 2,
            "minoring": np.minimum(y[:-1], y[1:]),
            "majoring": np.maximum(y[:-1], y[1:]),
        }[self.summation_method]
        return float((x[:-1] - x[1:]) @ heights)

    def _all_thresholds(self) -> NDArray[np.float32]:
        inner = self.thresholds
        if inner is None:
            inner = [i / (self.num_thresholds - 1) for i in range(1, self.num_thresholds - 1)]
        return np.array([-EPSILON, *inner, 1.0 + EPSILON], np.float32)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "num_thresholds": self.num_thresholds,
            "curve": self.curve,
            "summation_method": self.summation_method,
            "thresholds": self.thresholds,
            "multi_label": self.multi_label,
            "from_logits": self.from_logits,
        }


def _interpolated(tp: Floats, fp: Floats) -> float:
    """Area under precision against recall; tp and tp + fp go linearly between two thresholds."""
    positives = tp + fp
    d_tp = tp[:-1] - tp[1:]
    slope = _ratio(d_tp, positives[:-1] - positives[1:])
    intercept = tp[1:] - slope * positives[1:]
    ratio = np.where(positives[1:] > 0, _ratio(positives[:-1], positives[1:]), 1.0)
    return float(_ratio(slope * (d_tp + intercept * np.log(ratio)), tp[0]).sum())


def _ratio(a: Floats, b: Floats | np.float64) -> Floats:
    """a / b, 0 where b is 0."""
    a, b = np.broadcast_arrays(a, b)
    return np.divide(a, b, out=np.zeros(a.shape), where=b != 0)
