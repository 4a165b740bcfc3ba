"""A regressor around any model."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin

from fastnn.sklearn.model_estimator import ModelEstimator
from fastnn.sklearn.validation import validate_data

Array = NDArray[Any]


class SKLearnRegressor(RegressorMixin, ModelEstimator):
    """A scikit-learn regressor around a model whose output are the numbers (N, outputs).
    Arguments and attributes: see ``ModelEstimator``."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None, **kwargs: Any) -> SKLearnRegressor:
        """Make the model and train it.

        Args:
            X: (N, ...).
            y: Numbers (N,) or (N, outputs); the model gets (N, outputs).
            sample_weight: (N,).
            kwargs: Go before ``fit_kwargs``.
        """
        X, y = validate_data(self, X, y, multi_output=True, y_numeric=True, **self._inputs)
        self._flat = np.ndim(y) == 1
        self._train(X, y.reshape(len(y), -1), sample_weight, kwargs)
        return self

    def predict(self, X: Any) -> Array:
        """Numbers in the shape that y had."""
        outputs = self._predicted(X).astype(np.float64)
        return outputs[:, 0] if self._flat else outputs

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
