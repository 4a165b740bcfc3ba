"""Ops of weight gradients and updates."""

from __future__ import annotations

from collections import Counter

from fastnn.kernels.codes import CHUNK, OPTIMIZERS
from fastnn.kernels.layout import BLOCK, aligned_zeros
from fastnn.lowering.builder import Builder, WeightProduct
from fastnn.lowering.program import Buffer, Buffers
from fastnn.variables import Variable

_Operands = dict[str, Buffer | float | None]


def update(builder: Builder) -> None:
    """Weight gradients and updates: in one op, or, where several layers' gradients make one
    weight's, summed first."""
    assert builder.updates is not None
    optimizer = OPTIMIZERS[builder.updates.kernel]
    uses = Counter(product.kernel for product in builder.products)
    sums: dict[Variable, Buffer] = {}
    for product in builder.products:
        operands: _Operands = {}
        if uses[product.kernel] == 1:
            operands |= _updated(builder, "kernel", product.kernel)
            operands |= _updated(builder, "bias", product.bias)
            operands["optimizer"] = optimizer
        else:
            operands["accumulate"] = product.kernel in sums
            operands["optimizer"] = -1
            for role, variable in (("kernel", product.kernel), ("bias", product.bias)):
                if variable is not None:
                    if variable not in sums:
                        # not in the arena: the update reads the padding, which nobody writes
                        sums[variable] = Buffers.of_array(
                            f"d_{variable.path}", aligned_zeros(variable.storage.shape)
                        )
                    operands[role] = sums[variable]
        _emit_product(builder, product, operands)
    for variable, gradient in (sums | builder.stored).items():
        slots = _updated(builder, "slot", variable)
        builder.emit(
            "update", gradient=gradient, w=slots.pop("slot"), size=variable.storage.size,
            optimizer=optimizer,
            **{name.replace("slot_slot", "slot"): buffer for name, buffer in slots.items()},
        )  # fmt: skip


def _emit_product(builder: Builder, product: WeightProduct, operands: _Operands) -> None:
    operands |= {
        "inputs": product.x.features,
        "units": product.kernel.shape[1],
        "kernel_block": product.kernel.storage.shape[1] * BLOCK,
        "dz": product.dz,
    }
    if product.x in builder.nonzeros:
        source, (column_start, row, value) = builder.nonzeros[product.x]
        builder.emit(
            "dense_backward_weights_sparse", column_start=column_start, row=row, value=value,
            capacity=min(CHUNK, builder.capacity) * builder.sparse[source], **operands,
        )  # fmt: skip
    else:
        builder.emit("dense_backward_weights", x=builder.values[product.x], **operands)


def _updated(builder: Builder, role: str, variable: Variable | None) -> _Operands:
    """A variable and its slots as operands."""
    if variable is None:
        return {}
    assert builder.updates is not None
    operands: _Operands = {role: builder.weight(variable)}
    for i, slot in enumerate(builder.updates.slots[variable]):
        operands[f"{role}_slot_{i}"] = Buffers.of_array(f"{variable.path}/slot_{i}", slot)
    return operands
