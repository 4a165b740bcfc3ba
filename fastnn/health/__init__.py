"""Gradient health: whether a net can learn, where it fails, why, and what cures it."""

from fastnn.health.learning_rate import LearningRates, find_learning_rate
from fastnn.health.nonfinite import Located, locate_nonfinite
from fastnn.health.replay import replay
from fastnn.models.replay import Replay, load_replay, save_replay

__all__ = [
    "LearningRates",
    "Located",
    "Replay",
    "find_learning_rate",
    "load_replay",
    "locate_nonfinite",
    "replay",
    "save_replay",
]
