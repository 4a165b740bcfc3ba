"""A layer of the user's own, written in NumPy."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn import initializers
from fastnn.constraints import Constraint
from fastnn.graph import Shape, as_shape
from fastnn.initializers import InitializerLike
from fastnn.layers.base import Layer
from fastnn.regularizers import Regularizer
from fastnn.variables import Variable


class NumPyLayer(Layer, ABC):
    """Base of layers that compute with NumPy, or with anything else that takes arrays.

    ::

        class Scale(layers.NumPyLayer):
            def create_weights(self, input_shape):
                self.add_weight((input_shape[-1],), "ones", "factor")

            def forward(self, x, factor):
                return x * factor

            def backward(self, x, y, dy, factor):
                return dy * factor, (dy * x).sum(axis=0)

    A subclass defines ``forward`` and ``backward``, where it has weights ``create_weights``, where
    it makes another shape ``compute_output_shape``, and where its constructor takes arguments
    ``get_config``. It is a layer like any other then: in a Sequential or a functional model, to
    train, to predict, in ``summary``. ``load_model`` finds it in its ``custom_objects``.

    Both functions are called for each batch, by one thread that holds the GIL, while the engine's
    other threads wait. The arrays they get are float32 in C order and the engine's own memory:
    nothing is copied for them. They can't be written to, and another batch is in them later, so
    what is to be kept must be copied. How many rows a batch has is the engine's choice in
    ``predict`` and ``evaluate``: a row's result should not depend on the other rows. An exception
    ends ``fit``, ``evaluate`` or ``predict``; of the batch at hand no weight has changed then. The
    threads that NumPy's products start compete with fastnn's: with small batches, set
    ``OPENBLAS_NUM_THREADS=1`` before NumPy is imported.

    Other than Keras's ``call``, of which Keras finds the gradient, ``backward`` is yours to write.

    Args:
        name, trainable: As for any layer.

    Raises:
        TypeError: ``forward`` or ``backward`` is missing.
    """

    def __init__(self, *, name: str | None = None, trainable: bool = True) -> None:
        super().__init__(name=name, trainable=trainable)
        self._input_shape: Shape | None = None

    @abstractmethod
    def forward(self, x: NDArray[np.float32], /, *weights: NDArray[np.float32]) -> ArrayLike:
        """The outputs.

        Args:
            x: (rows, ...), of the layer's input shape.
            weights: In the order of ``weights``, each of the shape given to ``add_weight``.

        Returns:
            Real numbers of the output's shape, (rows, ...); anything else is a ValueError.
        """

    @abstractmethod
    def backward(
        self,
        x: NDArray[np.float32],
        y: NDArray[np.float32],
        dy: NDArray[np.float32],
        /,
        *weights: NDArray[np.float32],
    ) -> ArrayLike | tuple[ArrayLike, ...]:
        """The gradients of the batch's loss.

        Args:
            x, weights: As ``forward`` had them.
            y: What it returned.
            dy: d(loss) / d(y).

        Returns:
            dx, of x's shape; or a tuple ``(dx, dw, ...)`` with a gradient for each weight that was
            added as trainable, in their order. Anything else is a ValueError.
        """

    def build(self, input_shape: Any) -> None:
        """As ``Layer.build``; the layer keeps to the first shape that it is built for."""
        shape = self._as_input_shape(input_shape)
        made = self.compute_output_shape(shape)
        if made != as_shape(made, f"compute_output_shape of layer {self.name!r}"):
            raise ValueError(
                f"layer {self.name!r}: compute_output_shape must return a tuple that starts with "
                f"None, got {made!r}"
            )
        if self.built and shape != self._input_shape:
            raise ValueError(
                f"layer {self.name!r} ({type(self).__name__}) was built for inputs of shape "
                f"{self._input_shape}, got {shape}"
            )
        super().build(shape)
        self._input_shape = shape

    def add_weight(  # type: ignore[override]  # how it is kept is not the user's to say
        self,
        shape: tuple[int, ...],
        initializer: InitializerLike = "glorot_uniform",
        name: str = "weight",
        trainable: bool = True,
        regularizer: Regularizer | None = None,
        constraint: Constraint | None = None,
    ) -> Variable:
        """A new weight.

        Args:
            shape: Of any rank from 1.
            initializer: As ``fastnn.initializers.get`` takes it.
            name: Unique in the layer.
            trainable: Whether ``backward`` returns a gradient for it.
            regularizer, constraint: Of ``fastnn.regularizers`` and ``fastnn.constraints``.
        """
        first: Callable[[tuple[int, ...]], ArrayLike] = initializers.get(initializer)
        return super().add_weight(shape, first, name, trainable, regularizer, constraint)

    @property
    def gradient_weights(self) -> list[Variable]:
        """The weights for which ``backward`` returns gradients."""
        return list(self._trained)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(None, ...); ValueError before the layer is built."""
        if self._input_shape is None:
            raise ValueError(f"layer {self.name!r} is not built: it has no input shape yet")
        return self._input_shape  # type: ignore[return-value]

    @property
    def output_shape(self) -> tuple[int, ...]:
        """(None, ...); ValueError before the layer is built."""
        return self.compute_output_shape(self.input_shape)  # type: ignore[return-value]
