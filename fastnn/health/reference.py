"""A net that is known to be sound, to learn from the same rows: what there is to learn in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from fastnn import layers
from fastnn.health.baseline import REGRESSIONS
from fastnn.health.pictures import looked_at, picture_of
from fastnn.health.standard import Standard
from fastnn.models import Model
from fastnn.optimizers import Adam

if TYPE_CHECKING:
    from fastnn.graph import SymbolicTensor
    from fastnn.losses import Loss

_WIDTH, _PLAIN_WIDTH = 128, 64


def reference_for(model: Model, targets: Sequence[NDArray[Any]] = ()) -> Model:
    """One hidden layer with everything that is known to help: inputs brought to deviation 1 by
    batch normalization, He initialization and batch normalization before ReLU, Adam at 1e-3; the
    model's own losses, each with the activation that it wants. At pictures and signals that
    convolutions of the model look at, two convolutions with the same look first.

    Args:
        targets: Of the outputs that have some, as in a ``Dataset``. Where the loss is of a
            difference, the net works with the standardised target, and predicts in its units.
    """
    return _made(model, targets, _normalized, looking=True)


def plain_reference_for(model: Model, targets: Sequence[NDArray[Any]] = ()) -> Model:
    """Two hidden layers of ReLU instead, without normalization between them; see
    ``reference_for``."""
    return _made(model, targets, _plain, looking=False)


def small_reference_for(model: Model, targets: Sequence[NDArray[Any]] = ()) -> Model:
    """One of them only."""
    return _made(model, targets, _small, looking=False)


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


def _made(
    model: Model, targets: Sequence[NDArray[Any]], between: Callable[[Any], Any], looking: bool
) -> Model:
    inputs = [
        layers.Input(tensor.extents, name=name)
        for name, tensor in zip(model.input_names, model.inputs, strict=True)
    ]
    scaled: list[Any] = []
    for i, (tensor, looked) in enumerate(zip(inputs, model.inputs, strict=True)):
        picture = picture_of(model, looked) if looking else None
        name = f"reference_input_{i}"
        scaled.append(looked_at(tensor, picture, name) if picture else _scaled(tensor, name))
    joined: Any = layers.Concatenate(name="reference_inputs")(scaled) if scaled[1:] else scaled[0]
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


def _scaled(tensor: SymbolicTensor, name: str) -> Any:
    flat = layers.Flatten(name=f"{name}_flat")(tensor)
    return layers.BatchNormalization(center=False, scale=False, name=name)(flat)


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
