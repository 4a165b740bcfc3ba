"""Norms of weight gradients that are never stored.

Clipping by the global norm needs all norms before the first update. For few rows they come cheaper
from x and dz than from the gradient x' dz, which so need not go through memory: |x' dz|^2 is the
sum of the products of the numbers of x x' and of dz dz', two matrices (rows, rows).
"""

from __future__ import annotations

from collections.abc import Sequence

from fastnn.kernels.layout import n_blocks
from fastnn.lowering.builder import Builder, WeightProduct
from fastnn.lowering.program import Buffer, Buffers

MOST_ROWS = 256
"""There is room for so many in scratch."""

_COST = 10
"""Multiply-adds between rows for each number of the gradient, up to which they are cheaper than its
way to memory and back. Measured on nets with two or three layers of 128 to 2048 units: with 1 to 4 a
step takes 1 to 14 % less time than with stored gradients, with 4 to 9 up to 12 % less, and from 13
on as long."""


def pay(builder: Builder, inputs: int, units: int) -> bool:
    """Whether norms of products come cheaper than gradients (inputs, units) that are stored."""
    multiply_adds = builder.capacity**2 * (inputs + units)
    return builder.norms_suffice and multiply_adds <= _COST * inputs * units


def suffice(builder: Builder, product: WeightProduct) -> bool:
    """Whether nothing but the norm of this gradient must be known before its update, and it is
    found without the gradient."""
    return (
        pay(builder, product.x.features, _units(product))
        and product.dropped is None
        and product.kernel.regularizer is None
        and (product.bias is None or product.bias.regularizer is None)
    )


def emit(builder: Builder, products: Sequence[WeightProduct]) -> dict[WeightProduct, Buffer]:
    """Of each, the parts of the norms of its kernel's gradient and its bias's."""
    turned = [
        (_transposed_input(builder, product), _transposed(builder, product.dz, _units(product)))
        for product in products
    ]
    parts = {}
    for product, (x_t, dz_t) in zip(products, turned, strict=True):
        parts[product] = Buffers.raw(
            f"{product.kernel.path}/norm_parts", 8 * 4 * n_blocks(builder.capacity)
        )
        builder.emit(
            "product_norms", x_t=x_t, dz_t=dz_t, parts=parts[product], inputs=product.x.features,
            units=_units(product),
        )  # fmt: skip
    return parts


def _units(product: WeightProduct) -> int:
    return product.kernel.shape[1]


def _transposed_input(builder: Builder, product: WeightProduct) -> Buffer:
    x = product.x
    if x not in builder.values:
        dense = builder.activation(x)
        builder.emit("gather_nonzeros", y=dense, features=x.features, source=builder.nonzeros[x][0])
    return _transposed(builder, builder.values[x], x.features)


def _transposed(builder: Builder, buffer: Buffer, features: int) -> Buffer:
    if buffer not in builder.transposed:
        turned = builder.buffers.transposed(f"{buffer.name}/transposed", features)
        builder.emit("transpose", x=buffer, y=turned, features=features)
        builder.transposed[buffer] = turned
    return builder.transposed[buffer]
