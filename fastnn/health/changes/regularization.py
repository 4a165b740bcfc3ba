"""Against overfitting."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from fastnn.callbacks import EarlyStopping
from fastnn.health.anatomy import Product, Unit, hidden_units
from fastnn.health.blueprint import Blueprint
from fastnn.health.changes.base import Change, described
from fastnn.health.product_kernels import Kernel, kernels_of
from fastnn.health.prototypes import SEED
from fastnn.layers import Dropout
from fastnn.layers.base import Layer
from fastnn.regularizers import L2

_RATE = 0.2
_L2 = 1e-4
_PATIENCE = 3
_SPLIT = 0.1


def dropout(blueprint: Blueprint) -> list[Change]:
    """After each hidden layer, where there is none in the model (Srivastava et al. 2014)."""
    units = hidden_units(blueprint)
    if not units or any(isinstance(layer, Dropout) for layer in blueprint.layers):
        return []
    words = f"Dropout({_RATE}) after {described(units)}; all weights are kept"
    return [Change("dropout", words, "dropout", _with_dropout)]


def _with_dropout(blueprint: Blueprint) -> Blueprint:
    units: dict[Layer, tuple[int, Unit]] = {
        unit.last: (number, unit) for number, unit in enumerate(hidden_units(blueprint))
    }

    def dropped(layer: Layer) -> Sequence[Layer]:
        if layer not in units:
            return [layer]
        number, unit = units[layer]
        name = blueprint.free_name(f"{unit.layer.name}_dropout")
        return [layer, Dropout(_RATE, SEED + number, name=name)]

    return blueprint.mapped(dropped)


def weight_penalty(blueprint: Blueprint) -> list[Change]:
    """On the kernels of the hidden layers that have no penalty."""
    layers = _unpenalized(blueprint)
    if not layers:
        return []
    words = f"L2({_L2:g}) on the kernels of {described(layers)}; all weights are kept"
    return [Change("l2", words, "l2", _with_penalty)]


def _with_penalty(blueprint: Blueprint) -> Blueprint:
    return blueprint.replaced({layer: _penalized(layer) for layer in _unpenalized(blueprint)})


def _penalized(layer: Product) -> Product:
    # Deep, because a weight that is there already holds its penalty itself.
    other = copy.deepcopy(layer)
    for kernel in _bare(layer):
        penalty = L2(_L2)
        setattr(other, kernel.regularizer, penalty)
        if other.built:
            kernel.weights(other).regularizer = penalty
    return other


def _bare(layer: Product) -> list[Kernel]:
    return [kernel for kernel in kernels_of(layer) if getattr(layer, kernel.regularizer) is None]


def _unpenalized(blueprint: Blueprint) -> list[Product]:
    return [
        unit.layer for unit in hidden_units(blueprint) if _bare(unit.layer) and unit.layer.trainable
    ]


def early_stopping(blueprint: Blueprint) -> list[Change]:
    """With rows set apart to judge by; other validation data may take their place."""
    return [
        Change(
            "early_stopping",
            f"stop after {_PATIENCE} epochs without a lower loss on {_SPLIT:.0%} of the rows, set "
            "apart, and take the best epoch's weights",
            "early_stopping",
            fit_arguments=_early_stopping,
        )
    ]


def _early_stopping() -> dict[str, Any]:
    callback = EarlyStopping(patience=_PATIENCE, restore_best_weights=True)
    return {"callbacks": [callback], "validation_split": _SPLIT}
