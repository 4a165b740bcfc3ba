"""Lowering: a model, with its losses and optimizer, becomes a program.

The ops of a training program stand in this order:
- what is made of the old weights alone; gather the batch, forward, losses and metrics;
- the chain of input gradients down to the first layer, which needs only the old weights;
- where several processes share the batch, the exchange of gradients and sums;
- the guard, which stops the step if a gradient is not finite;
- all weight gradients with their updates, none of which waits for another;
- sums of losses and metrics.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fastnn.engine.processes import Processes
from fastnn.lowering.arena import place
from fastnn.lowering.bands import form_bands
from fastnn.lowering.builder import Builder
from fastnn.lowering.exchange import exchange
from fastnn.lowering.fuse import fuse
from fastnn.lowering.gradients.settings import Updates
from fastnn.lowering.gradients.stage import emit_gradients
from fastnn.lowering.inference import for_inference
from fastnn.lowering.nodes import DenseNode, InputNode
from fastnn.lowering.nodes.base import lowered
from fastnn.lowering.objective import Objective, arrange_outputs, take_logits
from fastnn.lowering.observation import Observation
from fastnn.lowering.penalties import PENALTY, penalize
from fastnn.lowering.program import Program, places_to_leave
from fastnn.lowering.scores import score
from fastnn.lowering.values import Node, Trace
from fastnn.lowering.verify import verify
from fastnn.lowering.waits import place_waits


def lower(
    trace: Trace,
    capacity: int,
    objectives: Sequence[Objective] = (),
    updates: Updates | None = None,
    sparse: Mapping[int, int] | None = None,
    predict: bool = False,
    store: bool = False,
    window: int = 0,
    processes: Processes | None = None,
) -> Program:
    """The program for batches of up to ``capacity`` rows.

    Args:
        trace: The model's; it is changed (fused).
        objectives: One for each output, to compute losses and metrics.
        updates: To train; without it the weights stay as they are.
        sparse: Inputs that come as nonzeros: input number -> nonzeros of the longest row.
        predict: Write the outputs to the caller's arrays.
        store: Store every weight gradient before the first update, whether the updates need it or
            not: to look at each whether it is finite.
        window: Can take statistics; a unit that is 0 for so many steps counts as dead.
        processes: Each does its rows of every batch: ``capacity`` of them, at most.

    The program reads its sources in this order: inputs; targets of the objectives that have one;
    weights of those that are weighted.
    """
    if updates is None:
        for_inference(trace)
    arrange_outputs(trace, objectives)
    fuse(trace)
    logits = {
        output: take_logits(trace, output, objective.loss)
        for output, objective in zip(trace.outputs, objectives, strict=False)
        if objective.loss is not None
    }
    builder = Builder(trace, capacity, sparse or {}, updates, store, processes)
    observation = Observation(builder, window) if window else None
    if observation is not None:
        observation.begin()
    for node in trace.nodes:
        lowered(node).forward(builder)
    if objectives:
        penalize(builder)
    score(builder, objectives, logits)
    if predict:
        for number, output in enumerate(trace.outputs):
            builder.emit(
                "scatter", x=builder.values[output], features=output.features, output=number
            )
    if updates is not None:
        for node in reversed(trace.nodes):
            _backward(builder, node)
        if builder.failed is not None and processes is None:
            builder.emit("guard_calls", failed=builder.failed)
        emit_gradients(builder, observation)
    else:
        exchange(builder)
    for operands in builder.row_values:
        builder.emit("sum_rows", **operands)
    if builder.summed_up is not None:
        builder.emit("add_sums", sums=builder.summed_up, count=len(builder.sums))
    if builder.penalties is not None:
        builder.emit(
            "sum_penalties", penalties=builder.penalties, sum=builder.sums.index(PENALTY),
            blocks=builder.penalties.n_bytes // 8,
        )  # fmt: skip
    builder.ops[:0] = builder.first
    program = Program(builder.ops, capacity, builder.sums)
    if observation is not None:
        observation.end()
        program.record = observation.record
    program.norms = builder.weight_gradients.norms
    program.gradients = builder.weight_gradients.arrays()
    place_waits(program, len(builder.first))
    form_bands(program)
    place_waits(program)
    place(program)
    program.leavable = places_to_leave(program.ops)
    verify(program)
    return program


def _backward(builder: Builder, node: Node) -> None:
    gradient = builder.gradients.get(node.output)
    if gradient is not None and node.output in builder.needs_gradient:
        lowered(node).backward(builder, gradient)


def can_take_nonzeros(trace: Trace, source: int) -> float | None:
    """The scale of input ``source`` if only Dense layers read it, with nothing added; else None."""
    for node in trace.nodes:
        if isinstance(node, InputNode) and node.source == source:
            only_dense = all(isinstance(reader, DenseNode) for reader in node.output.readers)
            if (
                only_dense
                and node.output.readers
                and node.offset == 0.0
                and not node.moves
                and not node.output.is_output
                and node.output.positions == 1
            ):
                return node.scale
    return None
