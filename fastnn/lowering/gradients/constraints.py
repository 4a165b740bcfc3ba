"""Constraints of weights, after their step."""

from __future__ import annotations

from fastnn.kernels.codes import CONSTRAINTS
from fastnn.lowering.emitter import Emitter
from fastnn.lowering.gradients.need import Need
from fastnn.lowering.program import Operands
from fastnn.variables import Variable


def need(variable: Variable) -> Need:
    """What the weight's constraint must see."""
    constraint = variable.constraint
    by_norm = constraint is not None and constraint.kind != "non_neg"
    return Need.WHOLE if by_norm else Need.NOTHING


def is_part_of_update(variable: Variable) -> bool:
    """Whether it has a constraint by columns, or of a whole vector, as updates go through them."""
    constraint = variable.constraint
    return constraint is not None and (
        constraint.kind == "non_neg" or len(variable.shape) == 1 or variable.constraint_axis == 0
    )


def operands(variable: Variable) -> Operands:
    """Of the update or op that constrains the weight."""
    constraint = variable.constraint
    if constraint is None:
        return {}
    return {
        "constraint": CONSTRAINTS[constraint.kind],
        "constraint_value": constraint.params[0] if constraint.params else 0.0,
    }


def constrain_rows(emitter: Emitter, variable: Variable) -> None:
    """Add the op for a constraint that no update can be part of: by rows, or of a whole matrix."""
    blocks, stored_rows = variable.storage.shape[:2]
    emitter.emit(
        "constrain_rows", w=emitter.weight(variable), blocks=blocks,
        rows=variable.matrix_shape[0], stored_rows=stored_rows,
        whole=variable.constraint_axis != 1, **operands(variable),
    )  # fmt: skip
