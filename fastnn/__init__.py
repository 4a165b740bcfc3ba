"""fastnn: a small, fast neural-network training engine for CPUs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastnn import activations, callbacks, initializers, layers, losses, metrics, optimizers, utils
from fastnn._version import __version__
from fastnn.engine.threads import get_num_threads, set_num_threads, show_config
from fastnn.layers import Input
from fastnn.models import Model, Sequential, load_model

if TYPE_CHECKING:
    from types import ModuleType

    from fastnn import datasets, plots

__all__ = [
    "Input",
    "Model",
    "Sequential",
    "__version__",
    "activations",
    "callbacks",
    "datasets",
    "get_num_threads",
    "initializers",
    "layers",
    "load_model",
    "losses",
    "metrics",
    "optimizers",
    "plots",
    "set_num_threads",
    "show_config",
    "utils",
]

_LAZY_MODULES = ("datasets", "plots")


def __getattr__(name: str) -> ModuleType:
    if name in _LAZY_MODULES:
        from importlib import import_module

        return import_module(f"fastnn.{name}")
    raise AttributeError(f"module 'fastnn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
