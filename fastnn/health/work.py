"""What it costs to look at a net."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastnn.models import Model


def work_of(model: Model) -> int:
    """Multiplications for a row, about: the weights, each as often as a convolution uses it."""
    return model._executables.signature.multiply_adds
