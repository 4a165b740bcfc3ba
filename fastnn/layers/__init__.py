"""The layers of which a model is made.

A new layer is a class in a file here and a row in ``CLASSES``.
"""

from fastnn.layers.activation import ELU, Activation, LeakyReLU, ReLU, Softmax
from fastnn.layers.base import Layer
from fastnn.layers.dense import Dense
from fastnn.layers.input import Input, InputLayer
from fastnn.layers.merging import Add, Concatenate
from fastnn.layers.noise import Dropout, GaussianNoise
from fastnn.layers.normalization import BatchNormalization, LayerNormalization
from fastnn.layers.numpy_layer import NumPyLayer
from fastnn.layers.preprocessing import Rescaling
from fastnn.layers.reshaping import Flatten, Reshape
from fastnn.layers.residual import Residual

__all__ = [
    "ELU",
    "Activation",
    "Add",
    "BatchNormalization",
    "Concatenate",
    "Dense",
    "Dropout",
    "Flatten",
    "GaussianNoise",
    "Input",
    "InputLayer",
    "Layer",
    "LayerNormalization",
    "LeakyReLU",
    "NumPyLayer",
    "ReLU",
    "Rescaling",
    "Reshape",
    "Residual",
    "Softmax",
]

CLASSES: dict[str, type[Layer]] = {
    cls.__name__: cls
    for cls in (
        Activation,
        Add,
        BatchNormalization,
        Concatenate,
        Dense,
        Dropout,
        ELU,
        Flatten,
        GaussianNoise,
        InputLayer,
        LayerNormalization,
        LeakyReLU,
        ReLU,
        Rescaling,
        Reshape,
        Residual,
        Softmax,
    )
}
"""The layers that a saved model may name."""
