"""Another loss for one output, with metrics that take the same labels."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from fastnn import metrics
from fastnn.health.blueprint import Blueprint
from fastnn.losses import Loss

CATEGORICAL = {
    "sparse_categorical_crossentropy", "categorical_crossentropy", "categorical_focal_crossentropy",
}  # fmt: skip

STRAY = 0.05
"""A larger share of targets than this tells that it is no noise: out of the output's range, or
with several classes at once."""

Edit = Callable[[Blueprint], Blueprint]


@dataclass(frozen=True)
class Fault:
    """One thing that does not fit, and one edit that mends it, if any does."""

    cause: str
    change: str = ""
    edit: Edit | None = None


def with_logits(loss: Loss, from_logits: bool) -> Loss:
    """The same loss of logits, or of probabilities."""
    other = copy.copy(loss)
    other.from_logits = from_logits  # type: ignore[attr-defined]
    return other


def with_loss(output: int, loss: Loss) -> Edit:
    """``loss`` for one output. Metrics of which there is no kind that takes its labels go."""

    def edit(blueprint: Blueprint) -> Blueprint:
        names = blueprint.output_names
        return replace(
            blueprint,
            loss=_replaced(blueprint.loss, names, output, lambda _: loss),
            metrics=_replaced(blueprint.metrics, names, output, lambda m: _suiting(m, loss)),
            weighted_metrics=_replaced(
                blueprint.weighted_metrics, names, output, lambda m: _suiting(m, loss)
            ),
        )

    return edit


def _replaced(value: Any, names: list[str], output: int, change: Callable[[Any], Any]) -> Any:
    """``value``, an argument of ``compile``, with what it says of one output changed."""
    if isinstance(value, dict):
        name = names[output]
        return {**value, name: change(value[name])} if name in value else value
    if len(names) == 1:
        return change(value)
    entries = value if isinstance(value, list) else [value] * len(names)
    return [change(item) if number == output else item for number, item in enumerate(entries)]


_SPARSE: dict[type, type[metrics.Metric]] = {
    metrics.CategoricalAccuracy: metrics.SparseCategoricalAccuracy,
    metrics.CategoricalCrossentropy: metrics.SparseCategoricalCrossentropy,
}
_DENSE: dict[type, type[metrics.Metric]] = {
    metrics.SparseCategoricalAccuracy: metrics.CategoricalAccuracy,
    metrics.SparseCategoricalCrossentropy: metrics.CategoricalCrossentropy,
}


def _suiting(given: Any, loss: Loss) -> Any:
    if not isinstance(given, list):
        given = [given]
    return [new for item in given for new in _suited(item, loss)]


def _suited(item: Any, loss: Loss) -> Iterator[Any]:
    sparse = loss.kind == "sparse_categorical_crossentropy"
    if isinstance(item, list):
        yield _suiting(item, loss)
    elif item is None or isinstance(item, (str, metrics.EpochMetric)):
        yield item
    elif isinstance(item, metrics.TopKCategoricalAccuracy):
        kind = metrics.SparseTopKCategoricalAccuracy if sparse else metrics.TopKCategoricalAccuracy
        yield item if type(item) is kind else kind(item.k, item.name)
    elif type(item) in (_SPARSE if sparse else _DENSE):
        yield (_SPARSE if sparse else _DENSE)[type(item)](name=item.name)
    elif ("sparse" in item.kind) == sparse:
        yield item
