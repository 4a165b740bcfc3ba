"""Losses and metrics in the kernels' terms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from numpy.typing import NDArray

from fastnn.losses import Loss
from fastnn.lowering.extents import with_extent
from fastnn.lowering.nodes import ActivatedNode, ActivationNode, SoftmaxNode
from fastnn.lowering.values import Extent, Trace, Value
from fastnn.metrics import EpochMetric, LossMetric, Metric

_SPARSE = {"sparse_categorical_crossentropy", "sparse_categorical_accuracy", "sparse_top_k"}
_EITHER = {"callable", "epoch"}
_OF_CLASSES = {
    "sparse_categorical_crossentropy", "categorical_crossentropy", "categorical_focal_crossentropy",
    "sparse_categorical_accuracy", "categorical_accuracy", "sparse_top_k", "top_k",
}  # fmt: skip
_CATEGORICAL = {"sparse_categorical_crossentropy", "categorical_crossentropy"}


@dataclass(frozen=True)
class Objective:
    """What one output of the model is held to.

    weighted: the loss of each row, and its weighted metrics, are multiplied by a weight that comes
    with the data.
    labels: whether the target that came are integers, where loss and metrics take both.
    shape: of the output, without the batch; its last axis are the classes, if it has such.
    """

    loss: Loss | None
    metrics: Sequence[Metric] = ()
    weighted_metrics: Sequence[Metric] = ()
    loss_weight: float = 1.0
    weighted: bool = False
    labels: bool | None = None
    shape: tuple[int, ...] = ()

    @property
    def places(self) -> int:
        """For how many places of an example the output has numbers, or classes: the pixels of a
        picture."""
        return prod(self.shape[:-1])

    def by_place(self, values: NDArray[Any]) -> NDArray[Any]:
        """Targets or predictions of rows, or their weights, for each place of each of them."""
        if self.places == 1:
            return values
        if values.ndim == 1:
            return values.repeat(self.places)
        return values.reshape(-1) if self.are_labels(values) else values.reshape(-1, self.shape[-1])

    @property
    def looks_at_places(self) -> bool:
        """Whether loss or metrics take each place by itself, and not all numbers alike."""
        items = [item for item in (self.loss, *self.all_metrics) if item is not None]
        adds_up = self.loss is not None and self.loss.reduction == "sum"
        return adds_up or any(item.kind in _OF_CLASSES for item in items)

    def are_labels(self, target: NDArray[Any]) -> bool:
        """Whether a target, checked, has one integer a place."""
        return target.ndim == 1 or (self.shape[-1] > 1 and target.shape[1] == self.places)

    @property
    def takes_weights(self) -> bool:
        return self.loss is not None or bool(self.weighted_metrics)

    @property
    def has_target(self) -> bool:
        return self.takes_weights or bool(self.metrics)

    @property
    def all_metrics(self) -> list[Metric]:
        return [*self.metrics, *self.weighted_metrics]

    @property
    def has_epoch_metrics(self) -> bool:
        """Whether all predictions of an epoch must be kept."""
        return any(isinstance(metric, EpochMetric) for metric in self.all_metrics)

    @property
    def takes_labels(self) -> bool | None:
        """Whether the target is one integer a place; else it has the output's shape. None where
        only the target can tell.

        Raises:
            ValueError: One of loss and metrics wants labels and another does not.
        """
        wanted: dict[bool, str] = {}
        for item in (self.loss, *self.all_metrics):
            if item is not None and item.kind not in _EITHER:
                wanted[item.kind in _SPARSE] = item.name
        if len(wanted) == 2:
            raise ValueError(
                f"{wanted[True]!r} takes integer labels, but {wanted[False]!r} takes targets of "
                "the output's shape: use loss and metrics of one sort"
            )
        return True in wanted if wanted else self.labels


@dataclass(frozen=True)
class LossKernel:
    """A row of csrc's table of losses with its params.

    writes_probabilities: it takes logits.
    """

    kind: str
    params: tuple[float, ...] = ()
    writes_probabilities: bool = False


def loss_kernel(loss: Loss | LossMetric, from_logits: bool | None = None) -> LossKernel:
    """The kernel for ``loss``; ``from_logits`` overrides what the loss says of its predictions."""
    params = loss.params
    if loss.kind in _CATEGORICAL:
        logits = bool(params[0]) if from_logits is None else from_logits
        smoothing = params[1] if len(params) > 1 else 0.0
        kind = "softmax_crossentropy" if logits else "crossentropy"
        return LossKernel(kind, (smoothing,), logits)
    if loss.kind == "binary_crossentropy":
        logits = bool(params[0]) if from_logits is None else from_logits
        kind = "sigmoid_crossentropy" if logits else "binary_crossentropy"
        return LossKernel(kind, (params[1],), logits)
    if loss.kind == "categorical_focal_crossentropy":
        return LossKernel("focal_crossentropy", params, bool(params[2]))
    return LossKernel(loss.kind, params)


def metric_kernel(metric: Metric) -> tuple[str, tuple[float, ...]]:
    """Kind and params in csrc's table of metrics."""
    if metric.kind == "binary_accuracy":
        return "binary_accuracy", metric.params
    return "categorical_accuracy", metric.params or (1.0,)


def arrange_outputs(trace: Trace, objectives: Sequence[Objective]) -> None:
    """A place that loss and metrics take by itself is a line of the output."""
    for number, objective in enumerate(objectives):
        output = trace.outputs[number]
        if not objective.looks_at_places or output.maker is None:
            continue
        extent = Extent(objective.places, output.positions * output.features // objective.places)
        trace.outputs[number] = with_extent(trace, output.maker, output, extent)
        output.is_output = output in trace.outputs
        trace.outputs[number].is_output = True


def take_logits(trace: Trace, output: Value, loss: Loss) -> Value | None:
    """The logits of ``output``, if the loss is better computed from them: then the loss also makes
    ``output``, and its maker is taken out of the trace.

    softmax + cross-entropy: d_logits = p - y, without a division by a small p. Likewise sigmoid +
    binary cross-entropy.
    """
    maker = output.maker
    used = bool(output.readers or output.penalty) or trace.outputs.count(output) > 1
    if used or maker is None or (loss.params and loss.params[0]):
        return None
    if loss.kind in _CATEGORICAL and isinstance(maker, SoftmaxNode):
        trace.remove(maker)
        output.maker = None
        return maker.inputs[0]
    if loss.kind == "binary_crossentropy":
        if isinstance(maker, ActivationNode) and maker.activation.kind == "sigmoid":
            trace.remove(maker)
            output.maker = None
            return maker.inputs[0]
        if isinstance(maker, ActivatedNode) and maker.activation.kind == "sigmoid":
            logits = Value(f"{output.name}/logits", output.features, output.positions, maker)
            maker.activation = type(maker.activation)("linear")
            maker.output = logits
            output.maker = None
            return logits
    return None
