"""Hidden layers of a chain with what belongs to each, and shortcuts around pairs of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

from fastnn import activations
from fastnn.graph import Shape
from fastnn.health.anatomy import Unit, hidden_units
from fastnn.health.blueprint import Blueprint
from fastnn.health.changes.initialization import initializer_for
from fastnn.health.prototypes import SEED, drawn_anew
from fastnn.initializers import GlorotUniform, VarianceScaling, Zeros
from fastnn.layers import Conv1D, Conv2D, Dense, Residual
from fastnn.layers.activation import ActivationLayer
from fastnn.layers.base import Layer
from fastnn.layers.convolution import FullConvolution
from fastnn.layers.noise import Noise
from fastnn.layers.normalization import NormalizationLayer


@dataclass(frozen=True)
class Segment:
    """A hidden layer of a chain and what belongs to it: ``chain[start:stop]``.

    Attributes:
        shape: Of what it reads.
    """

    unit: Unit
    start: int
    stop: int
    shape: Shape

    @property
    def width(self) -> int | None:
        """Features or channels of what it reads."""
        return self.shape[-1]

    @property
    def made(self) -> int:
        """Features or channels of what it makes."""
        layer = self.unit.layer
        assert isinstance(layer, (Dense, FullConvolution))
        return layer.units if isinstance(layer, Dense) else layer.filters


Pair = tuple[Segment, Segment]


def segments_of(blueprint: Blueprint, kind: type[Dense | FullConvolution]) -> list[Segment]:
    """Hidden layers of a kind that train, of a chain, outside of Residuals."""
    chain = blueprint.chain
    if chain is None:
        return []
    units: dict[Layer, Unit] = {unit.layer: unit for unit in hidden_units(blueprint)}
    shapes = blueprint.shapes
    segments = []
    for start, layer in enumerate(chain):
        if layer not in units or not layer.trainable or not isinstance(layer, kind):
            continue
        stop = start + 1
        while isinstance(chain[stop], (ActivationLayer, NormalizationLayer, Noise)):
            stop += 1
        segments.append(Segment(units[layer], start, stop, shapes[start]))
    return segments


def pairs_of(segments: Sequence[Segment], fit: Callable[[Segment, Segment], bool]) -> list[Pair]:
    """Neighbours around which there may be a shortcut, each in one pair at most."""
    left, pairs = list(segments), []
    while len(left) > 1:
        first, second = left[:2]
        if first.stop == second.start and fit(first, second):
            pairs.append((first, second))
            left = left[2:]
        else:
            left = left[1:]
    return pairs


def with_shortcuts(blueprint: Blueprint, pairs: Sequence[Pair]) -> Blueprint:
    """``x + f(x)`` around each pair, the second of it without activation."""
    chain = blueprint.chain
    if chain is None or not pairs:
        return blueprint
    new: list[Layer] = []
    done = 0
    for number, (first, second) in enumerate(pairs):
        new += chain[done : first.start]
        inner = _drawn_pair(chain, first, second, 3 * number, len(pairs))
        block = Residual(inner, name=blueprint.free_name(f"{first.unit.layer.name}_residual"))
        if needs_projection(first, second):
            _project(block, len(first.shape) - 2, second, 3 * number + 2)
        new.append(block)
        done = second.stop
    return blueprint.with_chain([*new, *chain[done:]])


def needs_projection(first: Segment, second: Segment) -> bool:
    """Whether what the second of a pair makes has another shape than what the first reads."""
    return second.made != first.width or any(
        prod(each.unit.layer.strides) > 1
        for each in (first, second)
        if isinstance(each.unit.layer, FullConvolution)
    )


def _drawn_pair(
    chain: list[Layer], first: Segment, second: Segment, number: int, count: int
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
        first.unit.layer: drawn_anew(
            first.unit.layer, kernel_initializer=enter, bias_initializer=Zeros()
        ),
        second.unit.layer: drawn_anew(
            second.unit.layer,
            kernel_initializer=leave,
            bias_initializer=Zeros(),
            activation=activations.linear,
        ),
    }
    layers = [*chain[first.start : first.stop], *chain[second.start : second.stop]]
    return [swap.get(layer, layer) for layer in layers if layer is not second.unit.activation_layer]


def _project(block: Residual, rank: int, second: Segment, number: int) -> None:
    """Give the shortcut a convolution of window 1 that keeps the variance. The one that a Residual
    makes itself would draw from the user's random numbers."""
    made = Conv1D if rank == 1 else Conv2D
    block.projection = made(
        second.made, 1, block.total_strides(rank), use_bias=False,
        kernel_initializer=VarianceScaling(1.0, "fan_in", "truncated_normal", SEED + number),
        name=f"{block.name}_projection",
    )  # fmt: skip
    block.built = True
