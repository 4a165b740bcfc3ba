"""A transformer around any model."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin

from fastnn.sklearn.model_estimator import ModelEstimator
from fastnn.sklearn.validation import validate_data


class SKLearnTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ModelEstimator):
    """A scikit-learn transformer around a model whose output are the new features (N, features):
    an autoencoder's code, say. Arguments and attributes: see ``ModelEstimator``.

    Without y the model is trained to give back X.
    """

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, **kwargs: Any) -> Any:
        """Make the model and train it.

        Args:
            X: (N, features).
            y: What the model is trained on: numbers (N, outputs); None for X itself.
            sample_weight: (N,).
            kwargs: Go before ``fit_kwargs``.
        """
        if y is None:
            X = self._validated(X, reset=True)
            y = X.toarray() if hasattr(X, "toarray") else X
        else:
            X, y = validate_data(self, X, y, multi_output=True, y_numeric=True, **self._inputs)
        model = self._train(X, y, sample_weight, kwargs)
        self._n_features_out = model.outputs[0].shape[-1]
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:
        """The model's output (N, features), float32."""
        return self._predicted(X)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags
