"""What is known to help, all at once: for nets with several faults, of which no single change shows
anything."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from fastnn.health.changes.base import Change, combine

_PARTS = (
    ("loss",),
    ("input_scale", "input_normalization"),
    ("target_scale",),
    ("initialization",),
    ("batch_normalization", "layer_normalization"),
    # Adam brings its own learning rate; the usual one of another optimizer is not for it.
    ("optimizer", "learning_rate_default"),
)
"""Of each, the first that is offered: what the sound net has that a diagnosis goes by."""


def overhaul(changes: Sequence[Change]) -> Change | None:
    """A combination of those that make a net like one that is known to be sound; None if that is
    no more than one of them.

    Args:
        changes: All that mean something for the model.
    """
    chosen = known_to_help(changes)
    return reduce(combine, chosen) if len(chosen) > 1 else None


def known_to_help(changes: Sequence[Change]) -> list[Change]:
    """Those of them that make a net like one that is known to be sound, one for each part."""
    offered = {change.name: change for change in changes}
    return [
        next(offered[name] for name in names if name in offered)
        for names in _PARTS
        if not offered.keys().isdisjoint(names)
    ]
