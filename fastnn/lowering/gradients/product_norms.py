"""Norms of weight gradients that are never stored.

Clipping by the global norm needs all norms before the first update. For few rows they come cheaper
from x and dz than from the gradient x' dz, which so need not go through memory: |x' dz|^2 is the
sum of the products of the numbers of x x' and of dz dz', two matrices (rows, rows). See
``fastnn/kernels/gradients.pyx`` for what is done about cancellation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastnn.kernels.layout import n_blocks
from fastnn.lowering.builder import Builder
from fastnn.lowering.gradients.product import WeightProduct
from fastnn.lowering.program import Buffer, Buffers
from fastnn.lowering.values import Value
from fastnn.variables import Variable

MOST_ROWS = 256
"""There is room for so many in scratch."""

_COST = 10
_FEWEST = 2**18
"""Multiply-adds between rows for each number of a gradient, up to which they are cheaper than its
way to memory and back; and how many numbers it must have for that to be far. Measured on nets with
two or three layers: with 512 to 2048 units a step takes 6 to 15 % less time than with stored
gradients where the cost is 1 to 4, 4 to 7 % less where it is 4 to 9, and as long from 13 on; with
256 or 128 units 3 % less to 4 % more."""


def pay(builder: Builder, kernel: Variable) -> bool:
    """Whether the norm of a product for this kernel comes cheaper than its gradient, stored."""
    inputs, units = kernel.shape
    multiply_adds, numbers = builder.capacity**2 * (inputs + units), inputs * units
    return (
        builder.weight_gradients.norms_suffice
        and builder.capacity <= MOST_ROWS
        and numbers >= _FEWEST
        and multiply_adds <= _COST * numbers
    )


def suffice(builder: Builder, product: WeightProduct) -> bool:
    """Whether nothing but the norm of this gradient must be known before its update, and it is
    found without the gradient."""
    return (
        product.is_of_factors
        and pay(builder, product.kernel)
        and all(variable.regularizer is None for variable in product.weights().values())
    )


@dataclass
class ProductNorm:
    """What the norms of a product's gradients, the kernel's and the bias's, are added up from."""

    x_means: Buffer
    dz_means: Buffer
    parts: Buffer


def emit(builder: Builder, products: Sequence[WeightProduct]) -> dict[WeightProduct, ProductNorm]:
    """Take the sums over rows and features, before the weights change."""
    found = {}
    turned = {}
    for product in products:
        inputs, units = product.kernel.shape
        path = product.kernel.path
        norm = found[product] = ProductNorm(
            Buffers.raw(f"{path}/x_means", 8 * inputs, "f8"),
            Buffers.raw(f"{path}/dz_means", 8 * units, "f8"),
            Buffers.raw(f"{path}/norm_parts", 8 * 4 * n_blocks(builder.capacity), "f8"),
        )
        x_t = builder.buffers.transposed(f"{path}/x_centered", Value(path, inputs))
        builder.emit(
            "center", x=_dense(builder, product), means=norm.x_means, y_t=x_t, features=inputs,
            segments=product.x.positions,
        )  # fmt: skip
        builder.emit("center", x=product.dz, means=norm.dz_means, features=units)
        turned[product] = x_t, _transposed(builder, product.dz, units)
    for product, norm in found.items():
        x_t, dz_t = turned[product]
        builder.emit(
            "product_norms", x_t=x_t, x_means=norm.x_means, dz_t=dz_t, dz_means=norm.dz_means,
            parts=norm.parts, inputs=product.kernel.shape[0], units=product.kernel.shape[1],
        )  # fmt: skip
    return found


def add_up(
    builder: Builder, unstored: Mapping[WeightProduct, ProductNorm], errors: NDArray[np.float64]
) -> None:
    """Add the ops that make the norms, for which there is room behind those of stored gradients,
    and by how much each may be off (``errors``)."""
    gradients = builder.weight_gradients
    for number, (product, norm) in enumerate(unstored.items()):
        kernel = len(gradients.stored) + 2 * number
        builder.emit(
            "product_norm_sums", x_means=norm.x_means, dz_means=norm.dz_means, parts=norm.parts,
            kernel_norm=gradients.norm(kernel),
            bias_norm=gradients.norm(kernel + 1) if product.bias is not None else None,
            error=Buffers.of_array("error", errors[number : number + 1], passing=True),
            inputs=product.kernel.shape[0], units=product.kernel.shape[1], number=kernel,
        )  # fmt: skip


def _dense(builder: Builder, product: WeightProduct) -> Buffer:
    x = product.x
    if x not in builder.values:
        dense = builder.activation(x)
        builder.emit("gather_nonzeros", y=dense, features=x.features, source=builder.nonzeros[x][0])
    return builder.values[x]


def _transposed(builder: Builder, buffer: Buffer, features: int) -> Buffer:
    if buffer not in builder.transposed:
        turned = builder.buffers.transposed(
            f"{buffer.name}/transposed", Value(buffer.name, features)
        )
        builder.emit("transpose", x=buffer, y=turned, features=features)
        builder.transposed[buffer] = turned
    return builder.transposed[buffer]
