"""Models: graphs of layers that are trained, saved and loaded."""

from fastnn.models.loading import load_model
from fastnn.models.model import Model
from fastnn.models.sequential import Sequential

__all__ = ["Model", "Sequential", "load_model"]
