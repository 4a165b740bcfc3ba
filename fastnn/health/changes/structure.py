"""Shortcuts around hidden Dense layers, and fewer of them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from fastnn.health.anatomy import hidden_units
from fastnn.health.blueprint import Blueprint
from fastnn.health.changes.base import Change
from fastnn.health.changes.segments import Pair, Segment, pairs_of, segments_of, with_shortcuts
from fastnn.health.prototypes import drawn_anew
from fastnn.layers import Dense

_FEW = 3
"""Hidden layers that train with any activation and initialization that is not far off."""


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
    return with_shortcuts(blueprint, _pairs(blueprint))


def _pairs(blueprint: Blueprint) -> list[Pair]:
    return pairs_of(segments_of(blueprint, Dense), lambda first, second: first.width == second.made)


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


def _run(blueprint: Blueprint) -> list[Segment]:
    """All hidden Dense layers, if nothing else is among them."""
    segments = segments_of(blueprint, Dense)
    gapless = all(one.stop == two.start for one, two in pairwise(segments))
    return segments if gapless and len(segments) == _count(blueprint) else []


def _count(blueprint: Blueprint) -> int:
    return sum(isinstance(unit.layer, Dense) for unit in hidden_units(blueprint))
