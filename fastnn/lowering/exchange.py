"""Where processes meet in a step: sums over their rows become sums over the batch.

Before it stands all that looks at rows, after it what all processes do alike, from the same
numbers.
"""

from __future__ import annotations

import numpy as np

from fastnn.lowering.builder import Builder
from fastnn.lowering.penalties import penalize_weights
from fastnn.lowering.program import Argument, Buffer, Buffers, make_op


def exchange(builder: Builder) -> None:
    """Add the ops that sum up gradients, losses and metrics of all processes, if there are others;
    what one of them has failed at stops the step in all."""
    if builder.processes is None:
        return
    count = len(builder.sums)
    own = Buffers.of_array("own_sums", np.zeros(max(1, count)), passing=True)
    sums = Buffers.of_array("sums", np.zeros(max(1, count)), passing=True)
    for operands in builder.row_values:
        builder.emit("sum_rows", into=own, **operands)
    arguments = [_numbers(own), _numbers(sums)]
    if builder.training:
        arguments += map(_numbers, (builder.weight_gradients.memory(), *builder.averaged))
    if builder.failed is None:
        builder.failed = Buffers.raw("failed", 4)
    op = make_op("exchange", failed=builder.failed)
    op.function, op.arguments = builder.processes, arguments
    builder.ops.append(op)
    builder.emit("guard_calls", failed=builder.failed)
    builder.summed_up = sums
    if builder.row_values:
        penalize_weights(builder)
    builder.row_values.clear()


def _numbers(buffer: Buffer) -> Argument:
    """All of a buffer, which is written."""
    dtype = np.float64 if buffer.dtype == "f8" else np.float32
    shape = (buffer.n_bytes // np.dtype(dtype).itemsize,)
    return Argument(buffer, shape, writes=True, by_rows=False, dtype=dtype)
