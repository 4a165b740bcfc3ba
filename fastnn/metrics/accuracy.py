"""How often the prediction is right."""

from __future__ import annotations

from typing import Any

from fastnn._checks import check_integer, check_real
from fastnn.metrics.base import Metric


class SparseCategoricalAccuracy(Metric):
    """Share of examples whose most probable class is the label, an integer."""

    kind = "sparse_categorical_accuracy"
    params = ()

    def __init__(self, name: str = "sparse_categorical_accuracy") -> None:
        super().__init__(name)


class CategoricalAccuracy(Metric):
    """Share of examples whose most probable class is that of the one-hot target."""

    kind = "categorical_accuracy"
    params = ()

    def __init__(self, name: str = "categorical_accuracy") -> None:
        super().__init__(name)


class BinaryAccuracy(Metric):
    """Share of predictions that, compared with ``threshold``, give the target, 0 or 1.

    Args:
        name: the key in ``history``.
        threshold: a prediction above it counts as 1 (0 suits logits).
    """

    kind = "binary_accuracy"

    def __init__(self, name: str = "binary_accuracy", *, threshold: float = 0.5) -> None:
        super().__init__(name)
        self.threshold = check_real(type(self).__name__, "threshold", threshold)

    @property
    def params(self) -> tuple[float, ...]:
        """(threshold,)."""
        return (self.threshold,)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "threshold": self.threshold}


class TopKCategoricalAccuracy(Metric):
    """Share of examples whose one-hot target's class is among the ``k`` most probable ones."""

    kind = "top_k"

    def __init__(self, k: int = 5, name: str = "top_k_categorical_accuracy") -> None:
        super().__init__(name)
        self.k = check_integer(type(self).__name__, "k", k, at_least=1)

    @property
    def params(self) -> tuple[float, ...]:
        """(k,)."""
        return (float(self.k),)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "k": self.k}


class SparseTopKCategoricalAccuracy(TopKCategoricalAccuracy):
    """Share of examples whose label, an integer, is among the ``k`` most probable classes."""

    kind = "sparse_top_k"

    def __init__(self, k: int = 5, name: str = "sparse_top_k_categorical_accuracy") -> None:
        super().__init__(k, name)
