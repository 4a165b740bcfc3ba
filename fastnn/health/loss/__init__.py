"""Whether output, loss and labels fit each other, and what would make them fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.health.blueprint import Blueprint
from fastnn.health.loss.edits import Edit, Fault
from fastnn.health.loss.labels import wrong_labels
from fastnn.health.loss.last import linear_ending, wrong_activation
from fastnn.models import Model

__all__ = ["Mismatch", "linear_ending", "loss_mismatch", "mismatch_of", "targets_by_output"]

_MOST = 4
"""Faults of one output; so many repairs one after the other would chase each other."""


@dataclass(frozen=True)
class Mismatch:
    """Attributes:
    output: Name of the output that it is about.
    cause: What does not fit, in words.
    change: What would, in words; empty if the data would have to change.
    edit: Makes it so; None likewise.
    """

    output: str
    cause: str
    change: str = ""
    edit: Edit | None = None


def loss_mismatch(model: Model, y: Any = None) -> Mismatch | None:
    """What of output, loss and labels does not fit; None if all does, or nobody can tell.

    Found are: softmax or sigmoid missing or applied twice, or the one in the other's place; logits
    that a rectifier or a bounded function cuts off; targets out of the last activation's range;
    class numbers where one-hot targets are wanted, and the other way round; labels that are no
    class of the output. What the user's own layers and losses do is not judged.

    Args:
        model: Built and compiled.
        y: Targets, for several outputs a list or dict; without them the labels are not judged.

    Raises:
        ValueError: ``model`` isn't built or compiled, or has a layer that can't be copied.
    """
    return mismatch_of(Blueprint.of(model), y)


def mismatch_of(blueprint: Blueprint, y: Any = None) -> Mismatch | None:
    """``loss_mismatch`` of what is not a model yet. All faults of the first output that has some
    are one mismatch."""
    names = blueprint.output_names
    for output, (name, target) in enumerate(zip(names, targets_by_output(y, names), strict=True)):
        faults: list[Fault] = []
        repaired = blueprint
        # A repair may bring another fault to light: other labels want another activation.
        while len(faults) < _MOST and (fault := _fault(repaired, output, target)) is not None:
            faults.append(fault)
            if fault.edit is None:
                break
            repaired = fault.edit(repaired)
        if faults:
            return _as_one(name, faults)
    return None


def _fault(blueprint: Blueprint, output: int, target: NDArray[Any] | None) -> Fault | None:
    loss = blueprint.loss_of(output)
    shape = blueprint.shapes[blueprint.outputs[output]]
    width = shape[-1]
    if loss is None or len(shape) != 2 or width is None or loss.kind == "callable":
        return None
    return (target is not None and wrong_labels(output, loss, width, target)) or wrong_activation(
        blueprint, output, loss, width, target
    )


def _as_one(name: str, faults: list[Fault]) -> Mismatch:
    edits = [fault.edit for fault in faults if fault.edit is not None]
    cause = "; ".join(fault.cause for fault in faults)
    if len(edits) < len(faults):
        return Mismatch(name, cause)

    def edit(blueprint: Blueprint) -> Blueprint:
        for each in edits:
            blueprint = each(blueprint)
        return blueprint

    return Mismatch(name, cause, ", ".join(fault.change for fault in faults), edit)


def targets_by_output(y: Any, names: list[str]) -> list[NDArray[Any] | None]:
    """Of each output as (N,) or (N, columns); None where they are no such numbers."""
    if isinstance(y, Mapping):
        given = [y.get(name) for name in names]
    elif len(names) == 1:
        given = [y]
    elif isinstance(y, (list, tuple)) and len(y) == len(names):
        given = list(y)
    else:
        given = [None] * len(names)
    return [_as_array(value) for value in given]


def _as_array(value: Any) -> NDArray[Any] | None:
    """Targets as (N,) or (N, columns); None where they are no such numbers."""
    if value is None or not (hasattr(value, "__len__") or hasattr(value, "__array__")):
        return None
    try:
        array = np.asarray(value)
    except ValueError:
        return None
    if array.dtype.kind == "b":
        array = array.astype(np.uint8)
    if array.dtype.kind not in "iuf" or array.ndim not in (1, 2) or not array.size:
        return None
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    return array if np.isfinite(array).all() else None
