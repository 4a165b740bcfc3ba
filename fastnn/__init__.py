"""fastnn: a small, fast neural-network training engine for CPUs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastnn._version import __version__

try:
    # Here, so that the instruction set is chosen when the package is imported.
    from fastnn.kernels import levels as _levels  # noqa: F401
except ImportError:
    from importlib.util import find_spec as _find_spec

    if _find_spec("fastnn.kernels.levels") is not None:
        raise
    raise ImportError(
        f"the fastnn in {__path__[0]} is source code that is not compiled: start Python in another "
        "directory to import the one that is installed, or compile this one in its place with "
        "`pip install -e .`"
    ) from None

if TYPE_CHECKING:
    from fastnn import (
        activations,
        callbacks,
        constraints,
        datasets,
        distribution,
        health,
        initializers,
        layers,
        losses,
        metrics,
        optimizers,
        plots,
        regularizers,
        utils,
    )
    from fastnn.engine.threads import get_num_threads, set_num_threads, show_config
    from fastnn.errors import GradientHealthError, NonFiniteGradientError
    from fastnn.importing import import_weights
    from fastnn.layers import Input
    from fastnn.lowering.algorithms import get_convolution_algorithm, set_convolution_algorithm
    from fastnn.models import Model, Sequential, gradient_norms, load_model

__all__ = [
    "GradientHealthError",
    "Input",
    "Model",
    "NonFiniteGradientError",
    "Sequential",
    "__version__",
    "activations",
    "callbacks",
    "constraints",
    "datasets",
    "distribution",
    "get_convolution_algorithm",
    "get_num_threads",
    "gradient_norms",
    "health",
    "import_weights",
    "initializers",
    "layers",
    "load_model",
    "losses",
    "metrics",
    "optimizers",
    "plots",
    "regularizers",
    "set_convolution_algorithm",
    "set_num_threads",
    "show_config",
    "utils",
]

# Loaded when first asked for: a program that only reads a data set need not pay for the rest.
_HOMES = {
    "Input": "fastnn.layers",
    "Model": "fastnn.models",
    "Sequential": "fastnn.models",
    "import_weights": "fastnn.importing",
    "load_model": "fastnn.models",
    "gradient_norms": "fastnn.models",
    "NonFiniteGradientError": "fastnn.errors",
    "GradientHealthError": "fastnn.errors",
    "get_convolution_algorithm": "fastnn.lowering.algorithms",
    "set_convolution_algorithm": "fastnn.lowering.algorithms",
    "get_num_threads": "fastnn.engine.threads",
    "set_num_threads": "fastnn.engine.threads",
    "show_config": "fastnn.engine.threads",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    # sklearn is not in __all__: `from fastnn import *` must not need scikit-learn.
    if name in __all__ or name == "sklearn":
        return import_module(f"fastnn.{name}")
    raise AttributeError(f"module 'fastnn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
