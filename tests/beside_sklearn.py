"""Digits to learn, and scikit-learn's estimators beside fastnn's."""

from __future__ import annotations

import inspect
from typing import Any

from sklearn import neural_network
from sklearn.datasets import load_digits

X, Y = load_digits(return_X_y=True)
X, Y = X[:600] / 16, Y[:600]


def theirs(estimator: Any) -> Any:
    """scikit-learn's own, with the same arguments."""
    own = getattr(neural_network, type(estimator).__name__)
    known = inspect.signature(own).parameters
    return own(**{k: v for k, v in estimator.get_params().items() if k in known})
