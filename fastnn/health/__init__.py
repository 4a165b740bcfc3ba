"""Gradient health: whether a net can learn, where it fails, why, and what cures it."""

from fastnn.health.diagnose import diagnose
from fastnn.health.report import LayerReport, Remedy, Report, Trial
from fastnn.verdicts import Thresholds

__all__ = ["LayerReport", "Remedy", "Report", "Thresholds", "Trial", "diagnose"]
