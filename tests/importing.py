"""Nets of Dense layers, and their weights as PyTorch has them."""

from __future__ import annotations

from typing import Any

import numpy as np
from nets import set_seeded_weights
from numpy.typing import NDArray

import fastnn as fnn
from fastnn import layers


def dense(*names: str | None, width: int = 3) -> fnn.Sequential:
    return set_seeded_weights(
        fnn.Sequential([layers.Input((width,)), *(layers.Dense(width, name=n) for n in names)])
    )


def state(**values: float) -> dict[str, NDArray[Any]]:
    """Layers of width 3, each full of one number."""
    made = {}
    for name, value in values.items():
        made[f"{name}.weight"], made[f"{name}.bias"] = np.full((3, 3), value), np.full(3, value)
    return made


def first_of_each(model: Any) -> list[float]:
    return [float(weights.flat[0]) for weights in model.get_weights()[::2]]
