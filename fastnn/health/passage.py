"""The forward pass of one step of training, laid open: what each layer makes of a batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastnn.data.dataset import Dataset
from fastnn.engine.executable import Executable
from fastnn.engine.sources import Rows
from fastnn.health.stepwise import run_stepwise
from fastnn.layers import Activation, Input
from fastnn.lowering.lower import lower
from fastnn.lowering.nodes import (
    ActivationNode,
    BatchNormalizationNode,
    InputNode,
    SoftmaxNode,
)
from fastnn.lowering.values import Node, Trace, Value
from fastnn.models.executables import threads_for
from fastnn.models.frontier import trace_of
from fastnn.models.gradients import Count, only_gradients

if TYPE_CHECKING:
    from fastnn.models import Model
    from fastnn.variables import Variable

_AT_A_TIME = 16
"""A program writes so many outputs at most."""


@dataclass(frozen=True)
class Made:
    """One tensor of the pass.

    Attributes:
        place: Its number; what it is computed from has smaller ones.
        layer: The name of the layer that makes it.
        tensor: "input"; "activation", a layer's output; or "pre-activation".
        inputs: Places of what it is computed from.
        variables: Weights that it is computed from.
    """

    place: int
    layer: str
    tensor: str
    inputs: tuple[int, ...]
    variables: tuple[Variable, ...]


class Passage:
    """The pass of a batch, as ``model`` would train on it.

    Args:
        data: The batch.
        inputs: Its inputs as matrices.

    Attributes:
        made: All tensors in the order of computation.
        heads: For each output of the model, the place of what its loss is computed from, and the
            activation function in between: softmax and sigmoid are part of the loss.
    """

    def __init__(self, model: Model, data: Dataset, inputs: list[NDArray[Any]]) -> None:
        self._model, self._data, self._inputs = model, data, inputs
        traced = self._trace()
        places = {node.output: place for place, node in enumerate(traced.nodes)}
        self.made = [
            Made(
                place, node.name, _tensor(node), tuple(places[x] for x in node.inputs),
                tuple(_weights(node)),
            )
            for place, node in enumerate(traced.nodes)
        ]  # fmt: skip
        self.heads = [_head(value, places) for value in traced.outputs]
        heads = [traced.nodes[place].output for place, _ in self.heads]
        self._extents_of_heads = [
            (v.features,) if v.positions == 1 else (v.positions, v.features) for v in heads
        ]

    def values(self) -> Iterator[tuple[Made, NDArray[Any]]]:
        """Every tensor with its values, (rows, features); one that is only scaled as the data set
        is read has them scaled."""
        inputs = [made for made in self.made if made.tensor == "input"]
        yield from zip(inputs, self._inputs, strict=True)
        computed = self.made[len(inputs) :]
        for start in range(0, len(computed), _AT_A_TIME):
            some = computed[start : start + _AT_A_TIME]
            yield from zip(some, self._run([made.place for made in some]), strict=True)

    def losses(self, values: Mapping[int, NDArray[Any]]) -> NDArray[np.float64]:
        """The loss of each row, without penalties.

        Args:
            values: Of the tensors in ``heads``, by place.
        """
        # Here, because importing it with this module would be a circle. Named, so that automatic
        # names don't depend on what was looked at before.
        from fastnn.models import Model

        matrices = [values[place] for place, _ in self.heads]
        inputs = [
            Input(extents, name=f"head {i}") for i, extents in enumerate(self._extents_of_heads)
        ]
        outputs = [
            Activation(kind, name=f"loss {i}")(inputs[i]) for i, (_, kind) in enumerate(self.heads)
        ]
        head = Model(inputs, outputs, name="head")
        head._bound = self._model._objectives()
        rows = np.arange(len(self._data))
        scored = Dataset([*matrices], self._data.targets, self._data.weights)
        losses: list[float] = []
        run_stepwise(head, scored, rows, 1, losses)
        return np.array(losses)

    def _trace(self) -> Trace:
        return trace_of(self._model)

    def _run(self, places: list[int]) -> list[NDArray[np.float32]]:
        model, rows = self._model, len(self._data)
        traced = self._trace()
        traced.outputs = [traced.nodes[place].output for place in places]
        for value in traced.outputs:
            value.is_output = True
        written = [
            np.empty((rows, value.positions * value.features), np.float32)
            for value in traced.outputs
        ]
        program = lower(traced, rows, updates=only_gradients(model), predict=True)
        Executable(program).run(
            [Rows(x) for x in self._inputs], np.arange(rows), 0, rows, rows, None,
            np.zeros(0), written, threads_for(rows * model._executables.signature.multiply_adds),
            np.inf, Count(model.optimizer.iterations),
        )  # fmt: skip
        return written


def _tensor(node: Node) -> str:
    if isinstance(node, InputNode):
        return "input"
    activated = any(
        isinstance(reader, (ActivationNode, SoftmaxNode)) and reader.name == node.name
        for reader in node.output.readers
    )
    return "pre-activation" if activated else "activation"


def _weights(node: Node) -> list[Variable]:
    read = node.variables()
    if isinstance(node, BatchNormalizationNode) and node.frozen:
        return [*read, node.moving_mean, node.moving_variance]
    return read


def _head(value: Value, places: Mapping[Value, int]) -> tuple[int, str]:
    maker = value.maker
    if isinstance(maker, SoftmaxNode):
        return places[maker.inputs[0]], "softmax"
    if isinstance(maker, ActivationNode) and maker.activation.kind == "sigmoid":
        return places[maker.inputs[0]], "sigmoid"
    return places[value], "linear"
