"""Layer-sequential unit-variance initialization: the part that needs data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.data.arrays import as_indices, as_rows
from fastnn.data.dataset import Dataset
from fastnn.initializers import LSUV
from fastnn.layers import Dense, Input, Residual
from fastnn.layers.base import Layer
from fastnn.models.executables import Executables
from fastnn.models.feeding import as_array
from fastnn.models.frontier import frontier
from fastnn.models.learner import Learner
from fastnn.models.network import Graph
from fastnn.models.predicting import predict_rows

ROWS = 1024
"""So many rows of the data are looked at."""


def calibrate(model: Learner, data: Dataset) -> None:
    """Scale the kernels that LSUV has made, layer after layer, so that what each layer feeds to its
    activation has variance 1 over the first ``ROWS`` rows of ``data`` (Mishkin & Matas 2016,
    algorithm 1).

    A kernel that has changed since its initializer made it is left alone.
    """
    waiting = {
        layer for node in model.nodes for layer in _flat(node.layer) if _is_uncalibrated(layer)
    }
    if not waiting:
        return
    _, sources, nodes = frontier(model)
    values = {
        tensor: as_array(model, number, rows)
        for number, (tensor, rows) in enumerate(
            zip(sources, data.part(slice(ROWS)).inputs, strict=True)
        )
    }
    for node in nodes:
        arguments = [values[tensor] for tensor in node.inputs]
        _calibrate(node.layer, arguments[0], waiting)
        if not waiting:
            return
        values[node.output] = _output(node.layer, arguments)


def _flat(layer: Layer) -> list[Layer]:
    return [layer] + [each for inner in layer.inner_layers for each in _flat(inner)]


def _is_uncalibrated(layer: Layer) -> bool:
    """Whether the layer's kernel is just what LSUV made: it makes the same at every call."""
    return (
        isinstance(layer, Dense)
        and isinstance(layer.kernel_initializer, LSUV)
        and np.array_equal(layer.kernel.numpy(), layer.kernel_initializer(layer.kernel.shape))
    )


def _calibrate(layer: Layer, x: NDArray[Any], waiting: set[Layer]) -> None:
    if waiting.isdisjoint(_flat(layer)):
        return
    if isinstance(layer, Residual):
        for inner in layer.layers:
            _calibrate(inner, x, waiting)
            if not waiting:
                return
            x = _output(inner, [x])
    else:
        assert isinstance(layer, Dense)
        _scale_kernel(layer, x)
        waiting.discard(layer)


def _scale_kernel(layer: Dense, x: NDArray[Any]) -> None:
    initializer = layer.kernel_initializer
    assert isinstance(initializer, LSUV)
    kernel = layer.kernel.numpy().astype(np.float64)
    product = x.astype(np.float64) @ kernel
    bias = 0.0 if layer.bias is None else layer.bias.numpy().astype(np.float64)
    scale = 1.0
    for _ in range(initializer.max_iterations):
        variance = np.var(scale * product + bias)
        # Without variance, no scale brings any.
        if not variance > 0 or abs(variance - 1.0) < initializer.tolerance:
            break
        scale /= np.sqrt(variance)
    layer.kernel.assign(scale * kernel)


def _output(layer: Layer, arguments: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
    """What a layer of the model makes of some arrays."""
    # Named, so that automatic names don't depend on what was trained before.
    inputs = [Input(x.shape[1:], name=f"lsuv {number}") for number, x in enumerate(arguments)]
    output = layer(inputs if layer.takes_list else inputs[0])
    executables = Executables(Graph(inputs, [output]))
    indices = executables.index_inputs()
    rows = Dataset(
        [
            as_indices(x, layer.name, x.shape[1:], *indices[number])
            if number in indices
            else as_rows(x, layer.name, x.shape[1:])
            for number, x in enumerate(arguments)
        ]
    )
    return predict_rows(executables, rows)[0]
