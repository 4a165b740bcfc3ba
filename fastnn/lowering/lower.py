"""Lowering: a model, with its losses and optimizer, becomes a program.

The ops of a training program stand in this order:
- gather the batch, forward, losses and metrics;
- the chain of input gradients down to the first layer, which needs only the old weights;
- all weight gradients with their updates, none of which waits for another;
- sums of losses and metrics.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fastnn.activations import Activation
from fastnn.kernels.codes import ACTIVATIONS, CHUNK, LOSSES, METRICS, OPTIMIZERS, READS_INPUT
from fastnn.kernels.layout import BLOCK, aligned_zeros
from fastnn.lowering.arena import place
from fastnn.lowering.fuse import fuse
from fastnn.lowering.objective import Objective, loss_kernel, metric_kernel, take_logits
from fastnn.lowering.program import Buffer, Buffers, Op, Program, make_op
from fastnn.lowering.trace import (
    ActivationNode,
    AddNode,
    AffineNode,
    ConcatenateNode,
    DenseNode,
    InputNode,
    Node,
    SoftmaxNode,
    Trace,
    Value,
)
from fastnn.lowering.verify import verify
from fastnn.lowering.waits import place_waits
from fastnn.metrics import LossMetric, Metric
from fastnn.variables import Variable


@dataclass
class Updates:
    """The optimizer as lowering sees it: its kernel, and the slots of each variable."""

    kernel: str
    slots: Mapping[Variable, Sequence[NDArray[np.float32]]]


def lower(
    trace: Trace,
    capacity: int,
    objectives: Sequence[Objective] = (),
    updates: Updates | None = None,
    sparse: Mapping[int, int] | None = None,
    predict: bool = False,
) -> Program:
    """The program for batches of up to ``capacity`` rows.

    Args:
        trace: Of the model; it is changed (fused).
        objectives: One for each output, to compute losses and metrics.
        updates: To train; without it the weights stay as they are.
        sparse: Inputs that come as nonzeros: input number -> nonzeros of the longest row.
        predict: Write the outputs to the caller's arrays.

    The program reads its sources in this order: inputs; targets of the objectives that have one;
    weights of those that are weighted.
    """
    fuse(trace)
    logits = {
        output: take_logits(trace, output, objective.loss)
        for output, objective in zip(trace.outputs, objectives, strict=False)
        if objective.loss is not None
    }
    lowering = _Lowering(trace, capacity, updates, sparse or {})
    for node in trace.nodes:
        lowering.forward(node)
    lowering.objectives(objectives, logits)
    if predict:
        for number, output in enumerate(trace.outputs):
            lowering.emit(
                "scatter", x=lowering.values[output], features=output.features, output=number
            )
    if updates is not None:
        for node in reversed(trace.nodes):
            lowering.backward(node)
        lowering.weights()
    lowering.sum_rows()
    program = Program(lowering.ops, capacity, lowering.sums)
    place_waits(program)
    place(program)
    verify(program)
    return program


def can_take_nonzeros(trace: Trace, source: int) -> float | None:
    """The scale of input ``source`` if only Dense layers read it, with nothing added; else None."""
    for node in trace.nodes:
        if isinstance(node, InputNode) and node.source == source:
            only_dense = all(isinstance(reader, DenseNode) for reader in node.output.readers)
            if (
                only_dense
                and node.output.readers
                and node.offset == 0.0
                and not node.output.is_output
            ):
                return node.scale
    return None


@dataclass
class _Gradient:
    """d(loss) / d(value); once ``through`` the activation that made the value, / d(its input)."""

    buffer: Buffer
    through: bool = False


@dataclass
class _Lowering:
    trace: Trace
    capacity: int
    updates: Updates | None
    sparse: Mapping[int, int]
    ops: list[Op] = field(default_factory=list)
    sums: list[str] = field(default_factory=list)
    values: dict[Value, Buffer] = field(default_factory=dict)
    kept: dict[Value, Buffer] = field(default_factory=dict)
    """Inputs of activations whose derivative reads them."""
    nonzeros: dict[Value, tuple[int, list[Buffer]]] = field(default_factory=dict)
    """Sparse inputs: source, and the columns that the weight gradient reads."""
    gradients: dict[Value, _Gradient] = field(default_factory=dict)
    dz: dict[Node, Buffer] = field(default_factory=dict)
    row_values: list[tuple[Buffer, bool]] = field(default_factory=list)
    """What to sum over rows, and whether the sum is the batch's value that each row counts once."""

    def __post_init__(self) -> None:
        self.buffers = Buffers(self.capacity)
        self.of_variable: dict[Variable, Buffer] = {}
        self.needs_gradient: set[Value] = set()
        for node in self.trace.nodes:
            if any(v.trainable for v in node.variables()) or any(
                value in self.needs_gradient for value in node.inputs
            ):
                self.needs_gradient.add(node.output)

    def emit(self, name: str, **operands: Buffer | float | None) -> None:
        self.ops.append(make_op(name, **operands))

    def weight(self, variable: Variable | None) -> Buffer | None:
        if variable is None:
            return None
        if variable not in self.of_variable:
            self.of_variable[variable] = Buffers.of_array(variable.path, variable.storage)
        return self.of_variable[variable]

    # Forward

    def forward(self, node: Node) -> None:
        output = node.output
        if isinstance(node, InputNode):
            self.gather(node)
            return
        y = self.values[output] = self.buffers.activation(output.name, output.features)
        x = [self.values[value] for value in node.inputs if value in self.values]
        if isinstance(node, DenseNode):
            self.dense(node, y)
        elif isinstance(node, ActivationNode):
            self.emit(
                "activation_forward", z=x[0], y=y, features=output.features,
                kind=ACTIVATIONS[node.activation.kind], **_params(node.activation),
            )  # fmt: skip
        elif isinstance(node, SoftmaxNode):
            self.emit("softmax_forward", z=x[0], y=y, features=output.features)
        elif isinstance(node, AffineNode):
            self.affine(x[0], y, output.features, node.scale, node.offset)
        elif isinstance(node, AddNode):
            for number, term in enumerate(x):
                self.affine(term, y, output.features, accumulate=number > 0)
        elif isinstance(node, ConcatenateNode):
            to = 0
            for part, value in zip(x, node.inputs, strict=True):
                self.emit(
                    "copy_columns", x=part, y=y, count=value.features, to=to,
                    features_of_y=output.features,
                )  # fmt: skip
                to += value.features

    def gather(self, node: InputNode) -> None:
        output = node.output
        if node.source in self.sparse:
            columns: list[Buffer] = []
            if self.updates is not None:
                room = min(CHUNK, self.capacity) * self.sparse[node.source]
                chunks = -(-self.capacity // CHUNK)
                columns = [
                    Buffers.raw(f"{output.name}/column_start", 4 * chunks * (output.features + 1)),
                    Buffers.raw(f"{output.name}/row", 2 * chunks * room),
                    Buffers.raw(f"{output.name}/value", 4 * chunks * room),
                ]
                self.emit(
                    "sparse_columns", column_start=columns[0], row=columns[1], value=columns[2],
                    columns=output.features, source=node.source, capacity=room,
                )  # fmt: skip
            self.nonzeros[output] = (node.source, columns)
            return
        y = self.values[output] = self.buffers.activation(output.name, output.features)
        self.emit(
            "gather", y=y, features=output.features, source=node.source,
            scale=node.scale, offset=node.offset,
        )  # fmt: skip

    def dense(self, node: DenseNode, y: Buffer) -> None:
        x, output = node.inputs[0], node.output
        z = None
        if self.updates is not None and node.activation.kind in READS_INPUT:
            z = self.kept[output] = self.buffers.activation(f"{output.name}/z", output.features)
        operands = dict(
            kernel=self.weight(node.kernel), bias=self.weight(node.bias), y=y, z=z,
            **self.dense_settings(node), activation=ACTIVATIONS[node.activation.kind],
            **_params(node.activation),
        )  # fmt: skip
        if x in self.nonzeros:
            self.emit("dense_forward_sparse", source=self.nonzeros[x][0], **operands)
        else:
            self.emit("dense_forward", x=self.values[x], **operands)

    def dense_settings(self, node: DenseNode) -> dict[str, int]:
        units = node.output.features
        return {
            "inputs": node.inputs[0].features,
            "units": units,
            "kernel_block": node.kernel.storage.shape[1] * BLOCK,
            # One block of columns is too little to share: the team shares the rows, and goes on to
            # the loss without waiting.
            "by_rows": int(units <= BLOCK and self.capacity >= 2 * BLOCK),
        }

    def affine(
        self,
        x: Buffer,
        y: Buffer,
        features: int,
        scale: float = 1.0,
        offset: float = 0.0,
        accumulate: bool = False,
    ) -> None:
        self.emit(
            "affine", x=x, y=y, features=features, scale=scale, offset=offset, accumulate=accumulate
        )

    # Objective

    def objectives(
        self, objectives: Sequence[Objective], logits: Mapping[Value, Value | None]
    ) -> None:
        source = sum(isinstance(node, InputNode) for node in self.trace.nodes)
        targets: list[dict[str, Buffer]] = []
        for output, objective in zip(self.trace.outputs, objectives, strict=False):
            target: dict[str, Buffer] = {}
            if objective.has_target:
                if objective.takes_labels:
                    target["labels"] = self.buffers.values(f"{output.name}/labels")
                    self.emit("gather_values", y=target["labels"], source=source)
                else:
                    target["y_true"] = self.buffers.activation(
                        f"{output.name}/y_true", output.features
                    )
                    self.emit(
                        "gather",
                        y=target["y_true"],
                        features=output.features,
                        source=source,
                        scale=1.0,
                    )
                source += 1
            targets.append(target)
        for number, (output, objective) in enumerate(
            zip(self.trace.outputs, objectives, strict=False)
        ):
            weights = None
            if objective.weighted:
                weights = self.buffers.values(f"{output.name}/weights")
                self.emit("gather_values", y=weights, source=source)
                source += 1
            if objective.loss is not None:
                self.loss(number, output, objective, targets[number], weights, logits.get(output))
            for m, metric in enumerate(objective.metrics):
                self.metric(f"{number}/metric_{m}", metric, output, targets[number])
            for m, metric in enumerate(objective.weighted_metrics):
                self.metric(
                    f"{number}/weighted_metric_{m}", metric, output, targets[number], weights
                )
            if objective.weighted_metrics:
                assert weights is not None
                self.add_sum(f"{number}/weights", weights)

    def metric(
        self,
        name: str,
        metric: Metric,
        output: Value,
        target: dict[str, Buffer],
        weights: Buffer | None = None,
    ) -> None:
        rows = self.rows(name)
        if isinstance(metric, LossMetric):
            kernel = loss_kernel(metric)
            probabilities = None
            if kernel.writes_probabilities:
                probabilities = self.buffers.activation(f"{metric.name}/p", output.features)
            self.emit_loss(
                kernel, output, self.values[output], probabilities, rows, target, weights
            )
        else:
            kind, params = metric_kernel(metric)
            self.emit(
                "metric", y_pred=self.values[output], row_values=rows, weights=weights,
                features=output.features, kind=METRICS[kind], param_0=params[0], **target,
            )  # fmt: skip

    def rows(self, name: str, times_rows: bool = False) -> Buffer:
        buffer = self.buffers.values(name)
        self.add_sum(name, buffer, times_rows)
        return buffer

    def add_sum(self, name: str, rows: Buffer, times_rows: bool = False) -> None:
        """Have the rows' values summed when the step ends."""
        self.sums.append(name)
        self.row_values.append((rows, times_rows))

    def loss(
        self,
        number: int,
        output: Value,
        objective: Objective,
        target: dict[str, Buffer],
        weights: Buffer | None,
        logits: Value | None,
    ) -> None:
        assert objective.loss is not None
        kernel = loss_kernel(objective.loss, from_logits=True if logits else None)
        scored = logits or output
        probabilities = None
        if kernel.writes_probabilities:
            probabilities = self.buffers.activation(output.name, output.features)
            if logits:
                self.values[output] = probabilities
        gradient = None
        if self.updates is not None and scored in self.needs_gradient:
            gradient = self.buffers.activation(f"d_{scored.name}", scored.features)
        self.emit_loss(
            kernel, scored, self.values[scored], probabilities,
            self.rows(f"{number}/loss", times_rows=objective.loss.reduction == "sum"), target,
            weights, gradient, objective,
        )  # fmt: skip
        if gradient is not None:
            into, accumulate = self.contribution(scored, gradient)
            if accumulate:
                self.affine(gradient, into, scored.features, accumulate=True)

    def emit_loss(
        self,
        kernel: object,
        value: Value,
        y_pred: Buffer,
        probabilities: Buffer | None,
        rows: Buffer,
        target: dict[str, Buffer],
        weights: Buffer | None = None,
        gradient: Buffer | None = None,
        objective: Objective | None = None,
    ) -> None:
        params = {f"param_{i}": p for i, p in enumerate(kernel.params)}  # type: ignore[attr-defined]
        self.emit(
            "loss", y_pred=y_pred, probabilities=probabilities, row_values=rows, weights=weights,
            d_y_pred=gradient, features=value.features, kind=LOSSES[kernel.kind],  # type: ignore[attr-defined]
            scale=objective.loss_weight if objective else 1.0,
            mean=objective is None or objective.loss is None or objective.loss.reduction != "sum",
            **target, **params,
        )  # fmt: skip

    def sum_rows(self) -> None:
        for number, (buffer, times_rows) in enumerate(self.row_values):
            self.emit("sum_rows", values=buffer, sum=number, times_rows=times_rows)

    # Backward

    def contribution(self, value: Value, buffer: Buffer | None = None) -> tuple[Buffer, bool]:
        """Where a gradient of ``value`` goes, and whether it is added to what is there."""
        if value in self.gradients:
            return self.gradients[value].buffer, True
        buffer = buffer or self.buffers.activation(f"d_{value.name}", value.features)
        self.gradients[value] = _Gradient(buffer)
        return buffer, False

    def backward(self, node: Node) -> None:
        gradient = self.gradients.get(node.output)
        if gradient is None or node.output not in self.needs_gradient:
            return
        dy, features = gradient.buffer, node.output.features
        if isinstance(node, DenseNode):
            self.dense_backward(node, gradient)
            return
        to = 0
        for value in node.inputs:
            start, to = to, to + value.features
            if value not in self.needs_gradient:
                continue
            if isinstance(node, AddNode) and value.readers == [node] and not value.is_output:
                self.gradients[value] = _Gradient(dy)
                continue
            dx, accumulate = self.contribution(value)
            if isinstance(node, ActivationNode):
                self.emit(
                    "activation_backward", z=self.values[value], y=self.values[node.output], dy=dy,
                    dz=dx, features=features, kind=ACTIVATIONS[node.activation.kind],
                    accumulate=accumulate, **_params(node.activation),
                )  # fmt: skip
            elif isinstance(node, SoftmaxNode):
                self.emit(
                    "softmax_backward", y=self.values[node.output], dy=dy, dz=dx,
                    features=features, accumulate=accumulate,
                )  # fmt: skip
            elif isinstance(node, AffineNode):
                self.affine(dy, dx, features, scale=node.scale, accumulate=accumulate)
            elif isinstance(node, AddNode):
                self.affine(dy, dx, features, accumulate=accumulate)
            elif isinstance(node, ConcatenateNode):
                self.emit(
                    "copy_columns", x=dy, y=dx, count=value.features, start=start,
                    accumulate=accumulate, features_of_y=value.features,
                )  # fmt: skip

    def dense_backward(self, node: DenseNode, gradient: _Gradient) -> None:
        output, x = node.output, node.inputs[0]
        dz = gradient.buffer
        if node.activation.kind != "linear" and not gradient.through:
            dz = self.buffers.activation(f"d_{output.name}/z", output.features)
            self.emit(
                "activation_backward", z=self.kept.get(output), y=self.values[output],
                dy=gradient.buffer, dz=dz, features=output.features,
                kind=ACTIVATIONS[node.activation.kind], **_params(node.activation),
            )  # fmt: skip
        self.dz[node] = dz
        if x not in self.needs_gradient:
            return
        dz_t = self.buffers.transposed(f"d_{output.name}/transposed", output.features)
        self.emit("transpose", x=dz, y=dz_t, features=output.features)
        dx, accumulate = self.contribution(x)
        # Where this is the whole gradient of x, it passes the activation that made x at once.
        maker = x.maker
        through = Activation("linear")
        if (
            isinstance(maker, DenseNode)
            and x.readers == [node]
            and not x.is_output
            and not accumulate
        ):
            through = maker.activation
            self.gradients[x].through = True
        self.emit(
            "dense_backward_input", dz_t=dz_t, kernel=self.weight(node.kernel), dx=dx,
            x_z=self.kept.get(x), x=self.values[x] if through.kind != "linear" else None,
            **self.dense_settings(node), activation=ACTIVATIONS[through.kind],
            accumulate=accumulate, **_params(through),
        )  # fmt: skip

    # Updates

    def weights(self) -> None:
        """Weight gradients and updates: in one op, or, where several layers' gradients make one
        weight's, summed first."""
        dense = [node for node in self.dz if isinstance(node, DenseNode) and node.kernel.trainable]
        uses = Counter(node.kernel for node in dense)
        sums: dict[Variable, Buffer] = {}
        for node in dense:
            operands: dict[str, Buffer | float | None] = {}
            if uses[node.kernel] == 1:
                operands |= self.updated("kernel", node.kernel) | self.updated("bias", node.bias)
                operands["optimizer"] = OPTIMIZERS[self.updates.kernel]  # type: ignore[union-attr]
            else:
                operands["accumulate"] = node.kernel in sums
                operands["optimizer"] = -1
                for role, variable in (("kernel", node.kernel), ("bias", node.bias)):
                    if variable is not None:
                        if variable not in sums:
                            # not in the arena: the update reads the padding, which nobody writes
                            sums[variable] = Buffers.of_array(
                                f"d_{variable.path}", aligned_zeros(variable.storage.shape)
                            )
                        operands[role] = sums[variable]
            settings = self.dense_settings(node)
            del settings["by_rows"]
            x = node.inputs[0]
            if x in self.nonzeros:
                column_start, row, value = self.nonzeros[x][1]
                self.emit(
                    "dense_backward_weights_sparse", column_start=column_start, row=row,
                    value=value, dz=self.dz[node],
                    capacity=min(CHUNK, self.capacity) * self.sparse[self.nonzeros[x][0]],
                    **settings, **operands,
                )  # fmt: skip
            else:
                self.emit(
                    "dense_backward_weights",
                    x=self.values[x],
                    dz=self.dz[node],
                    **settings,
                    **operands,
                )
        for variable, gradient in sums.items():
            slots = self.updated("slot", variable)
            self.emit(
                "update", gradient=gradient, w=slots.pop("slot"), size=variable.storage.size,
                optimizer=OPTIMIZERS[self.updates.kernel],  # type: ignore[union-attr]
                **{name.replace("slot_slot", "slot"): buffer for name, buffer in slots.items()},
            )  # fmt: skip

    def updated(self, role: str, variable: Variable | None) -> dict[str, Buffer | float | None]:
        """A variable and its slots as operands."""
        if variable is None:
            return {}
        assert self.updates is not None
        operands: dict[str, Buffer | float | None] = {role: self.weight(variable)}
        for i, slot in enumerate(self.updates.slots[variable]):
            operands[f"{role}_slot_{i}"] = Buffers.of_array(f"{variable.path}/slot_{i}", slot)
        return operands


def _params(activation: Activation) -> dict[str, float]:
    return {f"param_{i}": value for i, value in enumerate(activation.params)}
