"""What ``compile`` settled: optimizer, and loss and metrics of each output."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastnn import losses, metrics, optimizers
from fastnn._checks import check_real
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

    def __init__(
        self,
        optimizer: Any,
        loss: Any,
        loss_weights: Any,
        metrics_: Any,
        weighted_metrics: Any,
    ) -> None:
        self.optimizer: Optimizer = optimizers.get(optimizer)
        self.loss = _map(_loss, loss, 1)
        self.loss_weights = _map(_weight, loss_weights, 1)
        self.metrics = _checked_metrics("metrics", metrics_)
        self.weighted_metrics = _checked_metrics("weighted_metrics", weighted_metrics)

    def config(self) -> dict[str, Any]:
        """The arguments of ``compile``, as JSON values."""
        return {
            "optimizer": serialize(self.optimizer),
            "loss": _map(_config, self.loss),
            "loss_weights": self.loss_weights,
            "metrics": _map(_config, self.metrics),
            "weighted_metrics": _map(_config, self.weighted_metrics),
        }

    def objectives(
        self, outputs: Sequence[SymbolicTensor], names: Sequence[str]
    ) -> list[Objective]:
        """An objective for each output.

        Raises:
            ValueError: There are not as many losses, weights or lists of metrics as outputs, or one
                of them does not fit its output.
        """
        columns = zip(
            outputs,
            _per_output(self.loss, names, "loss", None),
            _per_output(self.loss_weights, names, "loss_weights", 1.0),
            _metrics_per_output(self.metrics, names, "metrics"),
            _metrics_per_output(self.weighted_metrics, names, "weighted_metrics"),
            strict=True,
        )
        found = []
        for output, loss, weight, plain, weighted in columns:
            objective = Objective(
                loss,
                [metrics.get(item, loss, output.shape) for item in plain],
                [metrics.get(item, loss, output.shape) for item in weighted],
                1.0 if weight is None else weight,
                shape=output.extents,
            )
            _check_fit(objective, output)
            found.append(objective)
        return found


def _check_fit(objective: Objective, output: SymbolicTensor) -> None:
    """Raise ValueError if loss and metrics fit neither each other nor the output."""
    objective.takes_labels  # noqa: B018  raises where loss and metrics disagree
    width = output.shape[-1]
    layer = output.node.layer.name
    if width is None:
        return
    for item in (objective.loss, *objective.all_metrics):
        if item is None:
            continue
        if item.kind == "sparse_categorical_crossentropy" and width == 1:
            raise ValueError(
                f"loss {item.name!r} wants an output with one number for each class, but layer "
                f"{layer!r} has only one; use binary_crossentropy"
            )
        if isinstance(item, metrics.TopKCategoricalAccuracy) and item.k > width:
            raise ValueError(
                f"metric {item.name!r} has k={item.k}, but layer {layer!r} has an output of only "
                f"{width} classes"
            )


def _loss(identifier: Any) -> Loss | None:
    return None if identifier is None else losses.get(identifier)


def _weight(value: Any) -> float | None:
    return None if value is None else check_real("compile", "loss_weights", value)


def _metric(identifier: Any) -> Metric | str:
    # Which metric "accuracy" is depends on the output.
    if isinstance(identifier, str) and identifier.lower() in ("accuracy", "acc"):
        return identifier
    return metrics.get(identifier)


def _config(item: Any) -> Any:
    return serialize(item) if isinstance(item, (Loss, Metric)) else item


def _map(function: Callable[[Any], Any], value: Any, depth: int = 2) -> Any:
    """``function`` of each leaf of a list or dict, or of the value itself. An object's
    configuration is a leaf, and so is what lies deeper than ``depth``."""
    if depth and isinstance(value, (list, tuple)):
        return [_map(function, item, depth - 1) for item in value]
    if depth and isinstance(value, Mapping) and value.keys() != {"class_name", "config"}:
        return {key: _map(function, item, depth - 1) for key, item in value.items()}
    return function(value)


def _checked_metrics(argument: str, value: Any) -> Any:
    if value is None:
        return []
    if not isinstance(value, (list, tuple, Mapping)):
        raise TypeError(f"{argument} must be a list or dict of metrics, got {value!r}")
    return _map(lambda item: None if item is None else _metric(item), value)


def _metrics_per_output(value: Any, names: Sequence[str], argument: str) -> list[list[Any]]:
    if len(names) == 1 and isinstance(value, list):
        flat = [entry for item in value for entry in (item if isinstance(item, list) else [item])]
        value = [flat]
    entries = _per_output(value, names, argument, [])
    lists = [entry if isinstance(entry, list) else [entry] for entry in entries]
    return [[item for item in entry if item is not None] for entry in lists]


def _per_output(value: Any, names: Sequence[str], argument: str, default: Any) -> list[Any]:
    if value is None:
        return [default] * len(names)
    if isinstance(value, Mapping):
        unknown = sorted(map(str, set(value) - set(names)))
        if unknown:
            raise ValueError(f"{argument} names {unknown}, but the model's outputs are {names}")
        return [value.get(name, default) for name in names]
    if isinstance(value, list):
        if value and len(value) != len(names):
            raise ValueError(
                f"{argument} must have one entry for each of the model's {len(names)} outputs "
                f"{names}, got {len(value)}"
            )
        return value or [default] * len(names)
    if len(names) == 1 or argument == "loss":
        return [value] * len(names)
    raise ValueError(f"{argument} must be a list or dict, since the model has {len(names)} outputs")
