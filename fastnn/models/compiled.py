"""What ``compile`` settled: optimizer, and loss and metrics of each output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastnn import losses, metrics, optimizers
from fastnn._registry import serialize
from fastnn.graph import SymbolicTensor
from fastnn.losses import Loss
from fastnn.lowering.objective import Objective
from fastnn.metrics import Metric
from fastnn.optimizers import Optimizer


class Compiled:
    """Arguments of ``compile``, checked; ``objectives`` binds them to a built model's outputs.

    Raises:
        TypeError, ValueError: A name is unknown, or an argument of the wrong sort.
    """

    def __init__(self, optimizer: Any, loss: Any, loss_weights: Any, metrics_: Any) -> None:
        self.optimizer: Optimizer = optimizers.get(optimizer)
        self.loss = _map(_loss, loss)
        self.loss_weights = loss_weights
        self.metrics = _checked_metrics(metrics_)

    def config(self) -> dict[str, Any]:
        """JSON values from which ``from_config`` makes the same."""
        return {
            "optimizer": serialize(self.optimizer),
            "loss": _map(_config, self.loss),
            "loss_weights": self.loss_weights,
            "metrics": _map(_config, self.metrics),
        }

    def objectives(self, outputs: Sequence[SymbolicTensor]) -> list[Objective]:
        """An objective for each output.

        Raises:
            ValueError: There are not as many losses, weights or lists of metrics as outputs.
        """
        names = output_names(outputs)
        by_output = _per_output(self.loss, names, "loss", None)
        weights = _per_output(self.loss_weights, names, "loss_weights", 1.0)
        lists = _per_output(
            [self.metrics] if len(names) == 1 and isinstance(self.metrics, list) else self.metrics,
            names, "metrics", [],
        )  # fmt: skip
        found = []
        for output, loss, weight, wanted in zip(outputs, by_output, weights, lists, strict=True):
            items = wanted if isinstance(wanted, list) else [wanted]
            resolved = [metrics.get(item, loss, output.shape) for item in items if item is not None]
            objective = Objective(loss, resolved, 1.0 if weight is None else float(weight))
            _check_shape(objective, output)
            found.append(objective)
        return found


def output_names(outputs: Sequence[SymbolicTensor]) -> list[str]:
    """The names that Keras gives to outputs: of the layers that made them."""
    return [output.node.layer.name for output in outputs]


def _check_shape(objective: Objective, output: SymbolicTensor) -> None:
    objective.takes_labels  # noqa: B018  raises where loss and metrics disagree
    width = output.shape[-1]
    for item in (objective.loss, *objective.metrics):
        if item is None:
            continue
        if item.kind == "sparse_categorical_crossentropy" and width == 1:
            raise ValueError(
                f"loss {item.name!r} wants an output with one number for each class, but layer "
                f"{output.node.layer.name!r} has only one; use binary_crossentropy"
            )


def _loss(identifier: Any) -> Loss | None:
    return None if identifier is None else losses.get(identifier)


def _map(function: Any, value: Any) -> Any:
    """``function`` of each leaf of a list or dict, or of the value itself."""
    if isinstance(value, (list, tuple)):
        return [_map(function, item) for item in value]
    if isinstance(value, dict):
        return {key: _map(function, item) for key, item in value.items()}
    return function(value)


def _checked_metrics(value: Any) -> Any:
    """A list (of lists) or dict, with names checked but for those that depend on the output."""
    if value is None:
        return []

    def check(item: Any) -> Any:
        if item is None or (isinstance(item, str) and item.lower() in ("accuracy", "acc")):
            return item
        metrics.get(item)
        return item

    if not isinstance(value, (list, tuple, dict)):
        raise TypeError(f"metrics must be a list of metrics, got {value!r}")
    return _map(check, value)


def _config(item: Any) -> Any:
    return serialize(item) if isinstance(item, (Loss, Metric)) else item


def _per_output(value: Any, names: list[str], argument: str, default: Any) -> list[Any]:
    if value is None:
        return [default] * len(names)
    if isinstance(value, Mapping):
        unknown = sorted(set(value) - set(names))
        if unknown:
            raise ValueError(f"{argument} names {unknown}, but the model's outputs are {names}")
        return [value.get(name, default) for name in names]
    if isinstance(value, (list, tuple)):
        if not value:
            return [default] * len(names)
        if len(value) != len(names):
            raise ValueError(
                f"{argument} must have one entry for each of the model's {len(names)} outputs "
                f"{names}, got {len(value)}"
            )
        return list(value)
    if len(names) > 1 and argument == "loss":
        return [value] * len(names)
    if len(names) == 1:
        return [value]
    raise ValueError(f"{argument} must be a list or dict, since the model has {len(names)} outputs")

