"""Exported models: onnxruntime makes of a file what ``predict`` makes, for every layer there is."""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from command import failure
from nets import set_seeded_weights
from numpy.typing import NDArray

import fastnn as fnn
from fastnn import activations, layers
from fastnn.cli import main, model_file
from fastnn.export import graph_of
from fastnn.export.rules import export_layer
from fastnn.export.rules.activations import FUNCTIONS
from fastnn.layers.base import Layer

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


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    fnn.utils.clear_session()
    fnn.utils.set_random_seed(0)


def session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def check(
    model: fnn.Model,
    path: Path,
    inputs: list[NDArray[Any]] | None = None,
    tolerance: float = 1e-5,
    **options: Any,
) -> None:
    """The exported model is valid and makes what ``predict`` makes, for all rows and for 1."""
    model.export(path / "net.onnx", **options)
    onnx.checker.check_model(onnx.load(path / "net.onnx"), full_check=True)
    runtime = session(path / "net.onnx")
    assert [each.name for each in runtime.get_inputs()] == model.input_names
    assert [each.name for each in runtime.get_outputs()] == model.output_names
    random = np.random.default_rng(1)
    if inputs is None:
        inputs = [
            random.normal(size=(5, *tensor.shape[1:])).astype(np.float32) for tensor in model.inputs
        ]
    for rows in (len(inputs[0]), 1):
        data = [x[:rows] for x in inputs]
        wanted = model.predict(data if len(data) > 1 else data[0], verbose=0)
        found = runtime.run(None, dict(zip(model.input_names, data, strict=True)))
        for one, other in zip(found, wanted if isinstance(wanted, list) else [wanted], strict=True):
            np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


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


@pytest.mark.parametrize("shape", [(), (6,), (3, 2)], ids=len)
def test_embedding(shape: tuple[int, ...], tmp_path: Path) -> None:
    x = layers.Input(shape)
    model = set_seeded_weights(
        fnn.Model(x, layers.Dense(3)(layers.Flatten()(layers.Embedding(50, 4)(x))))
    )
    rows = np.random.default_rng(0).integers(0, 50, (5, *shape))
    check(model, tmp_path, [rows])


TEXTS = np.array([
    ["red", "blue", "blue"], ["-", "red", "violet"], ["größer", "-", "-"], ["[UNK]", "", "Red"],
    ["blue", "größer", "red"],
])  # fmt: skip
NUMBERS = np.array([
    [12, -7, -7], [0, 12, 1], [2**62 + 1, 0, 0], [2**62, -1, -(2**63)], [-7, 2**62 + 1, 12],
])  # fmt: skip
LOOKUPS: dict[type[Layer], tuple[NDArray[Any], list[Any], Any]] = {
    layers.StringLookup: (TEXTS, ["red", "größer", "blue"], "-"),
    layers.IntegerLookup: (NUMBERS, [12, 2**62 + 1, -7], 0),
}
MODES = ("int", "one_hot", "multi_hot", "count")
FORMS = [
    (mode, shape)
    for mode in MODES
    for shape in [(), (1,), (3,), (2, 1)]
    if len(shape) == 1 or mode in ("int", "one_hot")
]
"""Modes, and shapes of one example that they take."""


@pytest.mark.parametrize("masked", [False, True], ids=["no mask", "mask"])
@pytest.mark.parametrize(("mode", "shape"), FORMS, ids=str)
@pytest.mark.parametrize(
    ("kind", "oov"),
    [*((layers.StringLookup, oov) for oov in (0, 1)),
     *((layers.IntegerLookup, oov) for oov in (0, 1, 3))],
)  # fmt: skip
def test_lookups(
    kind: Any, mode: str, oov: int, masked: bool, shape: tuple[int, ...], tmp_path: Path
) -> None:
    data, vocabulary, mask = LOOKUPS[kind]
    data = data[:, : math.prod(shape)].reshape(-1, *shape)
    layer = kind(
        vocabulary=vocabulary, num_oov_indices=oov, mask_token=mask if masked else None,
        output_mode=mode,
    )  # fmt: skip
    if oov == 0:
        known = [*vocabulary, mask] if masked else vocabulary
        data = np.where(np.isin(data, known), data, vocabulary[1])
    x = layers.Input(shape)
    check(fnn.Model(x, layer(x)), tmp_path, [data], tolerance=0)


@pytest.mark.parametrize("kind", [layers.StringLookup, layers.IntegerLookup])
def test_weighted_lookups(kind: Any, tmp_path: Path) -> None:
    data, vocabulary, mask = LOOKUPS[kind]
    layer = kind(
        7, vocabulary=vocabulary, mask_token=mask, output_mode="tf_idf", pad_to_max_tokens=True,
        idf_weights=np.linspace(0.25, 3, len(vocabulary)),
    )  # fmt: skip
    x = layers.Input(data.shape[1:])
    check(fnn.Model(x, layer(x)), tmp_path, [data])


def test_a_lookup_makes_these_numbers(tmp_path: Path) -> None:
    """By hand: the mask is 0, then the buckets, by Python's remainder, then the vocabulary."""
    x = layers.Input((2,))
    lookup = layers.IntegerLookup(vocabulary=[12, -7], num_oov_indices=3, mask_token=5)
    fnn.Model(x, lookup(x)).export(tmp_path / "net.onnx")
    data = np.array([[12, -7], [5, 0], [4, -4], [-1, 2**60 + 1]])
    (found,) = session(tmp_path / "net.onnx").run(None, {x.name: data})
    bucket = (2**60 + 1) % 3
    assert found.tolist() == [[4, 5], [0, 1], [2, 3], [3, 1 + bucket]]


@pytest.mark.parametrize("mode", MODES[1:])
def test_a_lookup_with_columns_to_spare(mode: str, tmp_path: Path) -> None:
    x = layers.Input((3,))
    lookup = layers.StringLookup(
        7, mask_token="-", vocabulary=["red", "blue"], output_mode=mode, pad_to_max_tokens=True
    )
    check(fnn.Model(x, lookup(x)), tmp_path, [TEXTS], tolerance=0)


@pytest.mark.parametrize(("mode", "shape"), [form for form in FORMS if form[0] != "int"], ids=str)
def test_category_encoding(mode: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    data = np.random.default_rng(0).integers(0, 4, (5, *shape))
    x = layers.Input(shape)
    check(fnn.Model(x, layers.CategoryEncoding(4, mode)(x)), tmp_path, [data], tolerance=0)


BOUNDARIES = [-1.5, 0.0, 0.1, 0.1, 16777217.0]


@pytest.mark.parametrize(("mode", "shape"), FORMS, ids=str)
@pytest.mark.parametrize("boundaries", [BOUNDARIES, []], ids=len)
def test_discretization(
    boundaries: list[float], mode: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    edges = np.array(BOUNDARIES, np.float32)
    around = [np.nextafter(edges, np.float32(-np.inf)), edges, np.nextafter(edges, np.float32(9e9))]
    numbers = np.concatenate([*around, np.float32([-0.0, 3e38, -3e38])])
    x = layers.Input(shape)
    model = fnn.Model(x, layers.Discretization(boundaries, output_mode=mode)(x))
    check(model, tmp_path, [numbers.reshape(-1, *shape)], tolerance=0)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_what_comes_before_bins_and_behind_them(dtype: str, tmp_path: Path) -> None:
    """Real numbers come as ``input_dtype`` says, though a layer makes integers of them."""
    x = layers.Input((3,))
    bins = layers.Discretization(num_bins=5)
    scaled = layers.Rescaling(0.3, 0.1)(layers.Normalization(mean=3.0, variance=7.0)(x))
    data = np.random.default_rng(0).integers(-90, 90, (40, 3)).astype(dtype)
    bins.adapt(data * 0.03)
    made = bins(scaled)
    outputs = [made, layers.CategoryEncoding(5, "count")(made), layers.Embedding(5, 2)(made)]
    check(fnn.Model(x, outputs), tmp_path, [data], input_dtype=dtype, tolerance=0)


def mixed_model() -> fnn.Model:
    words, ids = layers.Input((3,), name="words"), layers.Input((2,), name="ids")
    size, both = layers.Input((4,), name="size"), layers.Input((1,), name="both")
    index = layers.StringLookup(vocabulary=["red", "blue"], mask_token="-")(words)
    kinds = layers.IntegerLookup(vocabulary=[12, -7, 2**62 + 1], num_oov_indices=2)(ids)
    bins = layers.Discretization([-0.5, 0.5], output_mode="multi_hot")(size)
    read = [
        layers.Flatten()(layers.Embedding(4, 3)(layers.Reshape((3, 1))(index))),
        layers.CategoryEncoding(5, "count")(kinds), bins, layers.Dense(3, "tanh")(size),
        layers.Flatten()(layers.Embedding(9, 2)(both)), layers.Dense(2)(both),
        layers.Dense(2, "tanh")(index),
    ]  # fmt: skip
    shaped = layers.Reshape((1, 1))(both)
    out = layers.Dense(4, "softmax", name="kind")(layers.Concatenate()(read))
    return set_seeded_weights(fnn.Model([words, ids, size, both], [out, index, kinds, shaped]))


def test_inputs_of_several_types_in_one_model(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    sizes, both = random.integers(-3, 3, (5, 4)), random.integers(0, 9, (5, 1))
    for dtype, stored in (("float32", "float"), ("uint8", "uint8")):
        model = mixed_model()
        numbers = np.abs(sizes).astype(dtype)
        check(model, tmp_path, [TEXTS, NUMBERS[:, :2], numbers, both], input_dtype=dtype)
        types = [each.type for each in session(tmp_path / "net.onnx").get_inputs()]
        assert types == ["tensor(string)", "tensor(int64)", f"tensor({stored})", "tensor(int64)"]


def cast_first(model: fnn.Model, kind: str) -> list[int]:
    """To which types things are cast before the first operator of this kind has them."""
    operators = {each.output: each for each in graph_of(model, casts=True).operators}
    waiting = [next(each for each in operators.values() if each.kind == kind).output]
    found = []
    while waiting:
        each = operators.get(waiting.pop())
        if each is not None:
            waiting += each.inputs
            found += [each.attributes["to"]] if each.kind == "Cast" else []
    return found


def test_no_integer_goes_through_float32() -> None:
    x = layers.Input((4,))
    shaped = layers.Embedding(9, 2)(layers.Reshape((2, 2))(layers.Flatten()(x)))
    assert cast_first(fnn.Model(x, shaped), "Gather") == []
    found = layers.IntegerLookup(vocabulary=[3, 4])(x)
    both = [layers.Dense(2)(x), layers.Dense(2)(found), layers.Embedding(4, 2)(found)]
    model = fnn.Model(x, both)
    assert cast_first(model, "Gather") == []
    # For the Dense layers: each value is cast once.
    again = fnn.Model(x, [*both, layers.Dense(3)(x), found])
    for each in (model, again):
        assert [o.kind for o in graph_of(each).operators].count("Cast") == 2


def test_integers_that_come_as_float32_are_refused_where_it_lacks_some(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("fastnn.export.rules.tables._EXACT", 8)
    x = layers.Input((2,))
    computed = layers.Activation("linear")(x)
    data = np.arange(8).reshape(4, 2)
    check(fnn.Model(x, layers.Embedding(9, 1)(x)), tmp_path, [data])
    data = data.astype(np.float32)
    check(fnn.Model(x, layers.Embedding(8, 1)(computed)), tmp_path, [data])
    model = fnn.Model(x, layers.Embedding(9, 1)(computed))
    with pytest.raises(ValueError, match=r"integers up to 9 come to it as float32, .* up to 8"):
        model.export(tmp_path / "no.onnx")


@pytest.mark.parametrize(
    ("make", "wrong"),
    [
        (lambda: layers.StringLookup(vocabulary=["a", "b"], num_oov_indices=0), "c"),
        (lambda: layers.StringLookup(
            vocabulary=["a", "b"], num_oov_indices=0, mask_token="-", output_mode="count"), "c"),
        (lambda: layers.IntegerLookup(vocabulary=[1, 2], num_oov_indices=0), 3),
        *((lambda mode=mode: layers.CategoryEncoding(3, mode), wrong)
          for mode in MODES[1:] for wrong in (-1, 3)),
        (lambda: layers.Embedding(3, 2), 3),
        (lambda: layers.Embedding(3, 2), -1),
    ],
)  # fmt: skip
def test_what_predict_refuses_is_refused(make: Any, wrong: Any, tmp_path: Path) -> None:
    x = layers.Input((1,))
    model = fnn.Model(x, make()(x))
    model.export(tmp_path / "net.onnx")
    with pytest.raises(ValueError, match=str(wrong)):
        model.predict(np.array([[wrong]]), verbose=0)
    with pytest.raises(Exception, match="out of data bounds"):
        session(tmp_path / "net.onnx").run(None, {x.name: np.array([[wrong]])})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda x: layers.StringLookup(vocabulary=["a"], num_oov_indices=2, name="words")(x),
         r"'words' \(StringLookup\) can't be exported: its num_oov_indices is 2"),
        (lambda x: layers.IntegerLookup(
            vocabulary=[1], num_oov_indices=2, oov_method="farmhash", name="ids")(x),
         r"'ids' \(IntegerLookup\) can't be exported: its oov_method is 'farmhash'"),
        (lambda x: layers.IntegerLookup(name="ids")(x), "'ids' has no vocabulary yet"),
        (lambda x: layers.Discretization(num_bins=3, name="bins")(x),
         "'bins' has no bin_boundaries yet"),
        (lambda x: layers.StringLookup(vocabulary=["a"], name="words")(
            layers.IntegerLookup(vocabulary=[1])(x)), "'words' .*takes texts, not numbers"),
        (lambda x: [layers.StringLookup(vocabulary=["a"])(x), layers.Dense(2, name="net")(x)],
         "'net' .*takes numbers, not texts"),
    ],
)  # fmt: skip
def test_what_no_file_can_say(make: Any, message: str, tmp_path: Path) -> None:
    x = layers.Input((2,))
    with pytest.raises(ValueError, match=message):
        fnn.Model(x, make(x)).export(tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def test_a_file_names_the_operators_that_it_has(tmp_path: Path) -> None:
    x = layers.Input((2,))
    for layer, wanted in (
        (layers.CategoryEncoding(3), {"": 17}),
        (layers.IntegerLookup(vocabulary=[3]), {"": 17, "ai.onnx.ml": 3}),
    ):
        fnn.Model(x, layer(x)).export(tmp_path / "net.onnx")
        made = onnx.load(tmp_path / "net.onnx")
        assert {each.domain: each.version for each in made.opset_import} == wanted


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


def convnet() -> fnn.Sequential:
    return fnn.Sequential([
        layers.Input((12, 12, 3), name="pictures"), layers.Rescaling(1 / 255),
        layers.Conv2D(6, 3, padding="same", activation="relu"), layers.BatchNormalization(),
        layers.MaxPooling2D(), layers.DepthwiseConv2D(3, padding="same"),
        layers.SpatialDropout2D(0.2), layers.Residual([layers.Conv2D(8, 3, padding="same")]),
        layers.ZeroPadding2D(1), layers.AveragePooling2D(2), layers.Flatten(), layers.Dropout(0.5),
        layers.Dense(16, "gelu"), layers.Dense(3, "softmax", name="class"),
    ])  # fmt: skip


def test_a_convnet_is_turned_once(tmp_path: Path) -> None:
    model = set_seeded_weights(convnet())
    kinds = Counter(operator.kind for operator in graph_of(model).operators)
    assert kinds["Transpose"] == 1
    pictures = np.random.default_rng(0).integers(0, 256, (5, 12, 12, 3))
    check(model, tmp_path, [pictures.astype(np.uint8)], input_dtype="uint8")


def test_what_has_channels_first_is_not_turned() -> None:
    model = fnn.Sequential([
        layers.Input((3, 8, 8)), layers.Permute((2, 3, 1)), layers.Conv2D(4, 3),
        layers.Dense(2), layers.Permute((3, 1, 2)),
    ])  # fmt: skip
    assert [o.kind for o in graph_of(model).operators] == ["Conv", "Conv"]


def test_a_value_that_is_read_twice_is_turned_once() -> None:
    x = layers.Input((8, 8, 3))
    both = [layers.Conv2D(4, 3)(x), layers.MaxPooling2D()(x)]
    kinds = Counter(o.kind for o in graph_of(fnn.Model(x, both)).operators)
    # In, and each of the outputs back.
    assert kinds["Transpose"] == 3


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32", "int64", "float64"])
def test_inputs_of_other_types(dtype: str, tmp_path: Path) -> None:
    x = layers.Input((4,))
    model = set_seeded_weights(fnn.Model(x, layers.Dense(3)(x)))
    data = np.random.default_rng(0).integers(0, 100, (5, 4)).astype(dtype)
    check(model, tmp_path, [data], input_dtype=dtype)


def test_several_inputs_and_outputs_and_shared_layers(tmp_path: Path) -> None:
    a, b = layers.Input((6,), name="a"), layers.Input((4, 4, 2), name="b")
    shared = layers.Dense(6, activation="tanh", name="shared")
    flat = layers.Flatten()(layers.Conv2D(3, 3)(b))
    both = layers.Concatenate()([shared(shared(a)), flat])
    kind = layers.Dense(3, activation="softmax", name="kind")(both)
    inner = fnn.Sequential([layers.Input((3,)), layers.Dense(2, name="inner")])
    model = fnn.Model([a, b], [kind, inner(kind), flat, kind])
    check(set_seeded_weights(model), tmp_path)
    tensors = onnx.load(tmp_path / "net.onnx").graph.initializer
    assert sum(tensor.name.startswith("shared/kernel") for tensor in tensors) == 1


def test_a_layer_that_reads_lines_in_two_orders(tmp_path: Path) -> None:
    x, line = layers.Input((4, 4, 2)), layers.Input((12,))
    shared = layers.Dense(3)
    outputs = [shared(layers.Flatten()(layers.Conv2D(3, 3)(x))), shared(line)]
    check(set_seeded_weights(fnn.Model([x, line], outputs)), tmp_path)


def test_dropconnect_that_is_an_output_or_read_twice(tmp_path: Path) -> None:
    x = layers.Input((6,))
    seen, twice = layers.Dense(4, dropconnect=0.5)(x), layers.Dense(4, dropconnect=0.5)(x)
    outputs = [seen, layers.ReLU()(seen), layers.ReLU()(twice), layers.Softmax()(twice)]
    for between in (layers.Dropout(0.5), layers.Activation("linear"), layers.Reshape((2, 2))):
        later = between(layers.Dense(4, dropconnect=0.5)(x))
        outputs += [layers.ReLU()(later), layers.Softmax()(later)]
    check(set_seeded_weights(fnn.Model(x, outputs)), tmp_path)


def test_an_input_that_is_an_output_but_for_noise(tmp_path: Path) -> None:
    x = layers.Input((6,))
    check(fnn.Model(x, layers.Dropout(0.5)(x)), tmp_path)


def test_a_loaded_model_and_a_path_as_text(tmp_path: Path) -> None:
    model = set_seeded_weights(convnet())
    model.save(tmp_path / "m.safetensors")
    fnn.load_model(tmp_path / "m.safetensors").export(str(tmp_path / "a.onnx"))
    model.export(tmp_path / "b.onnx")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


class Twice(layers.NumPyLayer):
    def forward(self, x: Any) -> Any:
        return 2 * x

    def backward(self, x: Any, y: Any, dy: Any) -> Any:
        return 2 * dy


def test_python_is_refused_by_the_name_of_the_layer(tmp_path: Path) -> None:
    model = fnn.Sequential([layers.Input((3,)), Twice(name="mine")])
    with pytest.raises(ValueError, match=r"layer 'mine' \(Twice\) can't be exported"):
        model.export(tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("net.safetensors",), r"ends in '\.onnx'"),
        (("net.onnx", "tf_saved_model"), "format must be one of onnx"),
    ],
)
def test_bad_arguments(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    path, *others = arguments
    with pytest.raises(ValueError, match=message):
        convnet().export(tmp_path / path, *others)
    assert not list(tmp_path.iterdir())


def test_bad_input_dtype(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="input_dtype must be one of"):
        convnet().export(tmp_path / "net.onnx", input_dtype="complex64")


def test_a_model_that_is_not_built(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not built"):
        fnn.Sequential([layers.Dense(3)]).export(tmp_path / "net.onnx")


def test_without_onnx(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"pip install 'fastnn\[onnx\]'"):
        convnet().export(tmp_path / "net.onnx")


def test_a_failure_leaves_the_file_that_was_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "net.onnx"
    convnet().export(path)
    before = path.read_bytes()

    def fails(*arguments: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fails)
    with pytest.raises(OSError, match="disk full"):
        set_seeded_weights(convnet()).export(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = set_seeded_weights(convnet())
    model_file.save(model, tmp_path / "m.safetensors", ["cat", "dog", "eel"])
    command = ["export", str(tmp_path / "m.safetensors"), str(tmp_path / "net.onnx")]
    report = tmp_path / "report.json"
    assert main([*command, "--input-dtype", "uint8", "--json", str(report)]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "input pictures: uint8 (batch, 12, 12, 3)",
        "output class: float32 (batch, 3)",
        "classes: cat, dog, eel",
    ]
    assert json.loads(report.read_text()) == {
        "model": command[1],
        "inputs": [["pictures", "uint8", ["batch", 12, 12, 3]]],
        "outputs": [["class", "float32", ["batch", 3]]],
        "class_names": ["cat", "dog", "eel"],
    }
    runtime = session(tmp_path / "net.onnx")
    notes = runtime.get_modelmeta().custom_metadata_map
    assert json.loads(notes["class_names"]) == ["cat", "dog", "eel"]
    pictures = np.random.default_rng(0).integers(0, 256, (4, 12, 12, 3)).astype(np.uint8)
    (found,) = runtime.run(None, {"pictures": pictures})
    np.testing.assert_allclose(found, model.predict(pictures, verbose=0), rtol=1e-5, atol=1e-5)


def test_command_with_texts_and_integers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model_file.save(mixed_model(), tmp_path / "m.safetensors", None)
    assert main(["export", str(tmp_path / "m.safetensors"), str(tmp_path / "net.onnx")]) == 0
    assert capsys.readouterr().out.splitlines()[1:5] == [
        "input words: string (batch, 3)",
        "input ids: int64 (batch, 2)",
        "input size: float32 (batch, 4)",
        "input both: int64 (batch, 1)",
    ]


def test_command_with_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The net takes the table's own units, as it has taken over the scaling."""
    random = np.random.default_rng(0)
    heights = random.normal(170, 8, 80)
    colours = random.choice(["red", "blue"], 80)
    lines = [
        f"{'' if i % 9 == 0 else round(height, 1)},{colour},{int(height > 170)}"
        for i, (height, colour) in enumerate(zip(heights, colours, strict=True))
    ]
    (tmp_path / "t.csv").write_text("\n".join(["height,colour,tall", *lines]))
    saved, made = str(tmp_path / "m.safetensors"), tmp_path / "net.onnx"
    assert main(["train", str(tmp_path / "t.csv"), "--epochs", "2", "--save", saved]) == 0
    capsys.readouterr()
    assert main(["export", saved, str(made)]) == 0
    loaded = model_file.load(saved)
    assert loaded.form is not None
    shown = capsys.readouterr().out.splitlines()
    names = [line.strip() for line in shown[-loaded.form.width :]]
    assert names[1:] == ["height: 1 for a gap", "colour: 1 for 'blue'", "colour: 1 for 'red'"]
    runtime = session(made)
    notes = runtime.get_modelmeta().custom_metadata_map
    assert json.loads(notes["features"]) == names
    rows = np.array([[180, 0, 1, 0], [160, 0, 0, 1], [170, 1, 0, 1]], np.float32)
    (found,) = runtime.run(None, {loaded.model.input_names[0]: rows})
    np.testing.assert_allclose(found, loaded.model.predict(rows, verbose=0), rtol=1e-5, atol=1e-5)


def test_mistakes_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    convnet().save(tmp_path / "m.safetensors")
    saved = tmp_path / "m.safetensors"
    assert "no such" in failure(capsys, "export", tmp_path / "no", tmp_path / "n.onnx").lower()
    assert ".onnx" in failure(capsys, "export", saved, tmp_path / "net.txt")
    text = failure(capsys, "export", saved, tmp_path / "n.onnx", "--input-dtype", "text")
    assert "input_dtype must be one of" in text
