"""Targets brought to the scale that initializations and learning rates are made for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastnn.health.baseline import REGRESSIONS
from fastnn.health.blueprint import Blueprint, Call
from fastnn.health.changes.base import Change
from fastnn.health.loss import linear_ending, targets_by_output
from fastnn.health.prototypes import renamed
from fastnn.health.standard import Standard
from fastnn.health.words import number

LOWEST, HIGHEST = 0.1, 5.0
"""Deviations of a target between which nothing needs to be scaled."""

OFFSET = 3.0
"""A mean further from 0 than this, where a net's outputs begin."""


@dataclass(frozen=True, eq=False)
class _Off:
    """An output whose target is far from mean 0 and deviation 1."""

    output: int
    name: str
    standard: Standard


def target_scale(blueprint: Blueprint, y: Any) -> list[Change]:
    """For outputs with a loss of a difference whose target is far from mean 0 and deviation 1: the
    net is made to predict the standardised target, and what it predicts is turned back."""
    found = list(_off(blueprint, y))
    if not found:
        return []
    words = "; ".join(_words(off, len(blueprint.outputs) > 1) for off in found)
    return [
        Change(
            "target_scale",
            f"{words}; the loss counts by the square of that scale, or by it, so that 1 is about "
            "that of a constant. y stays as it is and predictions are in its units",
            "target_scale",
            lambda blueprint: _standardised(blueprint, found),
        )
    ]


def targets_off(blueprint: Blueprint, y: Any) -> str:
    """What is wrong with the targets, in words; empty if nothing is."""
    causes = []
    for off in _off(blueprint, y):
        mean, deviation = off.standard.mean, off.standard.deviation
        which = f"the target of {off.name!r}" if len(blueprint.outputs) > 1 else "the target"
        if len(mean) == 1 or off.standard.even:
            causes.append(
                f"{which} has mean {number(mean[0], 4)} and deviation {number(deviation[0], 4)}, "
                "but the outputs of a net begin near 0 with a deviation of about 1"
            )
        else:
            causes.append(
                f"the columns of {which} have means from {number(mean.min(), 4)} to "
                f"{number(mean.max(), 4)} and deviations from {number(deviation.min(), 4)} to "
                f"{number(deviation.max(), 4)}, but the outputs of a net begin near 0 with a "
                "deviation of about 1"
            )
    return "; ".join(causes)


def _off(blueprint: Blueprint, y: Any) -> Iterator[_Off]:
    names = blueprint.output_names
    for output, (name, target) in enumerate(zip(names, targets_by_output(y, names), strict=True)):
        loss = blueprint.loss_of(output)
        shape = blueprint.shapes[blueprint.outputs[output]]
        if target is None or loss is None or loss.kind not in REGRESSIONS or len(shape) != 2:
            continue
        if linear_ending(blueprint, output) is None or np.isin(target, (0, 1)).all():
            continue
        standard = Standard.of(target, loss)
        if len(standard.mean) != shape[1]:
            continue
        deviation, offset = standard.deviation, np.abs(standard.mean)
        if deviation.min() < LOWEST or deviation.max() > HIGHEST or offset.max() > OFFSET:
            yield _Off(output, name, standard)


def _words(off: _Off, several: bool) -> str:
    standard = off.standard
    after = f" after {off.name!r}" if several else " after the output"
    if standard.even:
        scale, offset = number(standard.deviation[0], 4), number(standard.mean[0], 4)
        return f"Rescaling({scale}, {offset}){after}"
    return (
        f"a BatchNormalization that does not train{after}, with the deviations and means of the "
        "target's columns as its gamma and beta"
    )


def _standardised(blueprint: Blueprint, found: list[_Off]) -> Blueprint:
    for off in found:
        edit = linear_ending(blueprint, off.output)
        if edit is None:
            continue
        blueprint = _with_layer(edit(blueprint), off)
    return blueprint


def _with_layer(blueprint: Blueprint, off: _Off) -> Blueprint:
    last = blueprint.outputs[off.output]
    if blueprint.sequential and not isinstance(blueprint.loss, dict):
        layer = off.standard.layer(blueprint.free_name("output_rescaling"))
    else:
        # Data, losses and metrics may go by the output's name.
        old = blueprint.calls[last - len(blueprint.inputs)].layer
        inner = renamed(old, blueprint.free_name(f"{old.name}_standardised"))
        blueprint = blueprint.replaced({old: inner})
        layer = off.standard.layer(old.name)
    calls = (*blueprint.calls, Call(layer, (last,)))
    outputs = list(blueprint.outputs)
    outputs[off.output] = len(blueprint.inputs) + len(calls) - 1
    return replace(
        blueprint,
        calls=calls,
        outputs=tuple(outputs),
        loss_weights=_weighted(blueprint, off),
    )


def _weighted(blueprint: Blueprint, off: _Off) -> Any:
    """``loss_weights`` with another one for this output."""
    factor, given = off.standard.factor(blueprint.optimizer), blueprint.loss_weights
    if isinstance(given, dict):
        return {**given, off.name: factor * given.get(off.name, 1.0)}
    count = len(blueprint.outputs)
    before = given if isinstance(given, list) else [1.0 if given is None else given] * count
    return [
        (1.0 if weight is None else weight) * (factor if number == off.output else 1.0)
        for number, weight in enumerate(before)
    ]
