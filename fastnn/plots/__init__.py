"""Pictures of what a model predicts, of what it sees and of how it learned. matplotlib is the extra
``plots``."""

from fastnn.plots.classes import confusion_matrix, predictions
from fastnn.plots.convolutions import feature_maps, filters
from fastnn.plots.style import FAINT, GOOD, OTHER, RIGHT, TEXT, UNSEEN, WRONG
from fastnn.plots.training import gradient_flow, history, learning_rate

__all__ = [
    "FAINT",
    "GOOD",
    "OTHER",
    "RIGHT",
    "TEXT",
    "UNSEEN",
    "WRONG",
    "confusion_matrix",
    "feature_maps",
    "filters",
    "gradient_flow",
    "history",
    "learning_rate",
    "predictions",
]
