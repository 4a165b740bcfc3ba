"""A net that is known to be sound, to learn from the same rows: what there is to learn in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastnn import layers
from fastnn.models import Model
from fastnn.optimizers import Adam

if TYPE_CHECKING:
    from fastnn.graph import SymbolicTensor
    from fastnn.losses import Loss
    from fastnn.models.trainer import Trainer

_WIDTH = 128


def reference_for(model: Trainer) -> Model:
    """One hidden layer with everything that is known to help: inputs brought to deviation 1 by
    batch normalization, He initialization and batch normalization before ReLU, Adam at 1e-3; the
    model's own losses, each with the activation that it wants."""
    inputs = [
        layers.Input(_extents(tensor), name=f"input_{i}") for i, tensor in enumerate(model.inputs)
    ]
    scaled = [
        layers.BatchNormalization(center=False, scale=False, name=f"scaled_{i}")(
            layers.Flatten(name=f"flat_{i}")(tensor)
        )
        for i, tensor in enumerate(inputs)
    ]
    hidden: Any = layers.Concatenate(name="together")(scaled) if len(scaled) > 1 else scaled[0]
    hidden = layers.Dense(_WIDTH, kernel_initializer="he_normal", name="hidden")(hidden)
    hidden = layers.ReLU(name="relu")(layers.BatchNormalization(name="normalized")(hidden))
    outputs = []
    for tensor, objective in zip(model.outputs, model._objectives(), strict=True):
        extents = _extents(tensor)
        size = 1
        for extent in extents:
            size *= extent
        output = layers.Dense(size, _activation(objective.loss), name=f"{tensor.name}_units")(
            hidden
        )
        outputs.append(layers.Reshape(extents, name=tensor.name)(output))
    result = Model(inputs, outputs, name="reference")
    compiled = model._check_compiled()
    result.compile(Adam(1e-3), compiled.loss, compiled.loss_weights)
    return result


def _extents(tensor: SymbolicTensor) -> tuple[int, ...]:
    return tuple(extent for extent in tensor.shape[1:] if extent is not None)


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
