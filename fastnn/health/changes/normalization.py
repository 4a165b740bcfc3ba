"""Normalization before the activations."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fastnn import activations
from fastnn.health.anatomy import Unit, hidden_units
from fastnn.health.blueprint import Blueprint
from fastnn.health.changes.base import Change, described
from fastnn.health.prototypes import changed
from fastnn.layers import Activation, BatchNormalization, LayerNormalization
from fastnn.layers.base import Layer


def normalization(blueprint: Blueprint) -> list[Change]:
    """Between each hidden Dense layer and its activation (Ioffe & Szegedy 2015, section 3.2; Ba et
    al. 2016), where there is none yet."""
    units = _bare(blueprint)
    if not units:
        return []
    return [
        Change(
            name,
            f"{kind.__name__} before the activation of {described(units)}; all weights are kept",
            "normalization",
            _edit(kind),
        )
        for name, kind in (
            ("batch_normalization", BatchNormalization),
            ("layer_normalization", LayerNormalization),
        )
    ]


def _edit(
    kind: type[BatchNormalization] | type[LayerNormalization],
) -> Callable[[Blueprint], Blueprint]:
    def edit(blueprint: Blueprint) -> Blueprint:
        bare: dict[Layer, Unit] = {unit.dense: unit for unit in _bare(blueprint)}

        def normalized(layer: Layer) -> Sequence[Layer]:
            if layer not in bare:
                return [layer]
            dense = bare[layer].dense
            added = kind(name=blueprint.free_name(f"{dense.name}_normalization"))
            if dense.activation == activations.linear:
                return [dense, added]
            after = Activation(
                dense.activation, name=blueprint.free_name(f"{dense.name}_activation")
            )
            return [changed(dense, activation=activations.linear), added, after]

        return blueprint.mapped(normalized)

    return edit


def _bare(blueprint: Blueprint) -> list[Unit]:
    # A penalty of the layer's output is meant for what comes out of the activation.
    return [
        unit
        for unit in hidden_units(blueprint)
        if not unit.normalized and unit.dense.activity_regularizer is None
    ]
