"""Gradients are summed up and stored.

A product's own op adds up its slices of the examples; where several products share a weight, each
adds to what is there. What nobody else adds to is finished in the same op, while it is at hand.
Gradients of other processes are added to the flat memory (``lowering/exchange.py``): then
``made_once`` is true of none.
"""

from __future__ import annotations

from collections.abc import Sequence

from fastnn.kernels.layout import BLOCK
from fastnn.lowering.builder import Builder
from fastnn.lowering.gradients.finish import finishing, room_for_squares
from fastnn.lowering.gradients.product import WeightProduct
from fastnn.lowering.program import Buffer, Operands
from fastnn.variables import Variable

_STORED = -1
"""The optimizer of a gradient that only goes to memory."""


def reduce(builder: Builder, products: Sequence[WeightProduct]) -> dict[Variable, Buffer]:
    """Add the ops that store the gradients of these products.

    Returns:
        Of the gradients that are finished thereby, the squares of each column of each tile.
    """
    squares: dict[Variable, Buffer] = {}
    for product in products:
        product.produce(builder)
    for product in products:
        finished = builder.weight_gradients.made_once(product)
        operands: Operands = {"optimizer": _STORED, "unfinished": not finished}
        for role, variable in product.weights().items():
            gradient, operands["accumulate"] = builder.weight_gradients.store(variable)
            operands[f"{role}_gradient"], operands[role] = gradient, builder.weight(variable)
            if finished:
                tiles = product.tiles(builder, role)
                squares[variable] = room_for_squares(builder, variable, tiles * BLOCK)
                operands[f"{role}_squares"] = squares[variable]
        if finished:
            operands |= finishing(builder, product)
        product.hand_over(builder, operands)
    return squares
