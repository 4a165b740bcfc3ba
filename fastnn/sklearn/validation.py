"""scikit-learn's validation of X and y, which names the column of a table that has a gap."""

from __future__ import annotations

from typing import Any

from sklearn.utils import validation

from fastnn.frames import check_complete


def validate_data(estimator: Any, X: Any, y: Any = "no_validation", **options: Any) -> Any:
    """``sklearn.utils.validation.validate_data``.

    Raises:
        ValueError: A table has a gap, or as scikit-learn has it.
    """
    check_complete(X, "X")
    check_complete(y, "y")
    return validation.validate_data(estimator, X, y, **options)
