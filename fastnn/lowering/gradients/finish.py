"""Gradients are finished: the regularizer's part comes in, numbers are clipped, norms are taken."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fastnn.kernels.codes import CHUNK, KEEPS_SQUARES
from fastnn.kernels.layout import BLOCK
from fastnn.lowering.builder import Builder
from fastnn.lowering.gradients.product import WeightProduct
from fastnn.lowering.gradients.settings import Updates
from fastnn.lowering.program import Buffer, Operands
from fastnn.variables import Variable


def finishing(builder: Builder, product: WeightProduct) -> Operands:
    """Operands of an op that hands over gradients, by which it finishes them."""
    assert builder.updates is not None
    operands: Operands = {"clipvalue": builder.updates.clipping.value}
    for role, variable in product.weights().items():
        if variable.regularizer is not None:
            operands[f"{role}_l1"] = variable.regularizer.l1
            operands[f"{role}_l2"] = variable.regularizer.l2
    return operands


def room_for_squares(builder: Builder, variable: Variable, numbers: int) -> Buffer:
    """Where so many sums of squares of a gradient go."""
    return builder.buffers.raw(f"{variable.path}/squares", 4 * numbers)


def finish(builder: Builder, squares: Mapping[Variable, Buffer]) -> dict[Variable, Buffer]:
    """Add the ops for gradients that are not finished yet.

    Args:
        squares: Of those that are.

    Returns:
        The squares of all stored gradients but those that are proved to be finite.
    """
    assert builder.updates is not None
    gradients, clipvalue = builder.weight_gradients, builder.updates.clipping.value
    found = dict(squares)
    for variable, gradient in gradients.stored.items():
        regularizer = variable.regularizer
        proved = variable in gradients.proved
        if variable in squares or (proved and not (regularizer or clipvalue)):
            continue
        blocks, rows = variable.storage.shape[:2]
        if not proved:
            sums = blocks * -(-rows // CHUNK) * BLOCK
            found[variable] = room_for_squares(builder, variable, sums)
        builder.emit(
            "finish_gradient", gradient=gradient, w=builder.weight(variable),
            squares=found.get(variable), blocks=blocks, rows=rows, panel=CHUNK,
            l1=regularizer.l1 if regularizer else 0.0, l2=regularizer.l2 if regularizer else 0.0,
            clipvalue=clipvalue,
        )  # fmt: skip
    return found


def sum_squares(builder: Builder, squares: Mapping[Variable, Buffer]) -> None:
    """Add the ops that make the norms of stored gradients, for which there is room."""
    updates, gradients = builder.updates, builder.weight_gradients
    assert updates is not None
    for number, (variable, gradient) in enumerate(gradients.stored.items()):
        if variable in squares:
            builder.emit(
                "square_sums", squares=squares[variable], gradient=gradient,
                norm=gradients.norm(number), number=number, size=variable.storage.size,
                count=squares[variable].n_bytes // 4, exact=not updates.apply,
                limit=_limit(updates, variable),
            )  # fmt: skip


def _limit(updates: Updates, variable: Variable) -> float:
    """The limit of a gradient's squared norm: what makes the optimizer's squares infinite must not
    reach them. 0 for none; where gradients are clipped by a norm, there is none."""
    squares = updates.kernels.get(variable) in KEEPS_SQUARES
    stops = updates.halts and updates.apply
    clipped = updates.clipping.by_norm
    return float(np.finfo(np.float32).max) if stops and squares and not clipped else 0.0
