"""The layers of which a model is made.

A new layer is a class in a file here and a row in ``CLASSES``.
"""

from fastnn.layers.activation import ELU, Activation, LeakyReLU, ReLU, Softmax
from fastnn.layers.base import Layer
from fastnn.layers.dense import Dense
from fastnn.layers.input import Input, InputLayer
from fastnn.layers.merging import Add, Concatenate
from fastnn.layers.numpy_layer import NumPyLayer
from fastnn.layers.preprocessing import Rescaling
from fastnn.layers.reshaping import Flatten, Reshape

__all__ = [
    "ELU",
    "Activation",
    "Add",
    "Concatenate",
    "Dense",
    "Flatten",
    "Input",
    "InputLayer",
    "Layer",
    "LeakyReLU",
    "NumPyLayer",
    "ReLU",
    "Rescaling",
    "Reshape",
    "Softmax",
]

CLASSES: dict[str, type[Layer]] = {
    cls.__name__: cls
    for cls in (
        Activation,
        Add,
        Concatenate,
        Dense,
        ELU,
        Flatten,
        InputLayer,
        LeakyReLU,
        ReLU,
        Rescaling,
        Reshape,
        Softmax,
    )
}
"""The layers that a saved model may name."""
