"""What may be changed about a model that does not learn. Each change makes a new model.

A change keeps the weights of all that it does not touch; where it draws some anew, its words say
so. It neither uses nor disturbs the user's random numbers: the same model and change give the same
weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastnn.health.blueprint import Blueprint
from fastnn.health.changes.activation import activation
from fastnn.health.changes.base import Change, combine
from fastnn.health.changes.convolutions import pooling, residual_convolutions
from fastnn.health.changes.initialization import initialization
from fastnn.health.changes.normalization import normalization
from fastnn.health.changes.overhaul import known_to_help, overhaul
from fastnn.health.changes.regularization import dropout, early_stopping, weight_penalty
from fastnn.health.changes.scaling import input_scale
from fastnn.health.changes.structure import depth, residual
from fastnn.health.changes.target import target_scale
from fastnn.health.changes.training import batch_size as _batch_size
from fastnn.health.changes.training import clipping, learning_rate, optimizer
from fastnn.health.loss import mismatch_of

if TYPE_CHECKING:
    from fastnn.models import Model

__all__ = ["Change", "changes_for", "combine", "known_to_help", "overhaul"]


def changes_for(model: Model, x: Any, y: Any, batch_size: int = 32) -> list[Change]:
    """All changes that mean something for this model and data, in no order of merit.

    Args:
        model: Built and compiled; it stays as it is.
        x, y: As for ``fit``. Of what is no array, or of several inputs, the scale is not judged.
        batch_size: Rows a step, as the model is trained now.

    Raises:
        ValueError: ``model`` isn't built or compiled, or has a layer that can't be copied.
    """
    blueprint = Blueprint.of(model)
    return [
        *_repair(blueprint, y),
        *input_scale(blueprint, x),
        *target_scale(blueprint, y),
        *initialization(blueprint),
        *activation(blueprint),
        *normalization(blueprint),
        *residual(blueprint),
        *residual_convolutions(blueprint),
        *depth(blueprint),
        *pooling(blueprint),
        *learning_rate(blueprint),
        *optimizer(blueprint),
        *clipping(blueprint),
        *_batch_size(batch_size),
        *dropout(blueprint),
        *weight_penalty(blueprint),
        *early_stopping(blueprint),
    ]


def _repair(blueprint: Blueprint, y: Any) -> list[Change]:
    mismatch = mismatch_of(blueprint, y)
    if mismatch is None or mismatch.edit is None:
        return []
    return [Change("loss", mismatch.change, "loss", mismatch.edit)]
