"""The rule of Dense."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fastnn import layers
from fastnn.export.rules.activations import activated
from fastnn.export.rules.base import LayerUse, export_layer
from fastnn.export.values import Value, channels_first


@export_layer.register
def _(layer: layers.Dense, use: LayerUse) -> Value:
    kernel = layer.kernel.numpy()
    bias = None if layer.bias is None else layer.bias.numpy()
    (x,) = use.inputs
    if not layer.dropconnect:
        return activated(use, _product(use, x, "kernel", kernel, bias), layer.activation)
    mean = _product(use, x, "kernel", kernel, bias)
    ratio = layer.dropconnect / (1 - layer.dropconnect)
    squares = x.named(use.add("Mul", x.name, x.name))
    variance = _product(use, squares, "variance_kernel", ratio * kernel**2, None)
    mean = replace(mean, deviation=use.add("Sqrt", variance.name))
    return activated(use, mean, layer.activation)


def _product(
    use: LayerUse,
    x: Value,
    name: str,
    kernel: NDArray[np.float32],
    bias: NDArray[np.float32] | None,
) -> Value:
    rank = len(x.shape)
    if rank == 1:
        rows = kernel.reshape(*x.grid, -1).transpose(*x.order, len(x.grid))
        tensors = [use.tensor(name, rows.reshape(kernel.shape))]
        tensors += [] if bias is None else [use.tensor("bias", bias)]
        return use.made_plain(use.add("Gemm", x.name, *tensors))
    if rank in (2, 3) and x.order == channels_first(rank):
        # A product at each position is a convolution of one tap: nothing need be turned.
        taps = kernel.T.reshape(*kernel.T.shape, *(1,) * (rank - 1))
        tensors = [use.tensor(name, taps)]
        tensors += [] if bias is None else [use.tensor("bias", bias)]
        return use.made_first(use.add("Conv", x.name, *tensors))
    product = use.add("MatMul", use.plain(x).name, use.tensor(name, kernel))
    if bias is not None:
        product = use.add("Add", product, use.tensor("bias", bias))
    return use.made_plain(product)
