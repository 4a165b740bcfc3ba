"""What a weight must be after each training step.

A constraint is declarative: ``kind``, ``params`` and ``axis`` are all that lowering reads. Called
with an array it projects it, in float64. Other callables, which Keras takes, are refused: they
would bring training back to Python after every step.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fastnn._checks import check_integer, check_real
from fastnn._registry import resolve
from fastnn._registry import serialize as _serialize

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Constraint",
    "MaxNorm",
    "NonNeg",
    "UnitNorm",
    "deserialize",
    "get",
    "max_norm",
    "non_neg",
    "serialize",
    "unit_norm",
]

EPSILON = 1e-7
"""Added to a norm that is divided by, as in Keras."""

Axis = int | tuple[int, ...]


class Constraint(ABC):
    """Base of all constraints.

    Attributes:
        kind: Which formula: "max_norm", "non_neg" or "unit_norm".
        axis : int or tuple of int: Along which axes of the weight a norm is taken; () for none.
    """

    kind: ClassVar[str]
    axis: Axis = ()

    @property
    def params(self) -> tuple[float, ...]:
        """The formula's numbers."""
        return ()

    @abstractmethod
    def __call__(self, w: ArrayLike) -> NDArray[np.float64]:
        """The projection of ``w``, float64 of the same shape; ``w`` stays as it is."""

    def matrix_axis(
        self, owner: str, shape: tuple[int, ...], matrix_shape: tuple[int, int]
    ) -> Axis:
        """``axis`` of a weight, as the axes of the matrix in which its values are kept.

        Returns:
            0 for a norm of each column, 1 of each row, (0, 1) of the whole, () without norms. For a
            weight of rank 1, 0.

        Raises:
            ValueError: Naming ``owner``: a weight of ``shape`` lacks an axis, or the axes are
                neither all that make the rows of ``matrix_shape`` nor all that make its columns.
        """
        self.check_shape(owner, shape)
        if len(shape) <= 2:
            return self.axis
        leading = next(k for k in range(len(shape)) if math.prod(shape[:k]) == matrix_shape[0])
        reduced = set(_axes(self.axis))
        every = range(len(shape))
        if not reduced:
            return ()
        ways: dict[Axis, range] = {0: every[:leading], 1: every[leading:], (0, 1): every}
        for axis, axes in ways.items():
            # A norm along an axis of extent 1 is the same without it.
            if all(each in reduced or shape[each] == 1 for each in axes) and all(
                each in axes or shape[each] == 1 for each in reduced
            ):
                return axis
        offered = ", ".join(str(list(axes)) for axes in ways.values())
        raise ValueError(
            f"{owner}: {type(self).__name__} takes norms along axis {_plain(self.axis)} of a "
            f"weight of shape {shape}; of one like this, axis may be {offered}"
        )

    def check_shape(self, owner: str, shape: tuple[int, ...]) -> None:
        """ValueError naming ``owner`` if a weight of this shape has no such axis."""
        if any(axis >= len(shape) for axis in _axes(self.axis)):
            raise ValueError(
                f"{owner}: {type(self).__name__} takes norms along axis {_plain(self.axis)}, but "
                f"the weight has shape {shape}"
            )

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal constraint."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Constraint:
        """The constraint that ``get_config`` described."""
        return cls(**config)

    def __repr__(self) -> str:
        arguments = ", ".join(f"{key}={value!r}" for key, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


class MaxNorm(Constraint):
    """Norms above ``max_value`` are brought down to it: ``w * min(norm, max_value) /
    (norm + 1e-7)`` (Srivastava et al. 2014, section 5.1).

    Args:
        max_value: The largest norm, at least 0.
        axis: Along which axes a norm is taken. Of a Dense kernel (in, out): 0, a norm for each
            unit; 1, for each input; [0, 1], one for all. Of a Conv2D kernel (height, width, in,
            out): [0, 1, 2], a norm for each filter; 3; or [0, 1, 2, 3]. Other axes of such a
            kernel, which Keras takes, the default among them, are refused when the layer is built;
            so are negative ones.

    Raises:
        TypeError, ValueError: ``max_value`` isn't such a number, or ``axis`` none of these.
    """

    kind = "max_norm"

    def __init__(self, max_value: float = 2, axis: int | Sequence[int] = 0) -> None:
        self.max_value = check_real("MaxNorm", "max_value", max_value, at_least=0)
        self.axis = _checked_axis("MaxNorm", axis)

    @property
    def params(self) -> tuple[float, ...]:
        """(max_value,)."""
        return (self.max_value,)

    def __call__(self, w: ArrayLike) -> NDArray[np.float64]:
        values, norms = _norms(self, w)
        return values * (np.minimum(norms, self.max_value) / (EPSILON + norms))

    def get_config(self) -> dict[str, Any]:
        return {"max_value": self.max_value, "axis": _plain(self.axis)}


class NonNeg(Constraint):
    """Negative values become 0."""

    kind = "non_neg"

    def __call__(self, w: ArrayLike) -> NDArray[np.float64]:
        return np.maximum(np.asarray(w, np.float64), 0.0)


class UnitNorm(Constraint):
    """Every norm becomes 1: ``w / (norm + 1e-7)``.

    Args:
        axis: As for :class:`MaxNorm`.

    Raises:
        TypeError, ValueError: ``axis`` is none of those.
    """

    kind = "unit_norm"

    def __init__(self, axis: int | Sequence[int] = 0) -> None:
        self.axis = _checked_axis("UnitNorm", axis)

    def __call__(self, w: ArrayLike) -> NDArray[np.float64]:
        values, norms = _norms(self, w)
        return values / (EPSILON + norms)

    def get_config(self) -> dict[str, Any]:
        return {"axis": _plain(self.axis)}


# Keras's other names of the classes: constraints.max_norm(3)
max_norm = MaxNorm
non_neg = NonNeg
unit_norm = UnitNorm

CLASSES: dict[str, type[Constraint]] = {
    "MaxNorm": MaxNorm,
    "NonNeg": NonNeg,
    "UnitNorm": UnitNorm,
    "max_norm": MaxNorm,
    "non_neg": NonNeg,
    "unit_norm": UnitNorm,
}
"""Every name of a constraint: the class's, and its snake-case form."""

ConstraintLike = str | dict[str, Any] | Constraint | type[Constraint] | None


def get(identifier: ConstraintLike) -> Constraint | None:
    """The constraint that ``identifier`` names ("max_norm", "non_neg", "unit_norm"), describes or
    is; None is none.

    Raises:
        TypeError, ValueError: ``identifier`` is of another type, or no constraint has that name.
    """
    if identifier is None:
        return None
    return resolve("constraint", Constraint, CLASSES, identifier)  # type: ignore[type-abstract]


def serialize(constraint: Constraint | None) -> dict[str, Any] | None:
    """``constraint`` as JSON values; ValueError if it isn't one of fastnn's own."""
    if constraint is None:
        return None
    if type(constraint) not in CLASSES.values():
        raise ValueError(f"only fastnn's own constraints can be saved, got {constraint!r}")
    return _serialize(constraint)


def deserialize(config: dict[str, Any]) -> Constraint:
    """The constraint that :func:`serialize` described; ValueError naming what is wrong."""
    return resolve("constraint", Constraint, CLASSES, config)  # type: ignore[type-abstract]


def _checked_axis(owner: str, axis: int | Sequence[int]) -> Axis:
    several = isinstance(axis, (list, tuple))
    axes = tuple(check_integer(owner, "axis", each) for each in (axis if several else [axis]))  # type: ignore[union-attr]
    if not axes or axes[0] < 0 or list(axes) != sorted(set(axes)):
        raise ValueError(
            f"{owner}: axis must be an axis from 0, or a list of such in ascending order, got "
            f"{axis!r}"
        )
    return axes if len(axes) > 1 else axes[0]


def _axes(axis: Axis) -> tuple[int, ...]:
    return (axis,) if isinstance(axis, int) else axis


def _plain(axis: Axis) -> int | list[int]:
    return axis if isinstance(axis, int) else list(axis)


def _norms(constraint: Constraint, w: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    values = np.asarray(w, np.float64)
    constraint.check_shape(type(constraint).__name__, values.shape)
    return values, np.sqrt(np.square(values).sum(axis=constraint.axis, keepdims=True))
