"""The guard: the last that can stop a step, from what is known of all gradients."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fastnn.lowering.builder import Builder
from fastnn.lowering.gradients import product_norms
from fastnn.lowering.gradients.finish import sum_squares
from fastnn.lowering.gradients.product import WeightProduct
from fastnn.lowering.gradients.product_norms import ProductNorm
from fastnn.lowering.program import Buffer, Buffers
from fastnn.variables import Variable


def guard(
    builder: Builder,
    squares: Mapping[Variable, Buffer],
    unstored: Mapping[WeightProduct, ProductNorm],
) -> None:
    """Add the ops that stop a step, and settle by how much all gradients are clipped.

    Args:
        squares: What norms of stored gradients are added up from.
        unstored: The same for gradients that nobody stores.
    """
    updates, gradients = builder.updates, builder.weight_gradients
    assert updates is not None
    if squares or unstored:
        # A product has two, the kernel's and the bias's, which stays 0 where there is none.
        gradients.norms = np.zeros(len(gradients.stored) + 2 * len(unstored))
        errors = np.zeros(len(unstored))
        sum_squares(builder, squares)
        product_norms.add_up(builder, unstored, errors)
        builder.emit(
            "guard", norms=Buffers.of_array("norms", gradients.norms, passing=True),
            count=len(gradients.norms),
            errors=Buffers.of_array("errors", errors, passing=True) if unstored else None,
            halts=updates.halts, unstored=2 * len(unstored),
            global_clipnorm=updates.clipping.global_norm,
        )  # fmt: skip
    factors = gradients.proof.operands() if gradients.proof is not None else None
    if factors is not None:
        builder.emit("guard_factors", **factors)
