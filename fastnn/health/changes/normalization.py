"""Normalization before the activations."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fastnn import activations
from fastnn.health.anatomy import Product, Unit, hidden_units
from fastnn.health.blueprint import Blueprint
from fastnn.health.changes.base import Change, described
from fastnn.health.prototypes import changed
from fastnn.layers import Activation, BatchNormalization, Dense, LayerNormalization
from fastnn.layers.base import Layer


def normalization(blueprint: Blueprint) -> list[Change]:
    """Between each hidden layer and its activation (Ioffe & Szegedy 2015, section 3.2; Ba et al.
    2016), where there is none yet. Of convolutions over channels, by batches alone: that of Keras's
    LayerNormalization over the channels of each position has another meaning."""
    units = _bare(blueprint)
    if not units:
        return []
    kept = "all weights are kept"
    if any(_cancels_bias(unit.layer) for unit in units):
        kept += ", but biases of convolutions, which it would cancel, are dropped"
    offered: dict[str, type[BatchNormalization] | type[LayerNormalization]] = {
        "batch_normalization": BatchNormalization
    }
    if all(isinstance(unit.layer, Dense) for unit in units):
        offered["layer_normalization"] = LayerNormalization
    return [
        Change(
            name,
            f"{kind.__name__} before the activation of {described(units)}; {kept}",
            "normalization",
            _edit(kind),
        )
        for name, kind in offered.items()
    ]


def _edit(
    kind: type[BatchNormalization] | type[LayerNormalization],
) -> Callable[[Blueprint], Blueprint]:
    def edit(blueprint: Blueprint) -> Blueprint:
        bare: dict[Layer, Unit] = {unit.layer: unit for unit in _bare(blueprint)}

        def normalized(layer: Layer) -> Sequence[Layer]:
            if layer not in bare:
                return [layer]
            owner = bare[layer].layer
            added = kind(name=blueprint.free_name(f"{owner.name}_normalization"))
            function = owner.activation
            if _cancels_bias(owner):
                owner = _without_bias(owner)
            if function == activations.linear:
                return [owner, added]
            after = Activation(function, name=blueprint.free_name(f"{owner.name}_activation"))
            return [changed(owner, activation=activations.linear), added, after]

        return blueprint.mapped(normalized)

    return edit


def _cancels_bias(layer: Product) -> bool:
    return not isinstance(layer, Dense) and layer.use_bias


def _without_bias(layer: Product) -> Product:
    kept = [variable for variable in layer._trained if variable is not layer.bias]
    untrained = [variable for variable in layer._untrained if variable is not layer.bias]
    return changed(layer, use_bias=False, bias=None, _trained=kept, _untrained=untrained)


def _bare(blueprint: Blueprint) -> list[Unit]:
    # A penalty of the layer's output is meant for what comes out of the activation.
    return [
        unit
        for unit in hidden_units(blueprint)
        if not unit.normalized and unit.layer.activity_regularizer is None
    ]
