"""Gradients, finished, become steps of their weights."""

from __future__ import annotations

from collections.abc import Sequence

from fastnn.kernels.codes import OPTIMIZERS
from fastnn.lowering.builder import Builder
from fastnn.lowering.gradients import constraints, muon
from fastnn.lowering.gradients.finish import finishing
from fastnn.lowering.gradients.product import WeightProduct
from fastnn.lowering.observation import Observation
from fastnn.lowering.program import Buffer, Buffers, Operands
from fastnn.variables import Variable


def update_at_once(
    builder: Builder, products: Sequence[WeightProduct], observation: Observation | None
) -> None:
    """Add the ops that end the sums of these products; each tile is finished, and its weights take
    their step, while it is at hand."""
    updates = builder.updates
    assert updates is not None
    for product in products:
        operands: Operands = {"optimizer": OPTIMIZERS[updates.kernels[product.kernel]]}
        for role, variable in product.weights().items():
            operands[role] = builder.weight(variable)
            if observation is not None:
                operands[f"{role}_summaries"] = observation.gradient(
                    variable, product.tiles(builder, role)
                )
            operands |= _slots(builder, f"{role}_slot", variable)
            operands[f"{role}_non_negative"] = variable.constraint is not None
        product.hand_over(builder, operands | finishing(builder, product))


def update_stored(builder: Builder) -> None:
    """Add the ops by which weights take their step from a gradient that is stored."""
    updates, stored = builder.updates, builder.weight_gradients.stored
    assert updates is not None
    whole = [variable for variable in stored if updates.kernels[variable] == muon.KERNEL]
    _update_as_matrices(builder, whole)
    for number, variable in enumerate(stored):
        _update(builder, number, variable, stepped=variable in whole)


def _update_as_matrices(builder: Builder, variables: Sequence[Variable]) -> None:
    """Muon's steps; what follows a step is left to ``_update``."""
    updates, stored = builder.updates, builder.weight_gradients.stored
    assert updates is not None
    if updates.muon is None:
        return
    steps = []
    for variable in variables:
        w, momentum = builder.weight(variable), _slots(builder, "slot", variable)["slot_0"]
        assert w is not None and isinstance(momentum, Buffer)
        if updates.clipping.by_norm:
            builder.emit("clip_gradient", **_clipped(builder, [*stored].index(variable), variable))
        shape = (variable.shape[0], variable.shape[1])
        steps.append(muon.MuonStep(variable.path, shape, stored[variable], w, momentum))
    muon.emit_muon(builder.emit, updates.muon, steps)


def _update(builder: Builder, number: int, variable: Variable, stepped: bool) -> None:
    """stepped: The optimizer's step is done: only what follows it is left."""
    updates = builder.updates
    assert updates is not None
    constrained = constraints.is_part_of_update(variable)
    average = updates.averages.operands(variable)
    operands = _clipped(builder, number, variable) | average
    if stepped:
        operands["gradient"] = None
    else:
        operands |= _slots(builder, "slot", variable)
        operands["optimizer"] = OPTIMIZERS[updates.kernels[variable]]
    if constrained:
        operands |= constraints.operands(variable)
    if not stepped or average or constrained:
        # Who looks at the norm of a vector must have all of it.
        looks = updates.clipping.adaptive or (constrained and constraints.need(variable))
        whole = len(variable.shape) == 1 and bool(looks)
        group = variable.storage.shape[0] if whole else 1
        builder.emit("update", **operands, group=group, whole=whole)
    if variable.constraint is not None and not constrained:
        constraints.constrain_rows(builder, variable)


def _clipped(builder: Builder, number: int, variable: Variable) -> Operands:
    """Operands of an op that goes through a stored gradient and clips it."""
    assert builder.updates is not None
    gradients = builder.weight_gradients
    return {
        "gradient": gradients.stored[variable],
        "w": builder.weight(variable),
        "blocks": variable.storage.shape[0],
        "rows": variable.storage.shape[1],
        **builder.updates.clipping.operands(gradients.norm(number)),
    }


def _slots(builder: Builder, name: str, variable: Variable) -> Operands:
    assert builder.updates is not None
    return {
        f"{name}_{i}": Buffers.of_array(f"{variable.path}/slot_{i}", slot)
        for i, slot in enumerate(builder.updates.slots[variable])
    }
