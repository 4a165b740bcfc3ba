"""Ops that take the statistics of a step.

The engine leaves them out but for every n-th step (``OpSpec.observing``). They stand where the team
has waited anyway: weights are copied before anything else; gradients that are stored are looked at
after the guard; the rest comes last.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf, log1p, sqrt
from typing import TYPE_CHECKING

from fastnn.activations import Activation
from fastnn.kernels.layout import n_blocks
from fastnn.kernels.statistics import ACTIVATION_SUMMARY_BYTES, SUMMARY_BYTES, TILE_SIZE
from fastnn.lowering.nodes import (
    ActivatedNode,
    ActivationNode,
    AffineNode,
    ArrangingNode,
    ConvolutionNode,
    DenseNode,
    DepthwiseNode,
    InputNode,
    NoiseNode,
    PictureNode,
    SoftmaxNode,
)
from fastnn.lowering.program import Buffer, Buffers
from fastnn.lowering.record import Record
from fastnn.lowering.values import Node, Value
from fastnn.variables import Variable

if TYPE_CHECKING:
    from fastnn.lowering.builder import Builder

_Operands = dict[str, Buffer | float]

_FLAT = 0.05
"""An activation saturates where its derivative is below this share of its largest value."""


class Observation:
    """What a program writes down, and the ops for it.

    Args:
        window: Steps for which a unit must be silent to count as dead.
    """

    def __init__(self, builder: Builder, window: int) -> None:
        self.record = Record()
        self._builder = builder
        self._window = window
        self._summaries: list[tuple[Buffer, int, int]] = []
        """Summaries of weights, how many, and the column that they go to."""
        self._kept: dict[Variable, Buffer] = {}

    def begin(self) -> None:
        """Copy the weights that will be updated."""
        for node in self._builder.trace.nodes:
            for variable in node.variables():
                self.record.add_layer(_layer_of(variable))
            if _is_observed(node):
                self.record.add_layer(_layer_of_value(node.output))
        assert self._builder.updates is not None
        if not self._builder.updates.apply:
            return
        trained = dict.fromkeys(
            v for node in self._builder.trace.nodes for v in node.variables() if v.trainable
        )
        for variable in _main_weights(trained):
            size = variable.storage.size
            self._kept[variable] = self._builder.buffers.raw(f"{variable.path}/kept", 4 * size)
            self._builder.emit(
                "keep_weights", w=self._builder.weight(variable), kept=self._kept[variable],
                size=size,
            )  # fmt: skip

    def gradient(self, variable: Variable, tiles: int) -> Buffer:
        """Where the summaries of a gradient go, tile by tile."""
        column = self.record.gradient(_layer_of(variable), variable.size)
        return self._room(f"d_{variable.path}/summaries", tiles, column)

    def stored_gradients(self) -> None:
        """Look at the gradients that are stored, which nobody has changed yet."""
        for variable, gradient in self._builder.weight_gradients.stored.items():
            size = variable.storage.size
            self._builder.emit(
                "summarize_weights", x=gradient, size=size,
                summaries=self.gradient(variable, -(-size // TILE_SIZE)),
            )  # fmt: skip

    def end(self) -> None:
        """Look at activations and at the steps; then add all figures up."""
        builder = self._builder
        records: list[tuple[str, _Operands]] = []
        for node in builder.trace.nodes:
            if not _is_observed(node) or node.output not in builder.values:
                continue
            features = node.output.features
            bounds = _bounds(_activation(node))
            low, high = bounds or (-inf, inf)
            summaries = builder.buffers.raw(
                f"{node.output.name}/summaries", n_blocks(features) * ACTIVATION_SUMMARY_BYTES, "V"
            )
            memory = Buffers.of_array(
                f"{node.output.name}/last_nonzero", self.record.memory(features)
            )
            builder.emit(
                "summarize_activations", y=builder.values[node.output], summaries=summaries,
                last_nonzero=memory, features=features, low=low, high=high,
            )  # fmt: skip
            column = self.record.activations(
                _layer_of_value(node.output), _kind(_activation(node)), bounds is not None,
                self._units(node.output),
            )  # fmt: skip
            operands: _Operands = {
                "summaries": summaries, "last_nonzero": memory, "features": features,
                "window": self._window, "column": column,
            }  # fmt: skip
            records.append(("record_activations", operands))
        for variable, kept in self._kept.items():
            self._step(variable, kept)
        for summaries, count, column in self._summaries:
            operands = {"summaries": summaries, "count": count, "column": column}
            records.append(("record_weights", operands))
        for number, (name, operands) in enumerate(records):
            builder.emit(name, number=number, **operands)

    def _units(self, value: Value) -> str:
        """What the columns of a layer's outputs are called."""
        layer = _layer_of_value(value)
        made = [node for node in self._builder.trace.nodes if _layer_of_value(node.output) == layer]
        if any(isinstance(node, (ConvolutionNode, DepthwiseNode)) for node in made):
            return "filters"
        dense = any(isinstance(node, DenseNode) for node in made)
        return "units" if dense or value.positions == 1 else "channels"

    def _step(self, variable: Variable, kept: Buffer) -> None:
        size = variable.storage.size
        names = ("before", "after", "step")
        summaries = {
            name: self._room(f"{variable.path}/{name}", -(-size // TILE_SIZE), column)
            for name, column in zip(names, self.record.step(_layer_of(variable)), strict=True)
        }
        self._builder.emit(
            "summarize_step", w=self._builder.weight(variable), kept=kept, size=size, **summaries
        )

    def _room(self, name: str, count: int, column: int) -> Buffer:
        buffer = self._builder.buffers.raw(name, count * SUMMARY_BYTES, "V")
        self._summaries.append((buffer, count, column))
        return buffer


def _layer_of(variable: Variable) -> str:
    return variable.path.rpartition("/")[0]


def _layer_of_value(value: Value) -> str:
    return value.name.removesuffix("/logits")


def _main_weights(variables: Iterable[Variable]) -> list[Variable]:
    """The kernels of each layer; all its weights, where it has none. The size of a
    step is judged by these: biases begin at 0."""
    variables = list(variables)
    with_kernels = {_layer_of(v) for v in variables if len(v.shape) > 1}
    return [v for v in variables if len(v.shape) > 1 or _layer_of(v) not in with_kernels]


def _is_observed(node: Node) -> bool:
    return not isinstance(node, (InputNode, AffineNode, NoiseNode, PictureNode, ArrangingNode))


def _activation(node: Node) -> Activation:
    if isinstance(node, (ActivatedNode, ActivationNode)):
        return node.activation
    return Activation("softmax" if isinstance(node, SoftmaxNode) else "linear")


def _kind(activation: Activation) -> str:
    """As the user said it: Dropout may have been fused into relu."""
    return "relu" if activation.kind == "scaled_relu" else activation.kind


def _bounds(activation: Activation) -> tuple[float, float] | None:
    """Outputs up to the first, or from the second on, are where the activation is flat."""
    if activation.kind == "sigmoid":  # f' = y (1 - y), at most 1/4
        distance = sqrt(1 - _FLAT) / 2
        return 0.5 - distance, 0.5 + distance
    if activation.kind == "tanh":  # f' = 1 - y^2
        return -sqrt(1 - _FLAT), sqrt(1 - _FLAT)
    if activation.kind == "softsign":  # f' = (1 - |y|)^2
        return sqrt(_FLAT) - 1, 1 - sqrt(_FLAT)
    if activation.kind == "softplus":  # f' = 1 - exp(-y)
        return -log1p(-_FLAT), inf
    if activation.kind == "hard_sigmoid":
        return 0.0, 1.0
    if activation.kind == "elu":  # f' = y + alpha for y < 0, else 1
        alpha = activation.params[0]
        return min(0.0, _FLAT * max(1.0, alpha) - alpha), inf
    if activation.kind == "selu":  # f' = y + 1.758 for y < 0, at most 1.758
        return (_FLAT - 1) * 1.05070098 * 1.67326324, inf
    return None
