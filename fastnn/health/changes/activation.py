"""Another activation, with weights drawn for it."""

from __future__ import annotations

from collections.abc import Callable

from fastnn import activations
from fastnn.health.anatomy import Unit, hidden_units
from fastnn.health.blueprint import Blueprint
from fastnn.health.changes.base import Change, described
from fastnn.health.changes.initialization import drawn_for, initializer_for, name_of
from fastnn.health.prototypes import SEED, changed
from fastnn.layers import Activation
from fastnn.layers.base import Layer

_BOUNDED = {"sigmoid", "hard_sigmoid", "tanh", "softsign", "softmax"}
_RECTIFIERS = {"relu", "relu_general", "scaled_relu"}

_CHOICES = ((_BOUNDED, ("relu", "selu")), (_RECTIFIERS, ("selu", "elu", "leaky_relu")))
"""Where units saturate, and where they die: what to try instead."""


def activation(blueprint: Blueprint) -> list[Change]:
    """Of bounded functions and of rectifiers; of none at all where all hidden layers have none."""
    units = _trained(blueprint)
    choices = list(_CHOICES)
    if all(unit.activation == activations.linear for unit in units):
        choices.append(({"linear"}, ("relu",)))
    changes: dict[str, Change] = {}
    for kinds, names in choices:
        found = [unit for unit in units if unit.activation.kind in kinds]
        for name in names:
            if found and name not in changes:
                changes[name] = _change(name, kinds, found)
    return list(changes.values())


def _change(name: str, kinds: set[str], units: list[Unit]) -> Change:
    before = ", ".join(sorted({unit.activation.kind for unit in units}))
    initializer = name_of(initializer_for(activations.get(name), SEED))
    return Change(
        f"activation_{name}",
        f"{name} instead of {before} in {described(units)}, whose weights are drawn anew with "
        f"{initializer}, biases 0",
        "activation",
        _edit(name, kinds),
    )


def _edit(name: str, kinds: set[str]) -> Callable[[Blueprint], Blueprint]:
    wanted = activations.get(name)

    def edit(blueprint: Blueprint) -> Blueprint:
        others: dict[Layer, Layer] = {}
        found = [unit for unit in _trained(blueprint) if unit.activation.kind in kinds]
        for number, unit in enumerate(found):
            fresh = drawn_for(unit, number, wanted)
            if unit.activation_layer is None:
                fresh = changed(fresh, activation=wanted)
            else:
                old = unit.activation_layer
                others[old] = Activation(wanted, name=old.name, trainable=old.trainable)
            others[unit.layer] = fresh
        return blueprint.replaced(others)

    return edit


def _trained(blueprint: Blueprint) -> list[Unit]:
    return [unit for unit in hidden_units(blueprint) if unit.layer.trainable]
