"""Variables: the arrays that training changes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn._checks import check_integer
from fastnn.kernels import layout

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike, NDArray

    from fastnn.constraints import Axis, Constraint
    from fastnn.regularizers import Regularizer

_restored_values: ContextVar[Mapping[str, NDArray[Any]] | None] = ContextVar(
    "restored_values", default=None
)


@contextmanager
def restoring(values: Mapping[str, NDArray[Any]]) -> Iterator[None]:
    """Variables made inside take their first value from ``values``, by path.

    A loaded model is built this way: no random numbers are drawn, and no memory is taken for a
    shape that the file does not hold. A missing path, or another shape, is a ValueError.
    """
    token = _restored_values.set(values)
    try:
        yield
    finally:
        _restored_values.reset(token)


def flat(variables: Iterable[Variable]) -> dict[Variable, NDArray[np.float32]]:
    """Zeros for each variable, packed as it is, one after another in one piece of memory: what a
    training keeps beside the weights."""
    return flat_memory(variables)[1]


def flat_memory(
    variables: Iterable[Variable],
) -> tuple[NDArray[np.float32], dict[Variable, NDArray[np.float32]]]:
    """What ``flat`` gives, after the whole piece of memory."""
    shapes = {variable: variable.storage.shape for variable in variables}
    # Whole cache lines each, so that all begin at one.
    sizes = [math.prod(shape) for shape in shapes.values()]
    memory: NDArray[np.float32] = layout.aligned_zeros((sum(sizes),))
    ends = itertools.accumulate(sizes)
    return memory, {
        variable: memory[end - size : end].reshape(shape)
        for (variable, shape), size, end in zip(shapes.items(), sizes, ends, strict=True)
    }


class Variable:
    """A float32 array, kept as a matrix in the layout that the kernels read.

    Args:
        shape: (n,), (in, out) or of higher rank, every extent at least 1.
        initializer: ``initializer(shape)`` returns the first value.
        name: The last part of the path: "kernel".
        trainable: Whether an optimizer may change it.
        path: The name that is unique in a model: "dense/kernel". By default ``name``.
        regularizer: Its penalty is added to the loss.
        constraint: Applied after each step of training.
        matrix_shape: (rows, columns) of the matrix that is kept: the value in C order. By default
            all axes but the last are its rows, and a vector (n,) is one row.

    Raises:
        ValueError: ``shape`` has no axis, ``matrix_shape`` another number of values, or
            ``constraint`` takes norms along axes that the value lacks or that are not rows,
            columns or the whole of the matrix.

    Attributes:
        regularizer, constraint : Or None
        matrix_shape : tuple of int: (rows, columns)
        storage : ndarray of float32: The value, packed as ``fastnn.kernels.layout`` says and
            aligned to a cache line. It is never reallocated: a running program keeps its address.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        initializer: Callable[[tuple[int, ...]], ArrayLike],
        name: str,
        trainable: bool = True,
        path: str = "",
        regularizer: Regularizer | None = None,
        constraint: Constraint | None = None,
        matrix_shape: tuple[int, int] | None = None,
    ) -> None:
        self.name = name
        self.path = path or name
        if not shape:
            raise ValueError(f"variable {self.path!r} must have at least one axis, got shape ()")
        self.shape = tuple(
            check_integer(f"variable {self.path!r}", "every extent", extent, at_least=1)
            for extent in shape
        )
        self.matrix_shape = matrix_shape or (math.prod(self.shape[:-1]), self.shape[-1])
        if math.prod(self.matrix_shape) != self.size:
            raise ValueError(
                f"variable {self.path!r} of shape {self.shape} can't be kept as a matrix of shape "
                f"{self.matrix_shape}"
            )
        if constraint is not None:
            constraint.matrix_axis(f"variable {self.path!r}", self.shape, self.matrix_shape)
        self.trainable = trainable
        self.regularizer = regularizer
        self.constraint = constraint
        self.storage: NDArray[np.float32] = self._packed(self._first_value(initializer))

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @property
    def constraint_axis(self) -> Axis:
        """Along which axes of the matrix the constraint takes norms: 0, 1, (0, 1), or () for none.

        A vector has one axis, 0.
        """
        if self.constraint is None:
            return ()
        return self.constraint.matrix_axis(f"variable {self.path!r}", self.shape, self.matrix_shape)

    def numpy(self) -> NDArray[np.float32]:
        """A copy in C order."""
        return self.unpacked(self.storage)

    def assign(self, value: ArrayLike | Variable) -> None:
        """Overwrite the value; ValueError for another shape, TypeError for a non-numeric one."""
        self.pack(self.checked(value), self.storage)

    def pack(self, value: NDArray[Any], storage: NDArray[np.float32]) -> None:
        """Write ``value``, of the variable's shape, into an array laid out as ``storage`` is."""
        layout.pack(value.reshape(self.matrix_shape), storage)

    def unpacked(self, storage: NDArray[np.float32]) -> NDArray[np.float32]:
        """What such an array holds: a copy in C order, of the variable's shape."""
        return layout.unpack(storage, self.matrix_shape).reshape(self.shape)

    def checked(self, value: ArrayLike | Variable) -> NDArray[np.float32]:
        """``value`` as float32, once it is known that ``assign`` would take it."""
        array = np.asarray(value)
        if array.dtype.kind not in "biuf":
            raise TypeError(
                f"variable {self.path!r} takes real numbers, got an array of dtype {array.dtype}"
            )
        if array.shape != self.shape:
            raise ValueError(
                f"variable {self.path!r} has shape {self.shape}, got a value of shape {array.shape}"
            )
        return array.astype(np.float32, copy=False)

    def _first_value(self, initializer: Callable[[tuple[int, ...]], ArrayLike]) -> ArrayLike:
        restored = _restored_values.get()
        if restored is None:
            return initializer(self.shape)
        if self.path not in restored:
            raise ValueError(f"the value of variable {self.path!r} is missing")
        return restored[self.path]

    def _packed(self, value: ArrayLike) -> NDArray[np.float32]:
        checked = self.checked(value)
        storage: NDArray[np.float32] = layout.aligned_zeros(layout.packed_shape(self.matrix_shape))
        self.pack(checked, storage)
        return storage

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError(f"variable {self.path!r} can't be seen as an array without a copy")
        return self.numpy().astype(dtype or np.float32, copy=False)

    def __getstate__(self) -> dict[str, Any]:
        # A copy of `storage` by copy.deepcopy or pickle would lose its alignment.
        state = self.__dict__.copy()
        state["storage"] = self.numpy()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.storage = self._packed(state["storage"])

    def __repr__(self) -> str:
        return f"<Variable path={self.path}, shape={self.shape}, trainable={self.trainable}>"
