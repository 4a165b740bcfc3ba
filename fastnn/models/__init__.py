"""Models: graphs of layers that are trained, saved and loaded."""

from fastnn.models.gradients import gradient_norms
from fastnn.models.loading import load_model
from fastnn.models.model import Model
from fastnn.models.sequential import Sequential

__all__ = ["Model", "Sequential", "gradient_norms", "load_model"]
