"""Inputs brought to the scale that initializations and learning rates are made for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.health.anatomy import readers_of, steps_of
from fastnn.health.blueprint import Blueprint
from fastnn.health.changes.base import Change
from fastnn.health.words import number
from fastnn.layers import BatchNormalization, Flatten, Normalization, Rescaling, Reshape
from fastnn.layers.augmentation import Augmentation
from fastnn.layers.base import Layer
from fastnn.layers.normalization import NormalizationLayer

LOWEST, HIGHEST = 0.1, 5.0
"""The root mean square of inputs between which nothing needs to be scaled."""

_SPREAD = 10.0
"""A feature this many times as wide as the median one drowns the others."""

_ROWS = 2048


def input_scale(blueprint: Blueprint, x: Any) -> list[Change]:
    """Where one input, an array, is far from mean 0 and deviation 1 when it comes to the first
    layer that is more than a factor or a shape; not where it is 0 and 1 only, or normalized."""
    sample, lead = _sample(blueprint, x), _leading(blueprint)
    if sample is None or lead is None:
        return []
    fed = sample.astype(np.float64)
    for layer in lead:
        if isinstance(layer, Rescaling):
            fed = fed * layer.scale + layer.offset
    if not np.isfinite(fed).all() or np.isin(fed, (0, 1)).all():
        return []
    changes = []
    rms, deviation = np.sqrt(np.mean(fed**2)), fed.std()
    if not LOWEST <= rms <= HIGHEST and deviation > 0:
        raw = not any(isinstance(layer, Rescaling) for layer in lead)
        changes.append(_rescaling(fed, raw and sample.dtype.kind in "iu"))
    widths = fed.std(axis=0) if fed.ndim == 2 else np.zeros(0)
    widths = widths[widths > 0]
    reshaped = any(isinstance(layer, Reshape) for layer in lead)
    if not reshaped and len(widths) and widths.max() > _SPREAD * np.median(widths):
        changes.append(_normalization(widths))
    return changes


def inputs_off(blueprint: Blueprint, x: Any) -> str:
    """What is wrong with the inputs, in words; empty if nothing is."""
    return "; ".join(change.cause for change in input_scale(blueprint, x))


def _rescaling(fed: NDArray[np.float64], integers: bool) -> Change:
    mean, deviation = float(fed.mean()), float(fed.std())
    scale, offset = 1 / deviation, -mean / deviation
    words = f"Rescaling({scale:.4g}, {offset:.4g})"
    if integers and fed.min() >= 0 and 128 < fed.max() <= 255:
        scale, offset, words = 1 / 255, 0.0, "Rescaling(1 / 255)"
    return Change(
        "input_scale",
        f"{words} of the input, which has mean {mean:.3g} and deviation {deviation:.3g}",
        "input_scale",
        _edit(lambda name: Rescaling(scale, offset, name=name), "input_rescaling"),
        cause=f"the inputs have mean {number(mean)} and deviation {number(deviation)}, where about "
        "0 and 1 are wanted",
    )


def _normalization(widths: NDArray[np.float64]) -> Change:
    return Change(
        "input_normalization",
        "BatchNormalization of the input, whose features have deviations from "
        f"{widths.min():.3g} to {widths.max():.3g}",
        "input_scale",
        _edit(
            lambda name: BatchNormalization(center=False, scale=False, name=name),
            "input_normalization",
        ),
        cause=f"some features are far wider than others: deviations go from {number(widths.min())} "
        f"to {number(widths.max())}",
    )


def _edit(make: Callable[[str], Layer], name: str) -> Callable[[Blueprint], Blueprint]:
    def edit(blueprint: Blueprint) -> Blueprint:
        lead = _leading(blueprint)
        if lead is None:
            return blueprint
        layer = make(blueprint.free_name(name))
        if not lead:
            return blueprint.preceded(layer)
        return blueprint.mapped(lambda each: [each, layer] if each is lead[-1] else [each])

    return edit


def _leading(blueprint: Blueprint) -> list[Layer] | None:
    """What one input goes through before anything else; None if it is normalized next, or several
    inputs come."""
    if len(blueprint.inputs) != 1:
        return None
    steps, outputs = steps_of(blueprint)
    readers = readers_of(steps)
    used = [step.layer for step in steps]
    lead: list[Layer] = []
    number = 0
    while len(readers[number]) == 1 and number not in outputs:
        step = readers[number][0]
        if isinstance(step.layer, (Normalization, NormalizationLayer)):
            return None
        once = used.count(step.layer) == 1
        if not once or not isinstance(step.layer, (Rescaling, Flatten, Reshape, Augmentation)):
            break
        lead.append(step.layer)
        number = step.output
    return lead


def _sample(blueprint: Blueprint, x: Any) -> NDArray[Any] | None:
    """Rows spread over the data, as they come; None if that is no array of the input's shape."""
    if isinstance(x, Mapping):
        x = next(iter(x.values())) if len(x) == 1 else None
    elif isinstance(x, (list, tuple)) and len(x) == 1 and np.ndim(x[0]) > 1:
        x = x[0]
    if hasattr(x, "tocsr") or not hasattr(x, "__len__"):
        return None
    try:
        array = np.asarray(x)
    except ValueError:
        return None
    shape = blueprint.inputs[0][1]
    if array.dtype.kind not in "biuf" or array.shape[1:] != shape or not len(array):
        return None
    return array[:: max(1, len(array) // _ROWS)]
