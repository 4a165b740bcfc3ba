"""Weights drawn anew, at the scale that the activation asks for."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from fastnn import activations
from fastnn.activations import Activation
from fastnn.health.anatomy import Product, Unit, hidden_units, output_layers
from fastnn.health.blueprint import Blueprint
from fastnn.health.changes.base import Change, described
from fastnn.health.product_kernels import Kernel, fan, kernels_of
from fastnn.health.prototypes import SEED, drawn_anew
from fastnn.health.words import number
from fastnn.initializers import (
    LSUV,
    GlorotUniform,
    HeNormal,
    LecunNormal,
    VarianceScaling,
    Zeros,
)
from fastnn.layers import Dense
from fastnn.layers.base import Layer

_GLOROT = {"linear", "tanh", "softsign", "softmax"}
_SIGMOID = {"sigmoid", "hard_sigmoid"}

_OFF = 5.0
"""Hidden weights this many times too large or small are worth a word; Keras's own ones for a
sigmoid are a quarter of what they might be."""

_USUAL = 0.8
"""Of Glorot's deviation: with less, weights were not drawn so."""

_APART = 1 << 16
"""Between the seeds of two kernels of one layer: more than a model has layers."""

_OUTPUT_IS_OFF = 2.0
"""An output layer is drawn anew too if the deviation of its weights is off by more than this
factor: it may well have the initialization that was wrong for the others."""


def initializer_for(activation: Activation, seed: int) -> VarianceScaling:
    """He's for the family of the rectifier (He et al. 2015, eq. 10); for selu LeCun's (Klambauer et
    al. 2017); for tanh, softsign and linear Glorot's (Glorot & Bengio 2010, eq. 16), for sigmoid
    that four times as wide (Bengio 2012, "Practical recommendations", section 2.2)."""
    if activation.kind == "selu":
        return LecunNormal(seed)
    if activation.kind in _GLOROT:
        return GlorotUniform(seed)
    if activation.kind in _SIGMOID:
        return VarianceScaling(16.0, "fan_avg", "uniform", seed)
    return HeNormal(seed)


def name_of(initializer: VarianceScaling) -> str:
    """For words."""
    known = type(initializer).__name__
    return "4 times GlorotUniform" if known == "VarianceScaling" else known


def drawn_for(unit: Unit, number: int, activation: Activation | None = None) -> Product:
    """The unit's layer with weights to be drawn for its activation, or for another one.

    Args:
        number: The unit's among those of the change.
    """
    return _drawn(unit.layer, activation or unit.activation, SEED + number)


def initialization(blueprint: Blueprint) -> list[Change]:
    """Offered if a layer's weights are not yet such as they would be drawn."""
    units = _trained(blueprint)
    wrong = _wrong_outputs(blueprint)
    if not wrong and all(_suits(unit) for unit in units):
        return []
    groups: dict[str, list[Unit]] = defaultdict(list)
    for unit in units:
        initializer = name_of(initializer_for(unit.activation, SEED))
        groups[f"{initializer} initialization for {{}} with {unit.activation.kind}"].append(unit)
    words = [text.format(described(group)) for text, group in groups.items()]
    words += [f"GlorotUniform for the output layer {layer.name!r}" for layer in wrong]
    return [
        Change(
            "initialization",
            f"{', '.join(words)}; biases 0; these weights are drawn anew",
            "initialization",
            _initialized,
        )
    ]


def weights_off(blueprint: Blueprint) -> str:
    """How far the weights of hidden layers are from what their activations ask for, in words; empty
    if they are not off by a factor of two."""
    drawn = [
        (unit, kernel)
        for unit in _trained(blueprint)
        if unit.layer.built
        for kernel in kernels_of(unit.layer)
    ]
    ratios = {(unit, kernel): _ratio(unit.layer, kernel, unit.activation) for unit, kernel in drawn}
    large = [each for each in drawn if ratios[each] >= _OFF]
    small = [each for each in drawn if ratios[each] <= 1 / _OFF and _is_below_usual(*each)]
    off = max(large, small, key=len)
    if not off:
        return ""
    widths = [kernel.weights(unit.layer).shape[:-1] for unit, kernel in off]
    first, kernel = off[widths.index(max(widths, key=widths.count))]
    values, ratio = kernel.weights(first.layer).numpy(), ratios[first, kernel]
    deviation = float(values.std(dtype=np.float64))
    owner = f"the weights of {described(list(dict.fromkeys(unit for unit, _ in off)))}"
    if deviation == 0:
        return f"{owner} all have one value, so that no two units differ"
    factor = ratio if off is large else 1 / ratio
    wanted = name_of(initializer_for(_behind(kernel, first.activation), SEED))
    return (
        f"{owner} are drawn {number(factor, 2)} times too {'large' if off is large else 'small'}: "
        f"with a deviation of {number(deviation)}, where {wanted} has {number(deviation / ratio)} "
        f"for {_inputs(kernel, values.shape)} of {first.layer.name!r}"
    )


def _is_below_usual(unit: Unit, kernel: Kernel) -> bool:
    """Whether the weights are smaller than Keras's own ones, too: those of a layer with far more
    outputs than inputs, as the first convolution of gray pictures, are small, and no fault."""
    return _off_from(kernel.weights(unit.layer).numpy(), GlorotUniform(SEED)) < _USUAL


def _inputs(kernel: Kernel, shape: tuple[int, ...]) -> str:
    """What a unit or filter of a kernel (*window, in, out) reads."""
    *window, channels, _ = shape
    if kernel.reads_one_channel:
        channels = 1
    if not window:
        return f"the {channels} inputs"
    size = "x".join(map(str, window if window[1:] else [*window, 1]))
    return f"the windows of {size} in {channels} channel{'s' * (channels != 1)}"


def _initialized(blueprint: Blueprint) -> Blueprint:
    units = _trained(blueprint)
    fresh: dict[Layer, Layer] = {
        unit.layer: drawn_for(unit, place) for place, unit in enumerate(units)
    }
    for place, layer in enumerate(_wrong_outputs(blueprint), len(units)):
        fresh[layer] = _drawn(layer, activations.linear, SEED + place)
    return blueprint.replaced(fresh)


def _trained(blueprint: Blueprint) -> list[Unit]:
    # LSUV looks at the data, which does better than any rule.
    return [
        unit
        for unit in hidden_units(blueprint)
        if unit.layer.trainable
        and not (isinstance(unit.layer, Dense) and isinstance(unit.layer.kernel_initializer, LSUV))
    ]


def _wrong_outputs(blueprint: Blueprint) -> list[Product]:
    wrong = []
    for layer in output_layers(blueprint):
        if layer.built and layer.trainable:
            for kernel in kernels_of(layer):
                ratio = _ratio(layer, kernel, activations.linear)
                spare = 1 + 2 / np.sqrt(kernel.weights(layer).size)
                if not 1 / spare <= ratio * _OUTPUT_IS_OFF or not ratio <= _OUTPUT_IS_OFF * spare:
                    wrong.append(layer)
                    break
    return wrong


def _suits(unit: Unit) -> bool:
    """Whether weights and biases could be what the change draws."""
    layer = unit.layer
    if not layer.built:
        return True
    bias = np.zeros(1) if layer.bias is None else layer.bias.numpy()
    return bool(np.abs(bias).max() <= 0.1) and all(
        _kernel_suits(layer, kernel, unit.activation) for kernel in kernels_of(layer)
    )


def _kernel_suits(layer: Product, kernel: Kernel, activation: Activation) -> bool:
    values = kernel.weights(layer).numpy()
    # Of a sample of n, the deviation is off by 1 / sqrt(2 n) of itself; that thrice, and a bit.
    off = 0.2 + 3 / np.sqrt(2 * values.size)
    centred = abs(values.mean(dtype=np.float64)) <= off * values.std(dtype=np.float64)
    return bool(abs(_ratio(layer, kernel, activation) - 1) <= off and centred)


def _behind(kernel: Kernel, activation: Activation) -> Activation:
    """What comes after a kernel of a layer with this activation."""
    return activation if kernel.activated else activations.linear


def _drawn(layer: Product, activation: Activation, seed: int) -> Product:
    """The layer with biases 0 and weights to be drawn for the activation."""
    initializers = {
        kernel.initializer: kernel.fitted(
            initializer_for(_behind(kernel, activation), seed + _APART * place), layer
        )
        for place, kernel in enumerate(reversed(kernels_of(layer)))
    }
    return drawn_anew(layer, bias_initializer=Zeros(), **initializers)


def _ratio(layer: Product, kernel: Kernel, activation: Activation) -> float:
    """The weights' deviation by the one that they should have."""
    wanted = kernel.fitted(initializer_for(_behind(kernel, activation), SEED), layer)
    return _off_from(kernel.weights(layer).numpy(), wanted)


def _off_from(values: np.ndarray, initializer: VarianceScaling) -> float:
    wanted = np.sqrt(initializer.scale / fan(initializer, values.shape))
    return float(values.std(dtype=np.float64) / wanted)
