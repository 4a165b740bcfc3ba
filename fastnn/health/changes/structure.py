"""Shortcuts around hidden layers, and fewer of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from fastnn import activations
from fastnn.health.anatomy import Unit, hidden_units
from fastnn.health.blueprint import Blueprint
from fastnn.health.changes.base import Change
from fastnn.health.changes.initialization import initializer_for
from fastnn.health.prototypes import SEED, drawn_anew
from fastnn.initializers import GlorotUniform, VarianceScaling, Zeros
from fastnn.layers import Residual
from fastnn.layers.activation import ActivationLayer
from fastnn.layers.base import Layer
from fastnn.layers.noise import Noise
from fastnn.layers.normalization import Normalization

_FEW = 3
"""Hidden layers that train with any activation and initialization that is not far off."""


@dataclass(frozen=True)
class _Segment:
    """A hidden Dense layer of a chain and what belongs to it: ``chain[start:stop]``."""

    unit: Unit
    start: int
    stop: int
    width: int
    """Of its input."""


def residual(blueprint: Blueprint) -> list[Change]:
    """Around pairs of hidden layers that end at the width where they begin (He et al. 2016)."""
    pairs = _pairs(blueprint)
    if not pairs:
        return []
    what = "a shortcut around a pair" if len(pairs) == 1 else f"shortcuts around {len(pairs)} pairs"
    return [
        Change(
            "residual",
            f"{what} of hidden layers, x + f(x), the second of a pair without activation; both are "
            f"drawn anew, the second with a variance of 1 / (inputs * {len(pairs)})",
            "residual",
            _with_shortcuts,
        )
    ]


def _with_shortcuts(blueprint: Blueprint) -> Blueprint:
    pairs = _pairs(blueprint)
    chain = blueprint.chain
    if chain is None or not pairs:
        return blueprint
    new: list[Layer] = []
    done = 0
    for number, (first, second) in enumerate(pairs):
        new += chain[done : first.start]
        inner = _drawn_pair(chain, first, second, 2 * number, len(pairs))
        new.append(Residual(inner, name=blueprint.free_name(f"{first.unit.dense.name}_residual")))
        done = second.stop
    return blueprint.with_chain([*new, *chain[done:]])


def _drawn_pair(
    chain: list[Layer], first: _Segment, second: _Segment, number: int, count: int
) -> list[Layer]:
    """The layers of f. Its variance is that of x by ``count``, so that the sum stays of the order
    of x through all pairs (Hanin & Rolnick 2018; Zhang et al. 2019, Fixup)."""
    bounded = first.unit.activation.kind in ("sigmoid", "hard_sigmoid")
    # What goes along the shortcuts is of variance 1, not as small as what sigmoids make.
    enter = (
        GlorotUniform(SEED + number)
        if bounded
        else initializer_for(first.unit.activation, SEED + number)
    )
    leave = VarianceScaling(1 / count, "fan_in", "truncated_normal", SEED + number + 1)
    swap: dict[Layer, Layer] = {
        first.unit.dense: drawn_anew(
            first.unit.dense, kernel_initializer=enter, bias_initializer=Zeros()
        ),
        second.unit.dense: drawn_anew(
            second.unit.dense,
            kernel_initializer=leave,
            bias_initializer=Zeros(),
            activation=activations.linear,
        ),
    }
    layers = [*chain[first.start : first.stop], *chain[second.start : second.stop]]
    return [swap.get(layer, layer) for layer in layers if layer is not second.unit.activation_layer]


def _pairs(blueprint: Blueprint) -> list[tuple[_Segment, _Segment]]:
    segments = _segments(blueprint)
    pairs = []
    while len(segments) > 1:
        first, second = segments[:2]
        if first.stop == second.start and first.width == second.unit.dense.units:
            pairs.append((first, second))
            segments = segments[2:]
        else:
            segments = segments[1:]
    return pairs


def depth(blueprint: Blueprint) -> list[Change]:
    """Offered where the hidden layers come one after the other."""
    count = len(_run(blueprint))
    choices = {"depth": _FEW, "depth_half": count // 2}
    return [
        Change(
            name,
            f"{few} hidden layers instead of {count}; they are drawn anew as their initializers "
            "say",
            "depth",
            _shortened(few),
        )
        for name, few in choices.items()
        if _FEW <= few < count and (name == "depth" or few > _FEW)
    ]


def _shortened(few: int) -> Callable[[Blueprint], Blueprint]:
    def edit(blueprint: Blueprint) -> Blueprint:
        run = _run(blueprint)
        chain = blueprint.chain
        if chain is None or len(run) <= few:
            return blueprint
        # The last one stays, so that the layers after it find the width that they know.
        kept = [run[round(place)] for place in np.linspace(0, len(run) - 1, few)]
        middle = [layer for segment in kept for layer in chain[segment.start : segment.stop]]
        fresh = [drawn_anew(layer) if layer.weights else layer for layer in middle]
        return blueprint.with_chain([*chain[: run[0].start], *fresh, *chain[run[-1].stop :]])

    return edit


def _run(blueprint: Blueprint) -> list[_Segment]:
    """All hidden layers, if nothing else is among them."""
    segments = _segments(blueprint)
    gapless = all(one.stop == two.start for one, two in pairwise(segments))
    return segments if gapless and len(segments) == len(hidden_units(blueprint)) else []


def _segments(blueprint: Blueprint) -> list[_Segment]:
    """Hidden Dense layers that train, of a chain, outside of Residuals."""
    chain = blueprint.chain
    if chain is None:
        return []
    units: dict[Layer, Unit] = {unit.dense: unit for unit in hidden_units(blueprint)}
    shapes = blueprint.shapes
    segments = []
    for start, layer in enumerate(chain):
        width = shapes[start][-1]
        if layer not in units or not layer.trainable or width is None:
            continue
        stop = start + 1
        while isinstance(chain[stop], (ActivationLayer, Normalization, Noise)):
            stop += 1
        segments.append(_Segment(units[layer], start, stop, width))
    return segments
