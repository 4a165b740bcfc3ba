"""The step that went wrong, run again from a file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from fastnn.health.nonfinite import Located, locate_nonfinite
from fastnn.models.replay import load_replay

if TYPE_CHECKING:
    from fastnn.models import Model


def replay(
    filepath: str | os.PathLike[str],
    model: Model | None = None,
    custom_objects: Mapping[str, type] | None = None,
) -> Located | None:
    """Find the first infinity or NaN of the step that ``save_replay`` has written.

    Args:
        filepath, model, custom_objects: As for ``load_replay``, whose errors it raises.

    Returns:
        As ``locate_nonfinite``; but ``samples`` are numbers of rows in the data set, where the
        batch is from ``fit``. None if all is finite.
    """
    step = load_replay(filepath, model, custom_objects)
    found = locate_nonfinite(step.model, step.x, step.y, step.sample_weight)
    if found is None:
        return None
    return replace(found, samples=tuple(step.samples[list(found.samples)].tolist()))
