"""Weights of a model of Keras, which needn't be imported for it; or of fastnn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from fastnn.importing.source import Module, Source, Tensor, grouped


def from_model(model: Any) -> Source:
    """The weights of a live model, by the paths of its variables."""
    # get_weights gives arrays, whatever Keras runs on.
    pairs = zip(model.weights, model.get_weights(), strict=True)
    tensors = [
        Tensor(_path(variable), tuple(values.shape), lambda values=values: values)  # type: ignore[misc]
        for variable, values in pairs
    ]
    epsilons = {
        layer.name: float(layer.epsilon)
        for layer in _all_layers(model)
        if isinstance(getattr(layer, "epsilon", None), float)
    }
    modules = [_with_epsilon(module, epsilons) for module in grouped(tensors)]
    return Source(f"the model {model.name!r}", modules)


def _path(variable: Any) -> str:
    """Of a variable of Keras 3, or of Keras 2, which has its path for a name."""
    found = getattr(variable, "path", None) or variable.name.partition(":")[0]
    return str(found)


def _with_epsilon(module: Module, epsilons: dict[str, float]) -> Module:
    return replace(module, epsilon=epsilons.get(module.name.rpartition("/")[2]))


def _all_layers(model: Any) -> Iterator[Any]:
    for layer in model.layers:
        yield layer
        if hasattr(layer, "layers"):
            yield from _all_layers(layer)
