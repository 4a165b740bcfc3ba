"""Ops of weight gradients and updates.

A gradient goes straight into its update, or it is stored: because the update needs to know its norm
or that of all gradients, and it does not come cheaper (``product_norms.py``); or because several
layers add to it. All that is stored is computed before the guard, which is the last that can stop a
step.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from fastnn.kernels.codes import CHUNK, CONSTRAINTS, KEEPS_SQUARES, OPTIMIZERS
from fastnn.kernels.layout import BLOCK
from fastnn.lowering import product_norms
from fastnn.lowering.builder import Builder, Operands, Updates, WeightProduct
from fastnn.lowering.muon import MuonStep, emit_muon
from fastnn.lowering.product_norms import ProductNorm
from fastnn.lowering.program import Buffer, Buffers
from fastnn.variables import Variable


def must_store(updates: Updates, variables: list[Variable]) -> bool:
    """Whether an update needs what is known only of a whole gradient or a whole weight, more than
    the global norm."""
    return (
        bool(updates.clipnorm or updates.adaptive_clip)
        or bool(updates.averages)
        or not updates.apply
        or updates.muon is not None
        or any(v.constraint is not None and v.constraint.kind != "non_neg" for v in variables)
    )


def update(builder: Builder) -> None:
    """Gradients, the guard, updates; then what else waits for the guard."""
    updates = builder.updates
    assert updates is not None
    uses = Counter(product.kernel for product in builder.products)
    fused, stored = [], []
    squares: dict[Variable, Buffer] = {}
    unstored = []
    for product in builder.products:
        if uses[product.kernel] == 1 and product_norms.suffice(builder, product):
            unstored.append(product)
        elif builder.stores or uses[product.kernel] > 1:
            stored.append(product)
        else:
            fused.append(product)
    for product in stored:
        product.produce(builder)
    for product in stored:
        _store(builder, product, uses[product.kernel] == 1, squares)
    _guard(builder, squares, product_norms.emit(builder, unstored))
    if builder.observation is not None:
        builder.observation.stored_gradients()
    if not updates.apply:
        return
    for product in fused:
        product.produce(builder)
    for product in [*fused, *unstored]:
        product.finish(builder, _updated_at_once(builder, product))
    _orthogonal_steps(builder)
    for number, variable in enumerate(builder.stored):
        _update_stored(builder, number, variable)
    for action in builder.after_guard:
        action()


def _store(
    builder: Builder, product: WeightProduct, finished: bool, squares: dict[Variable, Buffer]
) -> None:
    """A product's gradients to memory, with the squares of each column of each panel."""
    assert builder.updates is not None
    operands: Operands = {
        "optimizer": -1, "unfinished": not finished, "clipvalue": builder.updates.clipvalue,
    }  # fmt: skip
    for role, variable in (("kernel", product.kernel), ("bias", product.bias)):
        if variable is None:
            continue
        operands[f"{role}_gradient"], operands["accumulate"] = builder.store_gradient(variable)
        operands[role] = builder.weight(variable)
        if finished:
            squares[variable] = _squares(builder, variable, product.tiles(builder, role))
            operands[f"{role}_squares"] = squares[variable]
            operands |= _penalties(role, variable)
    product.finish(builder, operands)


def _squares(builder: Builder, variable: Variable, tiles: int) -> Buffer:
    """Room for the squares of each column of a gradient's tiles."""
    return builder.buffers.raw(f"{variable.path}/squares", 4 * tiles * BLOCK)


def _guard(
    builder: Builder,
    squares: dict[Variable, Buffer],
    unstored: dict[WeightProduct, ProductNorm],
) -> None:
    updates = builder.updates
    assert updates is not None
    for variable, gradient in builder.stored.items():
        regularizer = variable.regularizer
        proved = variable in builder.proved
        if variable in squares or (proved and not (regularizer or updates.clipvalue)):
            continue
        blocks, rows = variable.storage.shape[:2]
        if not proved:
            squares[variable] = _squares(builder, variable, blocks * -(-rows // CHUNK))
        builder.emit(
            "finish_gradient", gradient=gradient, w=builder.weight(variable),
            squares=squares.get(variable), blocks=blocks, rows=rows, panel=CHUNK,
            l1=regularizer.l1 if regularizer else 0.0, l2=regularizer.l2 if regularizer else 0.0,
            clipvalue=updates.clipvalue,
        )  # fmt: skip
    if squares or unstored:
        stored = len(builder.stored)
        # A product has two, the kernel's and the bias's, which stays 0 where there is none.
        builder.norms = np.zeros(stored + 2 * len(unstored))
        errors = np.zeros(len(unstored))
        for number, (variable, gradient) in enumerate(builder.stored.items()):
            if variable in squares:
                builder.emit(
                    "square_sums", squares=squares[variable], gradient=gradient,
                    norm=_norm(builder, number), number=number, size=variable.storage.size,
                    count=squares[variable].n_bytes // 4, exact=not updates.apply,
                    limit=_limit(updates, variable),
                )  # fmt: skip
        for number, (product, norm) in enumerate(unstored.items()):
            kernel, bias = stored + 2 * number, stored + 2 * number + 1
            builder.emit(
                "product_norm_sums", x_means=norm.x_means, dz_means=norm.dz_means,
                parts=norm.parts, kernel_norm=_norm(builder, kernel),
                bias_norm=_norm(builder, bias) if product.bias is not None else None,
                error=Buffers.of_array("error", errors[number : number + 1]),
                inputs=product.x.features, units=product.kernel.shape[1], number=kernel,
            )  # fmt: skip
        builder.emit(
            "guard", norms=Buffers.of_array("norms", builder.norms), count=len(builder.norms),
            errors=Buffers.of_array("errors", errors) if unstored else None,
            halts=updates.halts, unstored=2 * len(unstored),
            global_clipnorm=updates.global_clipnorm,
        )  # fmt: skip
    factors = builder.proof.operands() if builder.proof is not None else None
    if factors is not None:
        builder.emit("guard_factors", **factors)


def _limit(updates: Updates, variable: Variable) -> float:
    """The limit of a gradient's squared norm: what makes the optimizer's squares infinite must not
    reach them. 0 for none; where gradients are clipped by a norm, there is none."""
    clipped = updates.clipnorm or updates.global_clipnorm or updates.adaptive_clip
    squares = updates.kernels.get(variable) in KEEPS_SQUARES
    stops = updates.halts and updates.apply
    return float(np.finfo(np.float32).max) if stops and squares and not clipped else 0.0


def _norm(builder: Builder, number: int) -> Buffer:
    return Buffers.of_array(f"norm_{number}", builder.norms[number : number + 1])


def _updated_at_once(builder: Builder, product: WeightProduct) -> Operands:
    assert builder.updates is not None
    operands: Operands = {
        "optimizer": OPTIMIZERS[builder.updates.kernels[product.kernel]],
        "clipvalue": builder.updates.clipvalue,
    }
    for role, variable in (("kernel", product.kernel), ("bias", product.bias)):
        if variable is not None:
            operands[role] = builder.weight(variable)
            if builder.observation is not None:
                operands[f"{role}_summaries"] = builder.observation.gradient(
                    variable, product.tiles(builder, role)
                )
            operands |= _slots(builder, f"{role}_slot", variable) | _penalties(role, variable)
            operands[f"{role}_non_negative"] = variable.constraint is not None
    return operands


def _penalties(role: str, variable: Variable) -> Operands:
    regularizer = variable.regularizer
    if regularizer is None:
        return {}
    return {f"{role}_l1": regularizer.l1, f"{role}_l2": regularizer.l2}


def _slots(builder: Builder, name: str, variable: Variable) -> Operands:
    assert builder.updates is not None
    return {
        f"{name}_{i}": Buffers.of_array(f"{variable.path}/slot_{i}", slot)
        for i, slot in enumerate(builder.updates.slots[variable])
    }


def _clip(builder: Builder, number: int, variable: Variable) -> Operands:
    updates = builder.updates
    assert updates is not None
    return {
        "gradient": builder.stored[variable],
        "w": builder.weight(variable),
        "norm": _norm(builder, number) if updates.clipnorm else None,
        "blocks": variable.storage.shape[0],
        "rows": variable.storage.shape[1],
        "clipnorm": updates.clipnorm,
        "adaptive_clip": updates.adaptive_clip,
    }


def _is_orthogonal(updates: Updates, variable: Variable) -> bool:
    return updates.kernels[variable] == "muon"


def _orthogonal_steps(builder: Builder) -> None:
    """Muon's matrices take their steps; what follows a step is left to ``_update_stored``."""
    updates = builder.updates
    assert updates is not None
    if updates.muon is None:
        return
    steps = []
    for number, (variable, gradient) in enumerate(builder.stored.items()):
        w = builder.weight(variable)
        if not _is_orthogonal(updates, variable) or w is None:
            continue
        if updates.clipnorm or updates.global_clipnorm or updates.adaptive_clip:
            builder.emit("clip_gradient", **_clip(builder, number, variable))
        momentum = _slots(builder, "slot", variable)["slot_0"]
        assert isinstance(momentum, Buffer)
        shape = (variable.shape[0], variable.shape[1])
        steps.append(MuonStep(variable.path, shape, gradient, w, momentum))
    emit_muon(builder.emit, updates.muon, steps)


def _update_stored(builder: Builder, number: int, variable: Variable) -> None:
    updates = builder.updates
    assert updates is not None
    blocks, rows = variable.storage.shape[:2]
    is_vector = len(variable.shape) == 1
    constraint = variable.constraint
    # A constraint by columns, or of a vector as a whole, is part of the update.
    by_columns = constraint is not None and (
        constraint.kind == "non_neg" or is_vector or variable.constraint_axis == 0
    )
    kind = CONSTRAINTS[constraint.kind] if constraint is not None else 0
    value = constraint.params[0] if constraint is not None and constraint.params else 0.0
    looks_at_norm = updates.adaptive_clip or (by_columns and kind != CONSTRAINTS["non_neg"])
    whole = is_vector and bool(looks_at_norm)
    average = updates.averages.get(variable)
    operands = _clip(builder, number, variable)
    if _is_orthogonal(updates, variable):
        operands["gradient"] = None
    else:
        operands |= _slots(builder, "slot", variable)
        operands["optimizer"] = OPTIMIZERS[updates.kernels[variable]]
    if operands["gradient"] is not None or average is not None or by_columns:
        builder.emit(
            "update", **operands, group=blocks if whole else 1,
            average=average
            if average is None
            else Buffers.of_array(f"{variable.path}/average", average),
            constraint=kind if by_columns else 0, whole=whole, constraint_value=value,
            overwrite_every=updates.overwrite_every, ema_momentum=updates.ema_momentum,
        )  # fmt: skip
    if constraint is not None and not by_columns:
        builder.emit(
            "constrain_rows", w=builder.weight(variable), blocks=blocks,
            rows=variable.matrix_shape[0], stored_rows=rows, constraint=kind,
            whole=variable.constraint_axis != 1, constraint_value=value,
        )  # fmt: skip
