"""Weights from other frameworks."""

from fastnn.importing.weights import import_weights

__all__ = ["import_weights"]
