"""A net that is known to be sound, to learn from the same rows: what there is to learn in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastnn import layers
from fastnn.health.baseline import REGRESSIONS
from fastnn.health.pictures import looked_at, picture_of
from fastnn.health.standard import Standard
from fastnn.models import Model
from fastnn.optimizers import Adam

if TYPE_CHECKING:
    from fastnn.losses import Loss

_WIDTH, _PLAIN_WIDTH = 128, 64

_CONSTANT = 1e-6
"""A column whose deviation is a smaller share of its mean is constant: the rest is rounding."""

_LARGEST = np.finfo(np.float32).max


def reference_for(model: Model, targets: Sequence[NDArray[Any]] = ()) -> Model:
    """One hidden layer with everything that is known to help: inputs brought to deviation 1 by
    batch normalization, He initialization and batch normalization before ReLU, Adam at 1e-3; the
    model's own losses, each with the activation that it wants. At pictures and signals that
    convolutions of the model look at, two convolutions with the same look first.

    Args:
        targets: Of the outputs that have some, as in a ``Dataset``. Where the loss is of a
            difference, the net works with the standardised target, and predicts in its units.
    """

    def scaled(tensor: Any, number: int, name: str) -> Any:
        picture = picture_of(model, model.inputs[number])
        return looked_at(tensor, picture, name) if picture else _by_batch(tensor, name)

    return _made(model, targets, scaled, _normalized)


def plain_reference_for(
    model: Model, targets: Sequence[NDArray[Any]], rows: Sequence[NDArray[Any]]
) -> Model:
    """Two hidden layers of ReLU instead, without normalization between them; see
    ``reference_for``. Inputs are brought to deviation 1 once, by that of all rows: those of
    batches differ, which is noise, and costs some per cent of a smooth function.

    Args:
        rows: (N, features), of each input.
    """
    return _made(model, targets, _by_all(rows), _plain)


def small_reference_for(
    model: Model, targets: Sequence[NDArray[Any]], rows: Sequence[NDArray[Any]]
) -> Model:
    """One of them only."""
    return _made(model, targets, _by_all(rows), _small)


def _normalized(joined: Any) -> Any:
    hidden = layers.Dense(_WIDTH, kernel_initializer="he_normal", name="reference")(joined)
    hidden = layers.BatchNormalization(name="reference_normalized")(hidden)
    return layers.ReLU(name="reference_relu")(hidden)


def _plain(joined: Any) -> Any:
    return _rectified(_small(joined), "reference_second")


def _small(joined: Any) -> Any:
    return _rectified(joined, "reference")


def _rectified(joined: Any, name: str) -> Any:
    return layers.Dense(_PLAIN_WIDTH, "relu", kernel_initializer="he_normal", name=name)(joined)


def _by_batch(tensor: Any, name: str) -> Any:
    flat = layers.Flatten(name=f"{name}_flat")(tensor)
    return layers.BatchNormalization(center=False, scale=False, name=name)(flat)


def _by_all(rows: Sequence[NDArray[Any]]) -> Callable[[Any, int, str], Any]:
    def scaled(tensor: Any, number: int, name: str) -> Any:
        mean = rows[number].mean(axis=0, dtype=np.float64)
        variance = rows[number].var(axis=0, dtype=np.float64)
        # Of a column that is constant in these rows, another value held out says nothing.
        variance[variance <= (_CONSTANT * mean) ** 2] = _LARGEST
        of_rows = np.minimum(variance, _LARGEST)
        flat = layers.Flatten(name=f"{name}_flat")(tensor)
        return layers.Normalization(mean=mean, variance=of_rows, name=name)(flat)

    return scaled


def _made(
    model: Model,
    targets: Sequence[NDArray[Any]],
    scaled: Callable[[Any, int, str], Any],
    between: Callable[[Any], Any],
) -> Model:
    inputs = [
        layers.Input(tensor.extents, name=name)
        for name, tensor in zip(model.input_names, model.inputs, strict=True)
    ]
    parts = [scaled(tensor, i, f"reference_input_{i}") for i, tensor in enumerate(inputs)]
    joined: Any = layers.Concatenate(name="reference_inputs")(parts) if parts[1:] else parts[0]
    hidden = between(joined)
    outputs, weights, optimizer = [], [], Adam(1e-3)
    given = iter(targets)
    for name, tensor, objective in zip(
        model.output_names, model.outputs, model._objectives(), strict=True
    ):
        extents = tensor.extents
        units = layers.Dense(
            prod(extents), _activation(objective.loss), name=f"reference_{name}"
        )  # fmt: skip
        target, made = next(given, None) if objective.has_target else None, units(hidden)
        weights.append(objective.loss_weight)
        if target is not None and getattr(objective.loss, "kind", "") in REGRESSIONS:
            standard = Standard.of(target, objective.loss)  # type: ignore[arg-type]
            made = standard.layer(f"reference_{name}_rescaled")(made)
            weights[-1] *= standard.factor(optimizer)
        outputs.append(layers.Reshape(extents, name=name)(made))
    result = Model(inputs, outputs, name="reference")
    result.compile(optimizer, model._check_compiled().loss, weights)
    return result


def _activation(loss: Loss | None) -> str | None:
    """What the loss wants of its predictions."""
    kind = getattr(loss, "kind", "")
    if getattr(loss, "from_logits", False):
        return None
    if kind.endswith("categorical_crossentropy") or kind == "categorical_focal_crossentropy":
        return "softmax"
    if kind == "binary_crossentropy":
        return "sigmoid"
    return "softplus" if kind == "poisson" else None
