"""What may be changed about stacks of convolutions: shortcuts around them, and pooling in place of
some."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, prod

import numpy as np

from fastnn.graph import Shape
from fastnn.health.blueprint import Blueprint
from fastnn.health.changes.base import Change
from fastnn.health.changes.segments import (
    Pair,
    Segment,
    needs_projection,
    pairs_of,
    segments_of,
    with_shortcuts,
)
from fastnn.health.prototypes import drawn_anew
from fastnn.layers import MaxPooling1D, MaxPooling2D
from fastnn.layers.base import Layer
from fastnn.layers.convolution import FullConvolution

_FEW = 3
"""Convolutions in all that train with any activation and initialization that is not far off."""

_LEAST = 4
"""Positions along each axis from which on every second may go."""


def residual_convolutions(blueprint: Blueprint) -> list[Change]:
    """Around pairs of convolutions with nothing between but what belongs to them (He et al. 2016),
    with a projection where channels or strides differ (eq. 2 there)."""
    pairs = _pairs(blueprint)
    if not pairs:
        return []
    what = "a shortcut around a pair" if len(pairs) == 1 else f"shortcuts around {len(pairs)} pairs"
    projected = sum(needs_projection(*pair) for pair in pairs)
    projections = {0: "", 1: ", with a 1x1 projection"}.get(
        projected, f", {projected} with a 1x1 projection"
    )
    return [
        Change(
            "residual_convolutions",
            f"{what} of convolutions, x + f(x){projections}, the second of a pair without "
            "activation; both are drawn anew, the second with a variance of 1 / (inputs of a "
            f"window * {len(pairs)})",
            "residual",
            lambda blueprint: with_shortcuts(blueprint, _pairs(blueprint)),
        )
    ]


def _pairs(blueprint: Blueprint) -> list[Pair]:
    return pairs_of(
        segments_of(blueprint, FullConvolution),
        lambda first, second: _is_same(first) and _is_same(second),
    )


def _is_same(segment: Segment) -> bool:
    """Whether nothing but strides makes its outputs fewer than its inputs."""
    layer = segment.unit.layer
    return isinstance(layer, FullConvolution) and layer.padding == "same"


def pooling(blueprint: Blueprint) -> list[Change]:
    """Offered where several convolutions of the same size come one after the other: fewer of them,
    and halves of the picture between those that stay."""
    plan = _plan(blueprint)
    if plan is None:
        return []
    pooled = sum(plan.pooled)
    between = "" if not pooled else (
        f", with max pooling after {'one' if pooled == 1 else pooled} of them"
    )  # fmt: skip
    also = "".join(f" and {layer.name!r}" for layer in plan.refitted)
    return [
        Change(
            "pooling",
            f"{len(plan.kept)} convolutions instead of {plan.before}{between}; they{also} are "
            "drawn anew as their initializers say",
            "depth",
            _with_pooling,
        )
    ]


@dataclass(frozen=True)
class _Plan:
    """What becomes of a chain.

    Attributes:
        chain: The new one.
        before: Convolutions in runs of the old one.
        kept: Those of them that stay.
        pooled: Whether pooling follows, of each that stays.
        refitted: Layers that read another number of features, so that they are drawn anew.
    """

    chain: list[Layer]
    before: int
    kept: list[Segment]
    pooled: list[bool]
    refitted: list[Layer]


def _with_pooling(blueprint: Blueprint) -> Blueprint:
    plan = _plan(blueprint)
    return blueprint if plan is None else blueprint.with_chain(plan.chain)


def _plan(blueprint: Blueprint) -> _Plan | None:
    """None where there is nothing to take out."""
    chain, runs = blueprint.chain, _runs(blueprint)
    if chain is None or not runs:
        return None
    few = ceil(_FEW / len(runs))
    before = sum(map(len, runs))
    if before <= len(runs) * few:
        return None
    new: list[Layer] = []
    kept: list[Segment] = []
    pooled: list[bool] = []
    done = 0
    for run in runs:
        new += chain[done : run[0].start]
        extents = run[0].shape[1:-1]
        # The last one stays, so that the layers after it find the channels that they know.
        places = np.linspace(len(run) - 1, 0, min(few, len(run)))[::-1]
        for number, segment in enumerate(run[round(place)] for place in places):
            new += [drawn_anew(x) if x.weights else x for x in chain[segment.start : segment.stop]]
            wide = all(extent is not None and extent >= _LEAST for extent in extents)
            kept.append(segment)
            pooled.append(wide and number + 1 < len(places))
            if pooled[-1]:
                new.append(_halving(blueprint, segment))
                extents = tuple(extent // 2 for extent in extents if extent is not None)
        done = run[-1].stop
    new += chain[done:]
    refitted = _refit(blueprint, new)
    if refitted is None:
        return None
    return _Plan([refitted.get(x, x) for x in new], before, kept, pooled, list(refitted))


def _halving(blueprint: Blueprint, segment: Segment) -> Layer:
    made = MaxPooling1D if len(segment.shape) == 3 else MaxPooling2D
    return made(2, name=blueprint.free_name(f"{segment.unit.layer.name}_pooling"))


def _refit(blueprint: Blueprint, new: Sequence[Layer]) -> dict[Layer, Layer] | None:
    """Layers that were built for another shape, to be drawn anew; None if one can't be."""
    refitted: dict[Layer, Layer] = {}
    shape: Shape = (None, *blueprint.inputs[0][1])
    for layer in new:
        try:
            made = layer.compute_output_shape(shape)
        except ValueError:
            if not layer.weights:
                return None
            refitted[layer] = drawn_anew(layer)
            try:
                made = refitted[layer].compute_output_shape(shape)
            except ValueError:
                return None
        shape = made
    return refitted


def _runs(blueprint: Blueprint) -> list[list[Segment]]:
    """Convolutions of stride 1 that keep the size of the picture, as long as they follow each
    other."""
    runs: list[list[Segment]] = []
    for segment in segments_of(blueprint, FullConvolution):
        if not _is_same(segment) or prod(segment.unit.layer.strides) > 1:  # type: ignore[union-attr]
            continue
        if runs and runs[-1][-1].stop == segment.start:
            runs[-1].append(segment)
        else:
            runs.append([segment])
    return runs
