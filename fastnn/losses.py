"""Losses: what is to be minimised, as settings. The arithmetic is the kernels'.

Predictions have shape (batch, width), float32. ``kind`` and ``params`` are all that lowering reads.
Names, arguments, defaults and meaning are Keras 3's, except that everything is float32 (there is
no ``dtype``) and that the last axis is the class axis.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn._checks import check_choice, check_flag, check_real, check_text
from fastnn._registry import resolve

REDUCTIONS = ("sum_over_batch_size", "mean", "sum")


class Loss(ABC):
    """Base class of the losses.

    Args:
        name: the loss's name.
        reduction: how the examples' losses, each times its sample weight, become one number:
            ``"sum_over_batch_size"`` (also called ``"mean"``) divides their sum by the number of
            examples, ``"sum"`` does not.

    Attributes:
        kind: which formula.

    Raises:
        ValueError: ``reduction`` is none of these. Keras's ``"mean_with_sample_weight"`` and
            ``None`` do not exist here.
        TypeError: ``name`` is no string.
    """

    kind: ClassVar[str]

    def __init__(self, name: str, reduction: str = "sum_over_batch_size") -> None:
        check_choice(type(self).__name__, "reduction", reduction, REDUCTIONS)
        self.name = check_text(type(self).__name__, "name", name)
        self.reduction = "sum_over_batch_size" if reduction == "mean" else reduction

    @property
    @abstractmethod
    def params(self) -> tuple[float, ...]:
        """The formula's numbers, in the order in which the kernel of ``kind`` takes them."""

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"name": self.name, "reduction": self.reduction}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Loss:
        """The loss that ``get_config`` described."""
        return cls(**config)

    def __repr__(self) -> str:
        arguments = ", ".join(f"{key}={value!r}" for key, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


class SparseCategoricalCrossentropy(Loss):
    """``-log(p[label])``: labels are integers of shape (batch,) or (batch, 1); of an output (batch,
    ..., classes), (batch, ...), and the loss is the mean over the places of an example.

    Keras's ``ignore_class`` does not exist; a ``sample_weight`` of 0 leaves an example out.

    Args:
        from_logits: predictions are logits, not probabilities.
        reduction: see ``Loss``.
        axis: the class axis, always -1.
        name: the loss's name.
    """

    kind = "sparse_categorical_crossentropy"

    def __init__(
        self,
        from_logits: bool = False,
        *,
        reduction: str = "sum_over_batch_size",
        axis: int = -1,
        name: str = "sparse_categorical_crossentropy",
    ) -> None:
        super().__init__(name, reduction)
        _check_axis(self, axis)
        self.from_logits = _check_from_logits(self, from_logits)

    @property
    def params(self) -> tuple[float, ...]:
        """(from_logits,)."""
        return (float(self.from_logits),)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "from_logits": self.from_logits}


class CategoricalCrossentropy(Loss):
    """``-sum(y * log(p))``: targets are one-hot or probabilities, of shape (batch, classes).

    Args:
        from_logits: predictions are logits, not probabilities.
        label_smoothing: in [0, 1]; targets become ``y * (1 - s) + s / classes``.
        axis: the class axis, always -1.
        reduction: see ``Loss``.
        name: the loss's name.
    """

    kind = "categorical_crossentropy"

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str = "sum_over_batch_size",
        name: str = "categorical_crossentropy",
    ) -> None:
        super().__init__(name, reduction)
        _check_axis(self, axis)
        self.from_logits = _check_from_logits(self, from_logits)
        self.label_smoothing = _check_label_smoothing(self, label_smoothing)

    @property
    def params(self) -> tuple[float, ...]:
        """(from_logits, label_smoothing)."""
        return (float(self.from_logits), self.label_smoothing)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "from_logits": self.from_logits,
            "label_smoothing": self.label_smoothing,
        }


class BinaryCrossentropy(Loss):
    """``mean(-y * log(p) - (1 - y) * log(1 - p))`` over the last axis; targets lie in [0, 1].

    Args:
        from_logits: predictions are logits, not probabilities.
        label_smoothing: in [0, 1]; targets become ``y * (1 - s) + s / 2``.
        axis: the axis that the mean is over, always -1.
        reduction: see ``Loss``.
        name: the loss's name.
    """

    kind = "binary_crossentropy"

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str = "sum_over_batch_size",
        name: str = "binary_crossentropy",
    ) -> None:
        super().__init__(name, reduction)
        _check_axis(self, axis)
        self.from_logits = _check_from_logits(self, from_logits)
        self.label_smoothing = _check_label_smoothing(self, label_smoothing)

    @property
    def params(self) -> tuple[float, ...]:
        """(from_logits, label_smoothing)."""
        return (float(self.from_logits), self.label_smoothing)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "from_logits": self.from_logits,
            "label_smoothing": self.label_smoothing,
        }


class CategoricalFocalCrossentropy(Loss):
    """``sum(-alpha * (1 - p)^gamma * y * log(p))`` (Lin et al. 2017, "Focal loss", eq. 5).

    Args:
        alpha: the weight, a number >= 0 (Keras also takes one a class; use ``class_weight``).
        gamma: the focusing exponent, >= 0; 0 is ``alpha`` times the crossentropy.
        from_logits: predictions are logits, not probabilities.
        label_smoothing: in [0, 1]; targets become ``y * (1 - s) + s / classes``.
        axis: the class axis, always -1.
        reduction: see ``Loss``.
        name: the loss's name.
    """

    kind = "categorical_focal_crossentropy"

    def __init__(
        self,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str = "sum_over_batch_size",
        name: str = "categorical_focal_crossentropy",
    ) -> None:
        super().__init__(name, reduction)
        _check_axis(self, axis)
        self.alpha = check_real(type(self).__name__, "alpha", alpha, at_least=0)
        self.gamma = check_real(type(self).__name__, "gamma", gamma, at_least=0)
        self.from_logits = _check_from_logits(self, from_logits)
        self.label_smoothing = _check_label_smoothing(self, label_smoothing)

    @property
    def params(self) -> tuple[float, ...]:
        """(alpha, gamma, from_logits, label_smoothing)."""
        return (self.alpha, self.gamma, float(self.from_logits), self.label_smoothing)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "alpha": self.alpha,
            "gamma": self.gamma,
            "from_logits": self.from_logits,
            "label_smoothing": self.label_smoothing,
        }


class MeanSquaredError(Loss):
    """``mean((y - p)^2)`` over the last axis."""

    kind = "mean_squared_error"
    params = ()

    def __init__(
        self, reduction: str = "sum_over_batch_size", name: str = "mean_squared_error"
    ) -> None:
        super().__init__(name, reduction)


class MeanAbsoluteError(Loss):
    """``mean(|y - p|)`` over the last axis."""

    kind = "mean_absolute_error"
    params = ()

    def __init__(
        self, reduction: str = "sum_over_batch_size", name: str = "mean_absolute_error"
    ) -> None:
        super().__init__(name, reduction)


class Huber(Loss):
    """``mean(h(y - p))`` over the last axis, ``h`` quadratic near 0, else linear (Huber 1964).

    ``h(e)`` is ``e^2 / 2`` where ``|e| <= delta`` and ``delta * |e| - delta^2 / 2`` elsewhere.

    Args:
        delta: where the two meet, > 0.
        reduction: see ``Loss``.
        name: the loss's name.
    """

    kind = "huber"

    def __init__(
        self,
        delta: float = 1.0,
        reduction: str = "sum_over_batch_size",
        name: str = "huber_loss",
    ) -> None:
        super().__init__(name, reduction)
        self.delta = check_real(type(self).__name__, "delta", delta, above=0)

    @property
    def params(self) -> tuple[float, ...]:
        """(delta,)."""
        return (self.delta,)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "delta": self.delta}


class Poisson(Loss):
    """``mean(p - y * log(p + 1e-7))`` over the last axis; predictions are rates, >= 0."""

    kind = "poisson"
    params = ()

    def __init__(self, reduction: str = "sum_over_batch_size", name: str = "poisson") -> None:
        super().__init__(name, reduction)


LossFunction = Callable[[Any, Any], "tuple[ArrayLike, ArrayLike]"]


class CallableLoss(Loss):
    """Any ``function(y_true, y_pred) -> (loss, d_loss/d_y_pred)``, called for each batch.

    The function gets NumPy arrays that it can't write to and must not keep: ``y_pred``, float32 of
    the output's shape, (batch, outputs) say, and ``y_true``, labels (batch,) int32 where integers
    of shape (N,) or (N, 1) came for an output with several columns, else float32 of ``y_pred``'s
    shape. Of an output (batch, ..., classes) labels are (batch, ...).

    It returns the loss, either one number, the mean over the batch's rows, or (batch,), one number
    a row; and the gradient of the batch's mean loss, of ``y_pred``'s shape. ``sample_weight`` and
    ``class_weight`` are factors of the rows' losses and gradients, for which the loss must be one
    number a row. Keras would differentiate the function itself.

    Of a training that processes share (``distribution``), each calls the function with its own rows
    of the batch, and the means are weighted by their numbers: right for a loss that is a mean over
    rows, whereas one that compares rows sees those of its process only.

    Args:
        function: the function; a model with it can't be saved, only its weights.
        name: the loss's name; by default the function's.

    Raises:
        TypeError: ``function`` can't be called.
    """

    kind = "callable"
    params = ()

    def __init__(self, function: LossFunction, name: str | None = None) -> None:
        if not callable(function):
            raise TypeError(f"CallableLoss: function must be a function, got {function!r}")
        own = getattr(function, "__name__", type(function).__name__)
        super().__init__(str(own) if name is None else name)
        self.function = function

    def compute(
        self,
        y_true: NDArray[Any],
        y_pred: NDArray[np.float32],
        weights: NDArray[np.float32] | None = None,
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """What the function says of a batch: the loss, () or (batch,), and its gradient, checked.

        Args:
            weights: (batch,), factors of the rows.

        Raises:
            ValueError: it returns something else; something that is not finite where the
                predictions are; or one number for a batch whose rows have weights.
        """
        result = self.function(y_true, y_pred)
        if not isinstance(result, tuple) or len(result) != 2:
            raise ValueError(
                f"loss {self.name!r} must return (loss, d_loss/d_y_pred), got "
                f"{type(result).__name__}"
            )
        loss, gradient = map(np.asarray, result)
        _check_numbers(self, "a loss", loss, ((), y_pred.shape[:1]))
        _check_numbers(self, "a gradient", gradient, (y_pred.shape,))
        for what, array in (("a loss", loss), ("a gradient", gradient)):
            # With predictions that are not finite it is not the function's fault.
            if not np.isfinite(array).all() and np.isfinite(y_pred).all():
                raise ValueError(f"loss {self.name!r} returned {what} that is not finite")
        if weights is not None and not (weights == 1).all():
            if loss.ndim == 0:
                raise ValueError(
                    f"loss {self.name!r} returned one number for the batch: with sample_weight or "
                    f"class_weight it must return one for each row, shape {y_pred.shape[:1]}"
                )
            of_rows = weights.reshape(-1, *[1] * (gradient.ndim - 1))
            loss, gradient = loss * weights, gradient * of_rows
        return loss, gradient

    def get_config(self) -> dict[str, Any]:
        """Always a ValueError: a function can't be written into a file."""
        raise ValueError(
            f"loss {self.name!r} is a Python function, which can't be saved: save the weights "
            "alone, or compile the model with another loss"
        )

    def __repr__(self) -> str:
        return f"CallableLoss({self.function!r}, name={self.name!r})"


def _check_numbers(
    loss: Loss, what: str, array: NDArray[Any], shapes: tuple[tuple[int, ...], ...]
) -> None:
    if array.dtype.kind not in "biuf" or array.shape not in shapes:
        wanted = " or ".join(map(str, shapes))
        raise ValueError(
            f"loss {loss.name!r} must return {what} of shape {wanted}, got {array.dtype} of shape "
            f"{array.shape}"
        )


def _check_axis(loss: Loss, axis: int) -> None:
    # Predictions have two axes and the batch is the first: there is no other choice.
    if axis != -1:
        raise ValueError(f"{type(loss).__name__}: axis must be -1, got {axis!r}")


def _check_from_logits(loss: Loss, from_logits: bool) -> bool:
    return check_flag(type(loss).__name__, "from_logits", from_logits)


def _check_label_smoothing(loss: Loss, label_smoothing: float) -> float:
    return check_real(
        type(loss).__name__, "label_smoothing", label_smoothing, at_least=0, at_most=1
    )


CLASSES: dict[str, type[Loss]] = {
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
    "categorical_crossentropy": CategoricalCrossentropy,
    "binary_crossentropy": BinaryCrossentropy,
    "categorical_focal_crossentropy": CategoricalFocalCrossentropy,
    "mean_squared_error": MeanSquaredError,
    "mean_absolute_error": MeanAbsoluteError,
    "huber": Huber,
    "poisson": Poisson,
}
"""Every name of a loss: snake case, the class's name, and Keras's aliases."""
CLASSES |= {cls.__name__: cls for cls in CLASSES.values()}
CLASSES |= {
    "bce": BinaryCrossentropy,
    "BCE": BinaryCrossentropy,
    "mse": MeanSquaredError,
    "MSE": MeanSquaredError,
    "mae": MeanAbsoluteError,
    "MAE": MeanAbsoluteError,
}


def get(identifier: str | dict[str, Any] | Loss | type[Loss] | LossFunction) -> Loss:
    """The loss that ``identifier`` names ("mse", "sparse_categorical_crossentropy", ...) or is; a
    function ``(y_true, y_pred) -> (loss, d_loss/d_y_pred)`` becomes a ``CallableLoss``.

    Raises:
        ValueError: the name is unknown.
        TypeError: ``identifier`` is none of these.
    """
    if callable(identifier) and not isinstance(identifier, type):
        return CallableLoss(identifier)
    # mypy wants a class that can be called, but an abstract base only serves isinstance.
    return resolve("loss", Loss, CLASSES, identifier)  # type: ignore[type-abstract]
