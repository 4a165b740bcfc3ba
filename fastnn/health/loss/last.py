"""A last activation that the loss does not go with."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn import activations, losses
from fastnn.activations import Activation as Function
from fastnn.health.blueprint import Blueprint
from fastnn.health.loss.edits import CATEGORICAL, STRAY, Edit, Fault, with_logits, with_loss
from fastnn.health.loss.labels import several_at_once
from fastnn.health.prototypes import changed
from fastnn.layers import Activation, Dense, Residual
from fastnn.layers.activation import ActivationLayer
from fastnn.layers.base import Layer
from fastnn.layers.noise import Noise
from fastnn.layers.normalization import NormalizationLayer
from fastnn.losses import Loss

_BOUNDED = {
    "sigmoid": (0.0, 1.0), "hard_sigmoid": (0.0, 1.0), "softmax": (0.0, 1.0), "tanh": (-1.0, 1.0),
    "softsign": (-1.0, 1.0),
}  # fmt: skip
_POSITIVE = {"relu", "scaled_relu", "softplus"}
_REGRESSION = {"mean_squared_error", "mean_absolute_error", "huber"}


@dataclass(frozen=True)
class _Ending:
    """The activation that makes an output, and the layer in which it may be replaced, if any."""

    activation: Function
    host: Dense | ActivationLayer | None
    before: int | None
    """The tensor that a layer which is nothing but an activation reads."""


def wrong_activation(
    blueprint: Blueprint, output: int, loss: Loss, width: int, target: NDArray[Any] | None
) -> Fault | None:
    """What is wrong with the last activation, for this loss and target."""
    ending = _ending(blueprint, blueprint.outputs[output])
    if ending is None:
        return None
    kind = ending.activation.kind
    if loss.kind in CATEGORICAL or loss.kind == "binary_crossentropy":
        return _wrong_probability(blueprint, output, loss, width, ending, target)
    if width == 1 and kind == "softmax":
        return _refitted("softmax of a single number is always 1", ending, "linear")
    low, high = _range(ending.activation)
    if loss.kind == "poisson" and low < 0:
        return _refitted(
            f"{loss.name} wants rates, which {kind} lets be negative", ending, "softplus"
        )
    if target is not None and (loss.kind in _REGRESSION or loss.kind == "poisson"):
        # A label smoothed or standardized may just touch the bound.
        spare = 0.01 * (1 if inf in (high, -low) else high - low)
        stray = np.mean((target < low - spare) | (target > high + spare))
        if stray > STRAY:
            wanted = "softplus" if loss.kind == "poisson" else "linear"
            cause = (
                f"{stray:.0%} of the targets are out of the range of {kind}, "
                f"{low:.3g} to {high:.3g}"
            )
            return _refitted(cause, ending, wanted)
    return None


def linear_ending(blueprint: Blueprint, output: int) -> Edit | None:
    """What makes the last activation linear, which is nothing where it is; None where it can't be
    made so, or nobody can tell."""
    ending = _ending(blueprint, blueprint.outputs[output])
    if ending is None:
        return None
    if ending.activation.kind == "linear":
        return lambda blueprint: blueprint
    return _refitted("", ending, "linear").edit


def _wrong_probability(
    blueprint: Blueprint,
    output: int,
    loss: Loss,
    width: int,
    ending: _Ending,
    target: NDArray[Any] | None,
) -> Fault | None:
    kind = ending.activation.kind
    wanted = "softmax" if loss.kind in CATEGORICAL else "sigmoid"
    if wanted == "softmax" and width == 1:
        return Fault(
            f"{loss.name} of a single output is always 0",
            "binary_crossentropy instead",
            with_loss(output, losses.BinaryCrossentropy(reduction=loss.reduction)),
        )
    if getattr(loss, "from_logits", False):
        if kind == wanted:
            return Fault(
                f"{wanted} is applied twice: by the last layer, and by {loss.name} with "
                "from_logits=True",
                "from_logits=False",
                with_loss(output, with_logits(loss, False)),
            )
        if _cuts_off(ending.activation):
            cause = f"{loss.name} with from_logits=True wants any number, but {kind} cuts them off"
            return _refitted(cause, ending, "linear")
        return None
    binary = wanted == "sigmoid"
    # Softmax is one way to tell classes apart one by one, as long as only one is right.
    alone = target is None or not several_at_once(target)
    fine = {"sigmoid", "hard_sigmoid", *(["softmax"] if width > 1 and alone else [])}
    if kind not in (fine if binary else {"softmax"}):
        missing = "" if kind == "linear" else f", but the last activation is {kind}"
        cause = f"{loss.name} wants probabilities: {wanted} is missing{missing}"
        if kind == "linear" and ending.host is None:
            edit = with_loss(output, with_logits(loss, True))
            return Fault(cause, "from_logits=True, so that the loss applies it", edit)
        return _refitted(cause, ending, wanted)
    return _twice(blueprint, ending)


def _twice(blueprint: Blueprint, ending: _Ending) -> Fault | None:
    """Whether a layer that is softmax or sigmoid alone reads what is not free to be any number."""
    if ending.before is None:
        return None
    first = _ending(blueprint, ending.before)
    if first is None or not _cuts_off(first.activation):
        return None
    kind, inner = ending.activation.kind, first.activation.kind
    cause = (
        f"{kind} is applied twice" if kind == inner else f"{inner} cuts off what goes into {kind}"
    )
    return _refitted(cause, first, "linear")


def _refitted(cause: str, ending: _Ending, wanted: str) -> Fault:
    host = ending.host
    if host is None:
        return Fault(cause)
    name = host.name

    def edit(blueprint: Blueprint) -> Blueprint:
        found = {layer: _with_activation(layer, wanted) for layer in blueprint.layers
                 if layer.name == name}  # fmt: skip
        return blueprint.replaced(found)

    return Fault(cause, f"{wanted} as the activation of {name!r}", edit)


def _with_activation(layer: Layer, wanted: str) -> Layer:
    if isinstance(layer, Dense):
        return changed(layer, activation=activations.get(wanted))
    return Activation(wanted, name=layer.name, trainable=layer.trainable)


def _cuts_off(activation: Function) -> bool:
    kinds = {*_BOUNDED, "relu", "scaled_relu"}
    return activation.kind in kinds or (
        activation.kind == "relu_general"
        and (activation.params[0] == 0 or activation.params[1] < inf)
    )


def _range(activation: Function) -> tuple[float, float]:
    kind, params = activation.kind, activation.params
    if kind in _BOUNDED:
        return _BOUNDED[kind]
    if kind in _POSITIVE:
        return 0.0, inf
    if kind == "relu_general":
        return (min(0.0, params[2]) if params[0] == 0 else -inf), params[1]
    lowest = {
        "selu": -1.7581,
        "elu": -params[0],
        "gelu": -0.17,
        "gelu_tanh": -0.17,
        "silu": -0.2785,
    }
    return lowest.get(kind, -inf), inf


def _ending(blueprint: Blueprint, number: int) -> _Ending | None:
    """The activation that makes a tensor; None where that is not known."""
    calls, first = blueprint.calls, len(blueprint.inputs)
    reads = [number for call in calls for number in call.inputs] + list(blueprint.outputs)
    used = [call.layer for call in calls]
    alone = True
    while number >= first:
        call = calls[number - first]
        layer = call.layer
        # In its place another activation would change something else, too.
        alone = alone and used.count(layer) == 1 and reads.count(number) == 1
        if isinstance(layer, Dense):
            return _Ending(layer.activation, layer if alone else None, None)
        if isinstance(layer, ActivationLayer) and layer.activation.kind != "linear":
            return _Ending(layer.activation, layer if alone else None, call.inputs[0])
        if isinstance(layer, (NormalizationLayer, Residual)):
            return _Ending(activations.linear, None, None)
        if not isinstance(layer, (Noise, ActivationLayer)):
            return None
        number = call.inputs[0]
    return None
