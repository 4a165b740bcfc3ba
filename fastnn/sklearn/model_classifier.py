"""A classifier around any model."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets, unique_labels
from sklearn.utils.validation import column_or_1d

from fastnn.models import Model
from fastnn.sklearn.model_estimator import ModelEstimator
from fastnn.sklearn.validation import validate_data
from fastnn.utils import to_categorical

Array = NDArray[Any]


class SKLearnClassifier(ClassifierMixin, ModelEstimator):
    """A scikit-learn classifier around a model whose output are the classes' probabilities (N,
    classes), or (N, 1) that of the second of two. Arguments: see ``ModelEstimator``.

    The model's loss decides what it gets as targets: the classes' numbers, in the order of
    ``classes_``, or one-hot rows.

    Attributes:
        classes_: Labels, sorted.
        model_, history_, n_features_in_, feature_names_in_: See ``ModelEstimator``.
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None, **kwargs: Any) -> SKLearnClassifier:
        """Make the model and train it.

        Args:
            X: (N, ...).
            y: Labels (N,) of any kind.
            sample_weight: (N,).
            kwargs: Go before ``fit_kwargs``.
        """
        X, y = validate_data(self, X, y, **self._inputs)
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        self.classes_ = unique_labels(y)
        if len(self.classes_) == 1:
            raise ValueError(
                f"{type(self).__name__}: y must have two classes at least, got one class"
            )
        shown = to_categorical(np.searchsorted(self.classes_, y), len(self.classes_))
        self._train(X, shown, sample_weight, kwargs)
        return self

    def _targets_for(self, model: Model, shown: Any) -> Any:
        (objective,) = model._objectives()
        width = model.outputs[0].shape[-1]
        one_hot = objective.takes_labels is False and width != 1
        return shown if one_hot else shown.argmax(axis=1)

    def predict_proba(self, X: Any) -> Array:
        """(N, classes) float64 in the order of ``classes_``."""
        outputs = self._predicted(X).astype(np.float64)
        if outputs.shape[1] == 1:
            return np.hstack([1 - outputs, outputs])
        # float32 has seven digits: in float64, too, they shall sum to 1.
        found: Array = outputs / outputs.sum(axis=1, keepdims=True)
        return found

    def predict(self, X: Any) -> Array:
        """Labels (N,)."""
        outputs = self._predicted(X)
        places = outputs[:, 0] > 0.5 if outputs.shape[1] == 1 else outputs.argmax(axis=1)
        found: Array = self.classes_[places.astype(np.intp)]
        return found
