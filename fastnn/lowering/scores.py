"""Ops of losses and metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.kernels.codes import LOSSES, METRICS
from fastnn.losses import CallableLoss
from fastnn.lowering.builder import Builder
from fastnn.lowering.nodes import InputNode
from fastnn.lowering.objective import LossKernel, Objective, loss_kernel, metric_kernel
from fastnn.lowering.program import Argument, Buffer
from fastnn.lowering.values import Value
from fastnn.metrics import EpochMetric, LossMetric, Metric

_Target = dict[str, Buffer]


def score(
    builder: Builder, objectives: Sequence[Objective], logits: Mapping[Value, Value | None]
) -> None:
    """Hold the outputs to their objectives; the losses' gradients are where backward begins.

    Args:
        logits: The logits of the outputs whose loss is computed from them.
    """
    source = sum(isinstance(node, InputNode) for node in builder.trace.nodes)
    outputs = builder.trace.outputs
    targets: list[_Target] = []
    kept = 0
    for output, objective in zip(outputs, objectives, strict=False):
        targets.append(_target(builder, output, objective, source))
        source += objective.has_target
    for number, (output, objective) in enumerate(zip(outputs, objectives, strict=False)):
        weights = None
        if objective.weighted:
            weights = _weights(builder, output, output.positions, source)
        target = targets[number]
        if isinstance(objective.loss, CallableLoss):
            of_rows = weights
            if objective.weighted and output.positions > 1:
                of_rows = _weights(builder, output, 1, source)
            _callable_loss(builder, number, output, objective, objective.loss, target, of_rows)
        elif objective.loss is not None:
            _loss(builder, number, output, objective, target, weights, logits.get(output))
        for m, metric in enumerate(objective.metrics):
            _metric(builder, f"{number}/metric_{m}", metric, output, target)
        for m, metric in enumerate(objective.weighted_metrics):
            _metric(builder, f"{number}/weighted_metric_{m}", metric, output, target, weights)
        if objective.weighted_metrics:
            assert weights is not None
            builder.add_sum(f"{number}/weights", weights, output.positions)
        source += objective.weighted
        if objective.has_epoch_metrics:
            builder.emit("scatter", x=builder.values[output], features=output.features, output=kept)
            kept += 1


def _target(builder: Builder, output: Value, objective: Objective, source: int) -> _Target:
    if not objective.has_target:
        return {}
    if objective.takes_labels:
        labels = builder.buffers.values(f"{output.name}/labels", objective.places, "i4")
        builder.emit("gather_values", y=labels, source=source, lines=objective.places)
        return {"labels": labels}
    y_true = builder.buffers.of_value(f"{output.name}/y_true", output)
    builder.emit("gather", y=y_true, features=output.features, source=source, scale=1.0)
    return {"y_true": y_true}


def _weights(builder: Builder, output: Value, lines: int, source: int) -> Buffer:
    """The weight of each row, for each of its lines."""
    weights = builder.buffers.values(f"{output.name}/weights", lines)
    builder.emit("gather_values", y=weights, source=source, lines=lines, same=True)
    return weights


def _loss(
    builder: Builder,
    number: int,
    output: Value,
    objective: Objective,
    target: _Target,
    weights: Buffer | None,
    logits: Value | None,
) -> None:
    assert objective.loss is not None
    kernel = loss_kernel(objective.loss, from_logits=True if logits else None)
    scored = logits or output
    probabilities = None
    if kernel.writes_probabilities:
        probabilities = builder.buffers.of_value(output.name, output)
        if logits:
            builder.values[output] = probabilities
    gradient = None
    if builder.training and scored in builder.needs_gradient:
        gradient = builder.buffers.of_value(f"d_{scored.name}", scored)
    is_sum = objective.loss.reduction == "sum"
    rows = _rows(builder, f"{number}/loss", output.positions, times_rows=is_sum)
    lines = 1 if is_sum else output.positions
    _emit_loss(
        builder, kernel, scored, rows, target, probabilities=probabilities, weights=weights,
        d_y_pred=gradient, scale=objective.loss_weight / lines, mean=not is_sum,
    )  # fmt: skip
    if gradient is not None:
        into, accumulate = builder.contribution(scored, gradient)
        if accumulate:
            builder.affine(gradient, into, scored.features, accumulate=True)


def _callable_loss(
    builder: Builder,
    number: int,
    output: Value,
    objective: Objective,
    loss: CallableLoss,
    target: _Target,
    weights: Buffer | None,
) -> None:
    scale = objective.loss_weight
    columns = objective.shape or (output.features,)
    rows = _rows(builder, f"{number}/loss")
    y_pred = Argument(builder.unpack_value(output), columns)
    if "labels" in target:
        y_true = Argument(target["labels"], columns[:-1], dtype=np.int32)
    else:
        y_true = Argument(builder.unpack(target["y_true"], output), columns)
    arguments = {"row_values": Argument(rows, (), writes=True), "y_true": y_true, "y_pred": y_pred}
    if weights is not None:
        arguments["weights"] = Argument(weights, ())
    gradient = None
    if builder.training and output in builder.needs_gradient:
        gradient = builder.buffers.rows(f"d_{output.name}/rows", output)
        arguments["d_y_pred"] = Argument(gradient, columns, writes=True)

    def compute(*arrays: NDArray[Any]) -> None:
        found = dict(zip(arguments, arrays, strict=True))
        value, slope = loss.compute(found["y_true"], found["y_pred"], found.get("weights"))
        found["row_values"][...] = value
        if "d_y_pred" in found:
            np.multiply(slope, scale, out=found["d_y_pred"], casting="same_kind")

    builder.call(compute, *arguments.values())
    if gradient is not None:
        into, accumulate = builder.contribution(output)
        builder.pack(gradient, into, output.features, accumulate, mean=True)


def _metric(
    builder: Builder,
    name: str,
    metric: Metric,
    output: Value,
    target: _Target,
    weights: Buffer | None = None,
) -> None:
    if isinstance(metric, EpochMetric):
        return
    rows = _rows(builder, name, output.positions)
    if isinstance(metric, LossMetric):
        kernel = loss_kernel(metric)
        probabilities = None
        if kernel.writes_probabilities:
            probabilities = builder.buffers.of_value(f"{metric.name}/p", output)
        _emit_loss(
            builder, kernel, output, rows, target, probabilities=probabilities, weights=weights,
            scale=1.0, mean=True,
        )  # fmt: skip
    else:
        kind, params = metric_kernel(metric)
        builder.emit(
            "metric", y_pred=builder.values[output], row_values=rows, weights=weights,
            features=output.features, kind=METRICS[kind], param_0=params[0], **target,
        )  # fmt: skip


def _emit_loss(
    builder: Builder,
    kernel: LossKernel,
    value: Value,
    rows: Buffer,
    target: _Target,
    **operands: Buffer | float | None,
) -> None:
    params = {f"param_{i}": p for i, p in enumerate(kernel.params)}
    builder.emit(
        "loss", y_pred=builder.values[value], row_values=rows, features=value.features,
        kind=LOSSES[kernel.kind], **operands, **target, **params,
    )  # fmt: skip


def _rows(builder: Builder, name: str, lines: int = 1, times_rows: bool = False) -> Buffer:
    buffer = builder.buffers.values(name, lines)
    builder.add_sum(name, buffer, lines, times_rows)
    return buffer
