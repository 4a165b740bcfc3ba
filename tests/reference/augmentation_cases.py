"""Augmentation layers whose results Keras wrote down, and the numbers that both were given.

The same words are drawn by fastnn's generator and turned into Keras's parameters
(``make_augmentation.py``); so the pictures can be compared one by one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from philox import words

SEED = 0x123456789ABCDEF
ROWS, HEIGHT, WIDTH, CHANNELS = 3, 6, 7, 2

_WARPS = {
    "RandomTranslation": {"height_factor": (-0.9, 0.8), "width_factor": 1.0},
    "RandomRotation": {"factor": 0.5},
    "RandomZoom": {"height_factor": (-0.6, 0.9), "width_factor": 0.5},
    "RandomZoom alike": {"height_factor": (0.3, 1.0)},
}

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    f"{name} {fill_mode} {interpolation}": (
        name.split()[0],
        {**settings, "fill_mode": fill_mode, "interpolation": interpolation, "fill_value": 77.0},
    )
    for name, settings in _WARPS.items()
    for fill_mode in ("reflect", "wrap", "constant", "nearest")
    for interpolation in ("bilinear", "nearest")
} | {
    "RandomFlip horizontal": ("RandomFlip", {"mode": "horizontal"}),
    "RandomContrast": ("RandomContrast", {"factor": (0.5, 0.75)}),
    "RandomContrast clipped": ("RandomContrast", {"factor": (1.0, 1.0), "value_range": (50, 200)}),
    "RandomBrightness": ("RandomBrightness", {"factor": (-0.25, 0.5)}),
    "RandomBrightness clipped": ("RandomBrightness", {"factor": 0.5, "value_range": (50, 200)}),
}


def pictures() -> NDArray[np.float32]:
    """(rows, height, width, channels) between 0 and 255."""
    shape = (ROWS, HEIGHT, WIDTH, CHANNELS)
    return np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)


def uniform(column: int, low: float, high: float) -> NDArray[np.float64]:
    """What the model's first layer of random numbers draws for each picture in the first step."""
    fractions = (words(SEED, 0, 0, ROWS, 16)[:, column].astype(np.float64) + 0.5) / 2**32
    return low + (high - low) * fractions
