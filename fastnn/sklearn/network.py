"""The net of a perceptron: its layers, and its weights as scikit-learn shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn import regularizers
from fastnn.activations import Activation, linear
from fastnn.layers import Activation as ActivationLayer
from fastnn.layers import BatchNormalization, Dense, Dropout, Input
from fastnn.models import Sequential
from fastnn.sklearn.parameters import Hidden

Weights = list[NDArray[Any]]

_OUT = {"identity": "linear", "logistic": "sigmoid", "softmax": "softmax", "exp": "linear"}
"""scikit-learn's names. The loss of "exp" takes the logarithm of what is predicted."""


def build(
    n_features: int,
    hidden: Sequence[Hidden],
    batch_norm: bool,
    n_outputs: int,
    out_activation: str,
    random: np.random.RandomState,
) -> Sequential:
    """Dense, BatchNormalization if asked for, activation and Dropout for each hidden layer; Dense.

    Weights and biases are drawn as scikit-learn draws them, so that the same ``random_state``
    begins with the same: uniformly within +- sqrt(6 / (inputs + units)) (Glorot & Bengio 2010), or
    sqrt(2 / (inputs + units)) for the logistic sigmoid.
    """
    model = Sequential([Input((n_features,))])
    for number, layer in enumerate(hidden, 1):
        name = f"hidden_{number}"
        function = None if batch_norm else layer.activation
        model.add(Dense(layer.units, function, name=name))
        if batch_norm:
            model.add(BatchNormalization(name=f"{name}_norm"))
            model.add(ActivationLayer(layer.activation, name=f"{name}_activation"))
        if layer.dropout:
            seed = int(random.randint(2**31 - 1))
            model.add(Dropout(layer.dropout, seed=seed, name=f"{name}_dropout"))
    model.add(Dense(n_outputs, _OUT[out_activation], name="output"))
    functions = [layer.activation for layer in hidden]
    functions.append(functions[-1] if functions else linear)
    for dense, function in zip(dense_layers(model), functions, strict=True):
        bound = _bound(function, *dense.kernel.shape)
        for variable in dense.weights:
            variable.assign(random.uniform(-bound, bound, variable.shape))
    return model


def _bound(function: Activation, fan_in: int, fan_out: int) -> float:
    factor = 2.0 if function.kind == "sigmoid" else 6.0
    return float(np.sqrt(factor / (fan_in + fan_out)))


def dense_layers(model: Sequential) -> list[Dense]:
    """Those with the weights that scikit-learn calls coefs_ and intercepts_."""
    return [layer for layer in model.layers if isinstance(layer, Dense)]


def regularize(model: Sequential, factor: float) -> None:
    """Add ``factor`` times the sum of the squares of all kernels to the loss."""
    penalty = regularizers.L2(factor) if factor else None
    for dense in dense_layers(model):
        dense.kernel_regularizer = dense.kernel.regularizer = penalty


def shown_weights(model: Sequential, dtype: np.dtype[Any]) -> tuple[Weights, Weights]:
    """coefs_, (inputs, units) each, and intercepts_, (units,) each. They can't be written to, for
    they are copies: the net would not hear of it."""
    coefs, intercepts = [], []
    for dense in dense_layers(model):
        assert dense.bias is not None
        coefs.append(dense.kernel.numpy().astype(dtype))
        intercepts.append(dense.bias.numpy().astype(dtype))
    for array in (*coefs, *intercepts):
        array.flags.writeable = False
    return coefs, intercepts


def take_weights(model: Sequential, coefs: Sequence[Any], intercepts: Sequence[Any]) -> None:
    """Set them.

    Raises:
        TypeError, ValueError: They have other shapes, or are no numbers.
    """
    layers = dense_layers(model)
    if len(coefs) != len(layers) or len(intercepts) != len(layers):
        raise ValueError(
            f"coefs_ and intercepts_ must have {len(layers)} arrays each, got {len(coefs)} and "
            f"{len(intercepts)}"
        )
    for dense, coef, intercept in zip(layers, coefs, intercepts, strict=True):
        assert dense.bias is not None
        dense.kernel.assign(coef)
        dense.bias.assign(intercept)
