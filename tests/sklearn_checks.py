"""scikit-learn's checks of estimators as pytest's parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks


def every_check(estimators: Sequence[Any], expected: Callable[[Any], dict[str, str]]) -> Any:
    """``parametrize_with_checks`` with a list: pytest 9 warns of the generator of older ones."""
    mark = parametrize_with_checks(list(estimators), expected_failed_checks=expected)
    names, values = mark.args
    return pytest.mark.parametrize(names, list(values), ids=_name)


def _name(value: Any) -> str:
    """Not scikit-learn's, which has addresses of functions in it: others in each process."""
    return value.func.__name__ if hasattr(value, "func") else type(value).__name__
