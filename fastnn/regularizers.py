"""Penalties that training adds to the loss: of a weight, or of a layer's output.

A regularizer is declarative: ``l1`` and ``l2`` are all that lowering reads. Called with an array it
computes the penalty, in float64. Other callables, which Keras takes, are refused: the kernels would
not know their gradients.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn._checks import check_real
from fastnn._registry import resolve
from fastnn._registry import serialize as _serialize

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = [
    "L1",
    "L1L2",
    "L2",
    "Regularizer",
    "deserialize",
    "get",
    "l1",
    "l1_l2",
    "l2",
    "serialize",
]


class Regularizer(ABC):
    """Base of all regularizers: ``l1 * sum(|x|) + l2 * sum(x^2)``.

    As in Keras, the penalty of a weight is added to the loss as it is; that of a layer's output is
    divided by the number of rows in the batch first.

    Args:
        l1, l2: The factors, at least 0.

    Attributes:
        l1, l2 : float

    Raises:
        TypeError, ValueError: A factor isn't a finite number, or is negative.
    """

    def __init__(self, l1: float, l2: float) -> None:
        owner = type(self).__name__
        self.l1 = check_real(owner, "l1", l1, at_least=0)
        self.l2 = check_real(owner, "l2", l2, at_least=0)

    def __call__(self, x: ArrayLike) -> float:
        """The penalty of ``x``, an array of any shape."""
        values = np.asarray(x, np.float64)
        return float(self.l1 * np.abs(values).sum() + self.l2 * np.square(values).sum())

    @abstractmethod
    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal regularizer."""

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Regularizer:
        """The regularizer that ``get_config`` described."""
        return cls(**config)

    def __repr__(self) -> str:
        arguments = ", ".join(f"{key}={value!r}" for key, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


class L1(Regularizer):
    """``l1 * sum(|x|)`` (lasso, Tibshirani 1996)."""

    def __init__(self, l1: float = 0.01) -> None:
        super().__init__(l1, 0.0)

    def get_config(self) -> dict[str, Any]:
        return {"l1": self.l1}


class L2(Regularizer):
    """``l2 * sum(x^2)`` (ridge, Hoerl & Kennard 1970). The gradient is ``2 * l2 * x``."""

    def __init__(self, l2: float = 0.01) -> None:
        super().__init__(0.0, l2)

    def get_config(self) -> dict[str, Any]:
        return {"l2": self.l2}


class L1L2(Regularizer):
    """``l1 * sum(|x|) + l2 * sum(x^2)`` (elastic net, Zou & Hastie 2005).

    As in Keras a factor that isn't given is 0, but the name "l1_l2" stands for 0.01 and 0.01, which
    is what Keras's documentation says of it.
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        super().__init__(l1, l2)

    def get_config(self) -> dict[str, Any]:
        return {"l1": self.l1, "l2": self.l2}


# Keras's other names of the classes: regularizers.l2(1e-4)
l1 = L1
l2 = L2
l1_l2 = L1L2

CLASSES: dict[str, type[Regularizer]] = {
    "L1": L1,
    "L1L2": L1L2,
    "L2": L2,
    "l1": L1,
    "l1_l2": L1L2,
    "l1l2": L1L2,
    "l2": L2,
}
"""Every name of a regularizer: the class's, and Keras's others."""

RegularizerLike = str | dict[str, Any] | Regularizer | type[Regularizer] | None


def get(identifier: RegularizerLike) -> Regularizer | None:
    """The regularizer that ``identifier`` names ("l1", "l2", "l1_l2"), describes or is; None is
    none.

    Raises:
        TypeError, ValueError: ``identifier`` is of another type, or no regularizer has that name.
    """
    if identifier is None:
        return None
    if isinstance(identifier, str) and CLASSES.get(identifier) is L1L2:
        return L1L2(0.01, 0.01)
    return resolve("regularizer", Regularizer, CLASSES, identifier)  # type: ignore[type-abstract]


def serialize(regularizer: Regularizer | None) -> dict[str, Any] | None:
    """``regularizer`` as JSON values; ValueError if it isn't one of fastnn's own."""
    if regularizer is None:
        return None
    if type(regularizer) not in CLASSES.values():
        raise ValueError(f"only fastnn's own regularizers can be saved, got {regularizer!r}")
    return _serialize(regularizer)


def deserialize(config: dict[str, Any]) -> Regularizer:
    """The regularizer that :func:`serialize` described; ValueError naming what is wrong."""
    return resolve("regularizer", Regularizer, CLASSES, config)  # type: ignore[type-abstract]
