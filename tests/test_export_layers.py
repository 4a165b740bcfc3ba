"""Every layer and activation as ONNX, lying plain and turned, against ``predict``."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from exporting import LOOKUPS, check
from nets import set_seeded_weights

import fastnn as fnn
from fastnn import activations, layers
from fastnn.export.rules import export_layer
from fastnn.export.rules.activations import FUNCTIONS
from fastnn.layers.base import Layer

pytestmark = pytest.mark.usefixtures("fixed_seed")

PICTURE = (7, 6, 4)
SIGNAL = (9, 4)
FEATURES = (24,)

ACTIVATIONS = [
    activations.Activation(kind, (0.3, 1.5, 0.25)) for kind in activations.KINDS
] + [
    activations.Activation("relu_general", params)
    for params in ((0.0, 0.7, 0.0), (0.2, math.inf, 0.4), (0.1, 0.6, 0.0))
]  # fmt: skip

# Shape of one example, and what makes the layers that come after the input.
CASES: dict[str, tuple[tuple[int, ...], Callable[[], list[Layer]]]] = {
    "dense": (FEATURES, lambda: [layers.Dense(5)]),
    "dense without bias": (FEATURES, lambda: [layers.Dense(5, use_bias=False)]),
    "dense softmax": (FEATURES, lambda: [layers.Dense(5, "softmax")]),
    "dense of signals": (SIGNAL, lambda: [layers.Dense(3, "tanh")]),
    "dense of pictures": (PICTURE, lambda: [layers.Dense(3, "relu", use_bias=False)]),
    "dense of four axes": ((2, 3, 2, 5), lambda: [layers.Dense(3)]),
    "softmax of pictures": (PICTURE, lambda: [layers.Dense(3, "softmax")]),
    **{
        f"dropconnect {kind}": (
            FEATURES, lambda kind=kind: [layers.Dense(5, kind, dropconnect=0.4)]
        )
        for kind in ("linear", "relu", "leaky_relu", "tanh", "elu", "softmax")
    },
    **{
        f"{'inverse ' * invert}standardization of {axis}": (
            PICTURE,
            lambda axis=axis, invert=invert: [
                layers.Normalization(axis, mean=0.5, variance=4.0, invert=invert)
            ],
        )
        for axis in (-1, None, (1, 3))
        for invert in (False, True)
    },
    "dropconnect, activation apart": (
        FEATURES,
        lambda: [layers.Dense(6, dropconnect=0.5), layers.Dropout(0.1), layers.Reshape((2, 3)),
                 layers.Activation("linear"), layers.LeakyReLU(0.2), layers.Activation("relu")],
    ),
    "dropconnect, then not an activation": (
        FEATURES,
        lambda: [layers.Dense(6, dropconnect=0.5), layers.Rescaling(1, 0.1), layers.ReLU()],
    ),
    "dropconnect in pictures": (
        PICTURE,
        lambda: [layers.Dense(6, dropconnect=0.5), layers.Flatten(), layers.ReLU(),
                 layers.Dense(2)],
    ),
    "dropconnect in pictures, in another shape": (
        PICTURE,
        lambda: [layers.Dense(6, dropconnect=0.5), layers.Reshape((-1,)), layers.ReLU()],
    ),
    "dropconnect at one place": (
        (1, 4), lambda: [layers.Dense(6, dropconnect=0.5), layers.Flatten(), layers.ReLU()]
    ),
    "dropconnect before a shortcut": (
        FEATURES,
        lambda: [layers.Dense(24, dropconnect=0.5), layers.Residual([layers.ReLU()])],
    ),
    "dropconnect in a shortcut": (
        FEATURES,
        lambda: [layers.Residual([layers.Dense(24, dropconnect=0.5), layers.ReLU()])],
    ),
    **{
        f"activation {number} {each.kind}": (PICTURE, lambda each=each: [layers.Activation(each)])
        for number, each in enumerate(ACTIVATIONS)
    },
    "ReLU": (PICTURE, lambda: [layers.ReLU(1.0, 0.1, 0.2)]),
    "LeakyReLU": (FEATURES, lambda: [layers.LeakyReLU(0.4)]),
    "ELU": (PICTURE, lambda: [layers.ELU(0.7)]),
    **{
        f"Softmax along {axis}": (PICTURE, lambda axis=axis: [layers.Softmax(axis)])
        for axis in (1, 2, -1)
    },
    "Softmax of features": (FEATURES, lambda: [layers.Softmax()]),
    **{
        f"BatchNormalization along {axis}": (
            PICTURE, lambda axis=axis: [layers.BatchNormalization(axis, epsilon=0.01)]
        )
        for axis in (1, 2, 3)
    },
    "BatchNormalization of signals": (SIGNAL, lambda: [layers.BatchNormalization(scale=False)]),
    "BatchNormalization of features": (
        FEATURES, lambda: [layers.BatchNormalization(center=False, epsilon=0.1)]
    ),
    **{
        f"LayerNormalization over {axis}": (
            PICTURE, lambda axis=axis: [layers.LayerNormalization(axis, epsilon=0.01)]
        )
        for axis in (-1, (2, 3), (1, 2, 3))
    },
    "LayerNormalization of features": (FEATURES, lambda: [layers.LayerNormalization(center=False)]),
    **{
        f"GroupNormalization along {axis}": (
            PICTURE, lambda axis=axis, groups=groups: [layers.GroupNormalization(groups, axis)]
        )
        for axis, groups in ((1, 7), (2, 3), (-1, 2), (3, -1))
    },
    "GroupNormalization of features": (
        FEATURES, lambda: [layers.GroupNormalization(6, scale=False, epsilon=0.1)]
    ),
    "GroupNormalization bare": (
        SIGNAL, lambda: [layers.GroupNormalization(2, scale=False, center=False)]
    ),
    "Rescaling": (PICTURE, lambda: [layers.Rescaling(0.5, -0.25)]),
    "Conv2D": (PICTURE, lambda: [layers.Conv2D(5, 3)]),
    "Conv2D same": (PICTURE, lambda: [layers.Conv2D(5, (2, 3), padding="same", activation="relu")]),
    "Conv2D strides": (PICTURE, lambda: [layers.Conv2D(5, 3, (2, 3), "same", use_bias=False)]),
    "Conv2D strides, valid": (PICTURE, lambda: [layers.Conv2D(5, 2, 2)]),
    "Conv2D dilation": (PICTURE, lambda: [layers.Conv2D(5, 3, padding="same", dilation_rate=2)]),
    "Conv2D groups": (PICTURE, lambda: [layers.Conv2D(6, 3, groups=2, activation="softmax")]),
    "Conv1D": (SIGNAL, lambda: [layers.Conv1D(5, 3, 2, "same", activation="gelu")]),
    "Conv1D causal": (SIGNAL, lambda: [layers.Conv1D(5, 3, padding="causal", dilation_rate=2)]),
    "DepthwiseConv2D": (
        PICTURE,
        lambda: [layers.DepthwiseConv2D(3, 2, "same", depth_multiplier=3, activation="elu")],
    ),
    "DepthwiseConv1D": (SIGNAL, lambda: [layers.DepthwiseConv1D(3, use_bias=False)]),
    "SeparableConv2D": (
        PICTURE, lambda: [layers.SeparableConv2D(5, 3, 2, "same", depth_multiplier=2)]
    ),
    "SeparableConv1D": (
        SIGNAL,
        lambda: [layers.SeparableConv1D(5, 3, dilation_rate=2, activation="relu", use_bias=False)],
    ),
    "MaxPooling2D": (PICTURE, lambda: [layers.MaxPooling2D(2)]),
    "MaxPooling2D same": (PICTURE, lambda: [layers.MaxPooling2D((3, 2), (2, 1), "same")]),
    "MaxPooling1D": (SIGNAL, lambda: [layers.MaxPooling1D(2, padding="same")]),
    "AveragePooling2D": (PICTURE, lambda: [layers.AveragePooling2D((2, 3), 2)]),
    "AveragePooling2D same": (PICTURE, lambda: [layers.AveragePooling2D(3, 2, "same")]),
    "AveragePooling1D": (SIGNAL, lambda: [layers.AveragePooling1D(4, 1, "same")]),
    **{
        f"{kind.__name__}, {keepdims}": (
            PICTURE if kind.rank == 2 else SIGNAL,
            lambda kind=kind, keepdims=keepdims: [kind(keepdims=keepdims)],
        )
        for kind in (
            layers.GlobalAveragePooling1D, layers.GlobalAveragePooling2D,
            layers.GlobalMaxPooling1D, layers.GlobalMaxPooling2D,
        )
        for keepdims in (False, True)
    },
    "ZeroPadding2D": (PICTURE, lambda: [layers.ZeroPadding2D(((1, 2), (0, 3)))]),
    "ZeroPadding1D": (SIGNAL, lambda: [layers.ZeroPadding1D((2, 1))]),
    "Cropping2D": (PICTURE, lambda: [layers.Cropping2D(((1, 2), (0, 3)))]),
    "Cropping1D": (SIGNAL, lambda: [layers.Cropping1D((2, 1))]),
    "UpSampling2D": (PICTURE, lambda: [layers.UpSampling2D((2, 3))]),
    "UpSampling2D bilinear": (
        PICTURE, lambda: [layers.UpSampling2D((3, 2), interpolation="bilinear")]
    ),
    "UpSampling1D": (SIGNAL, lambda: [layers.UpSampling1D(3)]),
    "Permute": (PICTURE, lambda: [layers.Permute((3, 1, 2)), layers.Dense(3)]),
    "Permute of signals": (SIGNAL, lambda: [layers.Permute((2, 1))]),
    "Permute, then a convolution": (
        PICTURE, lambda: [layers.Permute((2, 3, 1)), layers.Conv2D(2, 2)]
    ),
    "Reshape": (PICTURE, lambda: [layers.Reshape((6, -1))]),
    "Reshape to a line": (PICTURE, lambda: [layers.Reshape((-1,)), layers.Dense(3)]),
    "Flatten, then all that takes it as it lies": (
        PICTURE,
        lambda: [layers.Flatten(), layers.ReLU(), layers.BatchNormalization(),
                 layers.LayerNormalization(), layers.Softmax(), layers.Rescaling(3),
                 layers.Dense(3)],
    ),
    "Flatten, then a shape": (PICTURE, lambda: [layers.Flatten(), layers.Reshape(PICTURE)]),
    "Flatten, then groups": (PICTURE, lambda: [layers.Flatten(), layers.GroupNormalization(4)]),
    "Flatten twice": (PICTURE, lambda: [layers.Flatten(), layers.Flatten(), layers.Permute((1,))]),
    "noise": (
        PICTURE,
        lambda: [layers.Dropout(0.5), layers.GaussianNoise(1.0), layers.SpatialDropout2D(0.5),
                 layers.Conv2D(2, 2)],
    ),
    "SpatialDropout1D": (SIGNAL, lambda: [layers.SpatialDropout1D(0.5)]),
    "augmentation": (
        PICTURE,
        lambda: [layers.RandomFlip(), layers.RandomRotation(0.2),
                 layers.RandomTranslation(0.1, 0.1), layers.RandomZoom(0.2),
                 layers.RandomBrightness(0.2, (0, 1)),
                 layers.RandomContrast(0.2, (0, 1))],
    ),
    "RandomCrop": (PICTURE, lambda: [layers.RandomCrop(4, 3)]),
    "Residual": (FEATURES, lambda: [layers.Residual([layers.Dense(24, "relu"), layers.Dense(24)])]),
    "Residual with a Dense": (FEATURES, lambda: [layers.Residual([layers.Dense(7, "relu")])]),
    "Residual with a Conv2D": (
        PICTURE,
        lambda: [layers.Residual([
            layers.Conv2D(5, 3, 2, "same", activation="relu"), layers.BatchNormalization(),
            layers.Residual([layers.Conv2D(5, 3, padding="same")]),
        ])],
    ),
    "Residual with a Conv1D": (SIGNAL, lambda: [layers.Residual([layers.Conv1D(5, 1, 2)])]),
}  # fmt: skip

MERGING = {
    "Add": lambda: layers.Add(),
    "Subtract": lambda: layers.Subtract(),
    "Multiply": lambda: layers.Multiply(),
    "Average": lambda: layers.Average(),
    "Maximum": lambda: layers.Maximum(),
    "Minimum": lambda: layers.Minimum(),
    "Concatenate": lambda: layers.Concatenate(),
    "Concatenate along 1": lambda: layers.Concatenate(1),
    "Concatenate along 2": lambda: layers.Concatenate(-2),
}


@pytest.mark.parametrize("turned", [False, True], ids=["plain", "turned"])
@pytest.mark.parametrize("case", CASES)
def test_every_layer(case: str, turned: bool, tmp_path: Path) -> None:
    """``turned``: what comes to the layer lies in another order than in the model."""
    shape, make = CASES[case]
    first: list[Any] = [layers.Input(shape)]
    if turned and len(shape) == 1:
        first = [layers.Input((2, 3, 4)), layers.Permute((2, 3, 1)), layers.Flatten()]
    elif turned:
        axes = range(1, len(shape) + 1)
        first = [layers.Input((shape[-1], *shape[:-1])), layers.Permute((*axes[1:], 1))]
    check(set_seeded_weights(fnn.Sequential([*first, *make()])), tmp_path)


@pytest.mark.parametrize("turned", ["none", "first", "second", "both"])
@pytest.mark.parametrize("case", MERGING)
@pytest.mark.parametrize("shape", [(6, 4, 3), (5, 3), (24,)], ids=len)
def test_every_merging_layer(
    case: str, turned: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    layer = MERGING[case]()
    if case.endswith(("1", "2")) and len(shape) < 3:
        pytest.skip("there is no such axis")
    a, b = layers.Input(shape), layers.Input(shape)
    mixed = [layers.Conv2D, layers.Conv1D][3 - len(shape)] if len(shape) > 1 else None
    merged = [
        _out_of_order(each, mixed) if turned in (name, "both") else each
        for name, each in (("first", a), ("second", b))
    ]
    if case != "Subtract" and not case.startswith("Concatenate"):
        merged.append(a)
    check(set_seeded_weights(fnn.Model([a, b], layer(merged))), tmp_path)


def _out_of_order(tensor: Any, convolution: Any) -> Any:
    if convolution is None:
        return layers.Flatten()(
            layers.Conv2D(4, 2, padding="same")(layers.Reshape((3, 2, 4))(tensor))
        )
    return convolution(3, 2, padding="same")(tensor)


def test_every_class_has_a_rule_and_a_case() -> None:
    """InputLayer is where data comes in. A new layer needs a rule, and a case above."""
    wanted = {cls for cls in layers.CLASSES.values() if cls is not layers.InputLayer}
    default = export_layer.dispatch(Layer)
    assert not [cls.__name__ for cls in wanted if export_layer.dispatch(cls) is default]
    shown = {type(layer) for _, make in CASES.values() for layer in make()}
    shown |= {type(make()) for make in MERGING.values()}
    # What reads an input alone has a test of its own.
    shown |= {layers.Embedding, *LOOKUPS, layers.CategoryEncoding, layers.Discretization}
    assert wanted == shown


def test_every_activation_has_a_function() -> None:
    assert FUNCTIONS.keys() | {"linear", "softmax"} == set(activations.KINDS)
    assert {each.kind for each in ACTIVATIONS} == set(activations.KINDS)


def test_every_activation_in_dense(tmp_path: Path) -> None:
    x = layers.Input((6,))
    for half in (ACTIVATIONS[::2], ACTIVATIONS[1::2]):
        made = [layers.Dense(4, each)(x) for each in half]
        check(set_seeded_weights(fnn.Model(x, made)), tmp_path)
