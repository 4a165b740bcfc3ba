"""What a program depends on, as a value: two calls with equal keys share their programs.

Settings are read from where lowering reads them: those of layers from a trace of the model, those
of the optimizer from its ``Updates``. So a setting that is changed after a program was made gives
another key, whichever it is.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np

from fastnn.constraints import Constraint
from fastnn.layers.base import Layer
from fastnn.losses import Loss
from fastnn.lowering.algorithms import Algorithms
from fastnn.lowering.gradients.settings import Updates
from fastnn.lowering.objective import Objective
from fastnn.lowering.values import Node, Trace
from fastnn.metrics import Metric
from fastnn.regularizers import Regularizer
from fastnn.variables import Variable


class ProgramKey(NamedTuple):
    """All that tells one program of a model from another.

    The number of threads isn't among it: every program runs on any number.

    Attributes:
        network: What stands for the ``network_settings``.
        capacity: Rows of the largest batch.
        sparse: Inputs that come as nonzeros: number, room for the nonzeros of a row.
        objectives: ``objective_settings`` of each output; none to predict.
        updates: ``update_settings``, to train.
        predict: Writes the outputs.
        store: Stores every gradient, as ``lower`` says.
        window: Of the statistics, as ``lower`` says; 0 for none.
        processes: Who shares each batch, as ``lower`` says.
    """

    network: Hashable
    capacity: int
    sparse: tuple[tuple[int, int], ...] = ()
    objectives: tuple[Hashable, ...] = ()
    updates: Hashable = None
    predict: bool = False
    store: bool = False
    window: int = 0
    processes: Hashable = None


def network_settings(trace: Trace) -> tuple[Hashable, ...]:
    """All that lowering reads of a model's layers and weights, from a trace that it has not
    changed yet."""
    places = {node.output: place for place, node in enumerate(trace.nodes)}
    nodes = [
        (
            type(node), tuple(places[value] for value in node.inputs), node.output.features,
            node.output.positions, node.output.penalty, *_settings(node),
        )
        for node in trace.nodes
    ]  # fmt: skip
    return (*nodes, tuple(places[value] for value in trace.outputs))


_EDGES = {field.name for field in fields(Node)}


def _settings(node: Node) -> list[Hashable]:
    own = [_hashable(getattr(node, name)) for name in _names_of_settings(type(node))]
    return [*own, *map(_variable_settings, node.variables())]


def _hashable(setting: Any) -> Hashable:
    if isinstance(setting, np.ndarray):
        return setting.shape, setting.tobytes()
    return tuple(setting) if isinstance(setting, list) else setting


_names: dict[type[Node], list[str]] = {}


def _names_of_settings(kind: type[Node]) -> list[str]:
    if kind not in _names:
        _names[kind] = [f.name for f in fields(kind) if f.init and f.name not in _EDGES]
    return _names[kind]


def _variable_settings(variable: Variable) -> Hashable:
    regularizer, constraint = variable.regularizer, variable.constraint
    return (
        variable.trainable,
        None if regularizer is None else (regularizer.l1, regularizer.l2),
        None if constraint is None else (constraint.kind, constraint.params, constraint.axis),
    )


def objective_settings(objective: Objective) -> Hashable:
    """All that lowering reads of what an output is held to."""
    loss = objective.loss
    return (
        None if loss is None else (*_scored(loss), loss.reduction),
        objective.loss_weight, objective.weighted, objective.labels,
        tuple(map(_scored, objective.metrics)), tuple(map(_scored, objective.weighted_metrics)),
    )  # fmt: skip


def _scored(item: Loss | Metric) -> tuple[Hashable, ...]:
    # Itself, too: a loss of the user's own is a function in the program.
    return item, item.params


def update_settings(updates: Updates) -> Hashable:
    """All that lowering reads of an optimizer."""
    muon, averages = updates.muon, updates.averages
    return (
        updates.apply, updates.halts, updates.clipping, averages.momentum, averages.overwrite_every,
        tuple(updates.kernels.items()),
        # By address: a program that is kept keeps its arrays, so that no others come to lie there.
        tuple([id(slot) for slots in updates.slots.values() for slot in slots]),
        tuple([id(average) for average in averages.of.values()]),
        None if muon is None
        else (muon.muon_a, muon.muon_b, muon.muon_c, muon.ns_steps, muon.nesterov, muon.rms_rate),
    )  # fmt: skip


class Watched:
    """Notices that something may have changed on which a model's programs depend: compares what
    layers, weights and their penalties have as attributes, which is quicker than another trace.

    Args:
        layers: Of the model; those inside of them are watched as well. And what was chosen for all
            models.
    """

    def __init__(self, layers: Iterable[Layer | Algorithms]) -> None:
        found: dict[int, dict[str, Any]] = {}
        waiting: list[Any] = list(layers)
        while waiting:
            attributes = vars(waiting.pop())
            if id(attributes) in found:
                continue
            found[id(attributes)] = attributes
            for value in attributes.values():
                waiting += _parts(value)
        self._now = list(found.values())
        self._seen = [attributes.copy() for attributes in self._now]

    def changed(self) -> bool:
        """Whether there may be something new."""
        try:
            return self._now != self._seen
        except Exception:
            # Two arrays of a user's own layer have no equality.
            return True


def _parts(value: Any) -> list[Any]:
    """Of a layer's attribute, what has settings of its own."""
    if isinstance(value, (Layer, Variable, Regularizer, Constraint)):
        return [value]
    if isinstance(value, (list, tuple)):
        return [part for item in value for part in _parts(item)]
    return []
