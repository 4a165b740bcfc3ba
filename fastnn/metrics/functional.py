"""A metric made of a function."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn._checks import check_flag
from fastnn._naming import snake_case
from fastnn.metrics.base import EpochMetric


class CallableMetric(EpochMetric):
    """Any ``function(y_true, y_pred) -> float``, called when the epoch ends, with all its examples.

    Keras would take the mean over batches of a function of tensors; this is scikit-learn's way, so
    that ``metrics=[sklearn.metrics.roc_auc_score]`` works. The function gets NumPy arrays:
    ``y_true`` as the caller gave it, but labels (N, 1) as (N,), and ``y_pred`` of shape
    (N, outputs), or (N,) for an output of width 1. Of an output (N, ..., classes) each place is an
    example. A weight for each example is passed as
    ``sample_weight`` if the function takes that.

    Args:
        function: the function; a model with it can't be saved, only its weights.
        name: the key in ``history``; by default the function's name.
        classes: give it predicted classes (N,), integers, in the place of ``y_pred``: the largest
            output's, or for an output of width 1 whether it is above 0.5. By default a function
            that refuses the predictions with a ValueError is asked again with the classes: so
            does scikit-learn's ``accuracy_score``.

    Raises:
        TypeError: ``function`` can't be called.
    """

    direction = None

    def __init__(
        self,
        function: Callable[..., float],
        name: str | None = None,
        *,
        classes: bool | None = None,
    ) -> None:
        if not callable(function):
            raise TypeError(f"CallableMetric: function must be a function, got {function!r}")
        super().__init__(_name_of(function) if name is None else name)
        self.function = function
        self.classes = None if classes is None else check_flag("CallableMetric", "classes", classes)

    def compute(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> float:
        """See ``EpochMetric``.

        Raises:
            TypeError: the function gives something else than a number, or takes no weights though
                there are some.
        """
        true, pred = np.asarray(y_true), np.asarray(y_pred)
        true, pred = (
            each[:, 0] if each.ndim == 2 and each.shape[1] == 1 else each for each in (true, pred)
        )
        weights = {} if sample_weight is None else {"sample_weight": np.asarray(sample_weight)}
        if weights and not _takes_weights(self.function):
            raise TypeError(
                f"metric {self.name!r} is among weighted_metrics, but its function takes no "
                "sample_weight: give it as one of metrics"
            )
        if self.classes:
            return self._number(self.function(true, _classes(pred), **weights))
        try:
            return self._number(self.function(true, pred, **weights))
        except ValueError as refusal:
            if self.classes is False:
                raise
            try:
                return self._number(self.function(true, _classes(pred), **weights))
            except ValueError:
                raise refusal from None

    def _number(self, value: object) -> float:
        if isinstance(value, np.ndarray) and value.ndim == 0:
            value = value.item()
        if not isinstance(value, Real):
            raise TypeError(
                f"metric {self.name!r}: the function must give a number, got {value!r:.80} of type "
                f"{type(value).__name__}"
            )
        return float(value)

    def get_config(self) -> dict[str, Any]:
        """Always a ValueError: a function can't be written into a file."""
        raise ValueError(
            f"metric {self.name!r} is a Python function, which can't be saved: save the weights "
            "alone, or compile the model without it"
        )

    def __repr__(self) -> str:
        return f"CallableMetric({self.function!r}, name={self.name!r})"


def _name_of(function: Callable[..., float]) -> str:
    if isinstance(function, functools.partial):
        return _name_of(function.func)
    return str(getattr(function, "__name__", snake_case(type(function).__name__)))


def _takes_weights(function: Callable[..., float]) -> bool:
    try:
        parameters = inspect.signature(function).parameters
    except ValueError:  # a function written in C may have no signature
        return True
    return "sample_weight" in parameters or any(
        parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()
    )


def _classes(pred: NDArray[Any]) -> NDArray[np.int64]:
    return (pred > 0.5).astype(np.int64) if pred.ndim == 1 else pred.argmax(axis=1)
