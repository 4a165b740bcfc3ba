"""Gradient health: whether a net can learn, where it fails, why, and what cures it."""

from fastnn.health.assertion import UnhealthyError, assert_healthy
from fastnn.health.diagnose import diagnose
from fastnn.health.learning_rate import LearningRates, find_learning_rate
from fastnn.health.nonfinite import Located, locate_nonfinite
from fastnn.health.replay import replay
from fastnn.health.report import LayerReport, Remedy, Report, Trial
from fastnn.models.replay import Replay, load_replay, save_replay
from fastnn.verdicts import Thresholds

__all__ = [
    "LayerReport",
    "LearningRates",
    "Located",
    "Remedy",
    "Replay",
    "Report",
    "Thresholds",
    "Trial",
    "UnhealthyError",
    "assert_healthy",
    "diagnose",
    "find_learning_rate",
    "load_replay",
    "locate_nonfinite",
    "replay",
    "save_replay",
]
