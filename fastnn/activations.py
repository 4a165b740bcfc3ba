"""Activation functions by name.

An :class:`Activation` says which function is meant and with which parameters; the kernels know how
to compute it and its derivative. ``activations.relu`` and the like are ready-made, so that
``Dense(64, activation=activations.relu)`` reads as in Keras.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from fastnn._checks import check_choice, check_real

__all__ = [
    "Activation",
    "deserialize",
    "elu",
    "gelu",
    "gelu_tanh",
    "get",
    "hard_sigmoid",
    "leaky_relu",
    "linear",
    "relu",
    "selu",
    "serialize",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "softsign",
    "tanh",
]

KINDS = (
    "linear",
    "relu",
    "leaky_relu",
    "elu",
    "selu",
    "gelu",
    "gelu_tanh",
    "silu",
    "tanh",
    "sigmoid",
    "hard_sigmoid",
    "softplus",
    "softsign",
    "softmax",
    "relu_general",
    "scaled_relu",
)


@dataclass(frozen=True)
class Activation:
    """An activation function and its parameters.

    ========================  ===================================================================
    kind                      f(x)
    ========================  ===================================================================
    linear                    x
    relu                      max(x, 0)
    leaky_relu                x if x > 0 else params[0] * x
    elu                       x if x > 0 else params[0] * (exp(x) - 1)
    selu                      1.05070098 * (x if x > 0 else 1.67326324 * (exp(x) - 1))
    gelu                      x * (1 + erf(x / sqrt(2))) / 2
    gelu_tanh                 x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))) / 2
    silu                      x * sigmoid(x)
    tanh, sigmoid             as named
    hard_sigmoid              min(max(x / 6 + 0.5, 0), 1)
    softplus                  log(1 + exp(x))
    softsign                  x / (1 + |x|)
    softmax                   exp(x) / sum(exp(x)) over the last axis
    relu_general              min(x, params[1]) if x >= params[2] else params[0] * (x - params[2])
    scaled_relu               max(params[0] * x, 0)
    ========================  ===================================================================
    """

    kind: str
    params: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        check_choice("Activation", "kind", self.kind, KINDS)


linear = Activation("linear")
relu = Activation("relu")
leaky_relu = Activation("leaky_relu", (0.2, 0.0, 0.0))
elu = Activation("elu", (1.0, 0.0, 0.0))
selu = Activation("selu")
gelu = Activation("gelu")
gelu_tanh = Activation("gelu_tanh")
silu = Activation("silu")
tanh = Activation("tanh")
sigmoid = Activation("sigmoid")
hard_sigmoid = Activation("hard_sigmoid")
softplus = Activation("softplus")
softsign = Activation("softsign")
softmax = Activation("softmax")

_BY_NAME: dict[str, Activation] = {
    found.kind: found for found in list(globals().values()) if isinstance(found, Activation)
}
_ALIASES = {"swish": silu}


def get(identifier: str | Activation | dict[str, Any] | None) -> Activation:
    """The activation that ``identifier`` names, with Keras's default parameters.

    ``None`` is linear; ``"swish"`` is silu; a dict is what :func:`serialize` made.

    Raises:
        TypeError, ValueError: ``identifier`` is of another type, or no activation has that
            name.
    """
    if identifier is None:
        return linear
    if isinstance(identifier, Activation):
        return identifier
    if isinstance(identifier, dict):
        return deserialize(identifier)
    if not isinstance(identifier, str):
        raise TypeError(
            "activation must be a name, an activation of fastnn.activations or None, got "
            f"{identifier!r}"
        )
    found = _BY_NAME.get(identifier) or _ALIASES.get(identifier)
    if found is None:
        names = ", ".join([*_BY_NAME, *_ALIASES])
        raise ValueError(f"unknown activation {identifier!r}; known: {names}")
    return found


def serialize(activation: Activation) -> str | dict[str, Any]:
    """The name where it says everything, or else a dict of JSON values."""
    if _BY_NAME.get(activation.kind) == activation:
        return activation.kind
    # JSON has no infinity: None is "no bound".
    params = [None if math.isinf(value) else value for value in activation.params]
    return {"kind": activation.kind, "params": params}


def deserialize(config: str | dict[str, Any]) -> Activation:
    """The activation that :func:`serialize` described; ValueError if it is malformed."""
    if isinstance(config, str):
        return get(config)
    if config.keys() != {"kind", "params"}:
        raise ValueError(f"an activation is saved as 'kind' and 'params', got {sorted(config)}")
    params = config["params"]
    if not isinstance(params, (list, tuple)) or len(params) != 3:
        raise ValueError(f"the params of an activation must be 3 numbers, got {params!r}")
    slope, bound, threshold = (
        math.inf if value is None else check_real("Activation", "params", value) for value in params
    )
    return Activation(config["kind"], (slope, bound, threshold))
