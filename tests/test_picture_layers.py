"""Layers for pictures and signals: shapes, weights, settings, refusals. What they compute is tested
elsewhere."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from picture_examples import MERGING, PICTURES, SIGNALS
from reference.picture_cases import LayerCase, Recorded, cases

import fastnn as fnn
from fastnn import constraints, initializers, layers, utils
from fastnn.layers import Layer, geometry

RECORDED = Recorded()


@pytest.fixture(autouse=True)
def fresh_names() -> Iterator[None]:
    utils.clear_session()
    yield


# --- geometry -----------------------------------------------------------------------------------


def starts(length: int, reach: int, stride: int, padding: str, before: int) -> list[int]:
    """Where windows begin, counted from the first position: by what the words mean."""
    if padding == "valid":
        return [i for i in range(0, length, stride) if i + reach <= length]
    return [i - before for i in range(0, length, stride)]


@settings(deadline=None, max_examples=300)
@given(
    st.integers(1, 40),
    st.integers(1, 9),
    st.integers(1, 5),
    st.sampled_from(["valid", "same", "causal"]),
    st.integers(1, 4),
)
def test_geometry(length: int, window: int, stride: int, padding: str, dilation: int) -> None:
    (axis,) = geometry.axes([length], [window], [stride], padding, [dilation])
    reach = 1 + dilation * (window - 1)
    begins = starts(length, reach, stride, padding, axis.before)
    assert max(axis.windows, 0) == len(begins)
    assert geometry.output_length(length, window, stride, padding, dilation) == axis.windows
    if padding == "valid":
        assert axis.before == axis.after == 0
        return
    # Every window lies within what is padded.
    assert begins[0] == -axis.before
    assert begins[-1] + reach <= length + axis.after
    if padding == "causal":
        # The last tap of the window of position i is position i.
        assert begins[0] + reach - 1 == 0
        assert axis.after == 0
    else:
        # No less would do, and the odd zero is at the end.
        assert axis.before <= axis.after <= axis.before + 1
        if axis.after:
            assert begins[-1] + reach == length + axis.after


def built(case: LayerCase) -> tuple[Layer, tuple[int | None, ...]]:
    layer = getattr(layers, case.layer)(**case.settings)
    shapes = [(None, *shape[1:]) for shape in case.inputs]
    layer.build(shapes if len(shapes) > 1 else shapes[0])
    return layer, layer.compute_output_shape(shapes if len(shapes) > 1 else shapes[0])


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_shapes_are_those_of_keras(case: LayerCase) -> None:
    layer, shape = built(case)
    assert shape == (None, *RECORDED.y(case.name).shape[1:])
    _, gradients = RECORDED.gradients(case.name)
    assert [v.shape for v in layer.trainable_weights] == [dw.shape for dw in gradients]


@settings(deadline=None)
@given(st.data())
def test_convolution_shapes(data: st.DataObject) -> None:
    """Against counting: how often a window of the dilated size fits into the padded picture."""
    upto = lambda high: data.draw(st.integers(1, high))  # noqa: E731
    extents, window = (upto(20), upto(20)), (upto(5), upto(5))
    strides, dilation = (upto(4), upto(4)), (1, 1)
    if upto(2) == 1:
        strides, dilation = (1, 1), (upto(3), upto(3))
    padding = data.draw(st.sampled_from(["valid", "same"]))
    reach = [1 + d * (k - 1) for d, k in zip(dilation, window, strict=True)]
    counted = [
        len(starts(length, size, stride, padding, 0))
        for length, size, stride in zip(extents, reach, strides, strict=True)
    ]
    groups, channels, filters = upto(3), upto(5), upto(5)
    layer = layers.Conv2D(
        groups * filters, window, strides, padding, dilation_rate=dilation, groups=groups
    )
    shape = (None, *extents, groups * channels)
    if 0 in counted:
        with pytest.raises(ValueError, match="does not fit"):
            layer.build(shape)
        return
    layer.build(shape)
    assert layer.compute_output_shape(shape) == (None, *counted, groups * filters)
    assert layer.kernel.shape == (*window, channels, groups * filters)
    if dilation == (1, 1):
        pool = layers.MaxPooling2D(window, strides, padding)
        assert pool.compute_output_shape(shape) == (None, *counted, groups * channels)


def test_attributes_are_tuples() -> None:
    conv = layers.Conv2D(3, 5, padding="SAME")
    assert (conv.kernel_size, conv.strides, conv.dilation_rate) == ((5, 5), (1, 1), (1, 1))
    assert conv.padding == "same"
    pool = layers.AveragePooling2D([3, 2])
    assert (pool.pool_size, pool.strides) == ((3, 2), (3, 2))
    assert layers.Conv1D(3, (5,)).kernel_size == (5,)
    assert layers.ZeroPadding2D((1, 2)).amounts == ((1, 1), (2, 2))
    assert layers.ZeroPadding2D(3).amounts == ((3, 3), (3, 3))
    assert layers.Cropping1D(2).amounts == ((2, 2),)
    assert layers.RandomTranslation(-0.25, (0.5, 0.1)).width_factor == (0.1, 0.5)
    assert layers.RandomTranslation(-0.25, 0).height_factor == (-0.25, 0.25)
    assert layers.RandomContrast(0.5).factor == (0.5, 0.5)


# --- weights ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "paths"),
    [
        (layers.Conv2D(3, 2, name="c"), ["c/kernel", "c/bias"]),
        (layers.DepthwiseConv2D(2, name="d", use_bias=False), ["d/kernel"]),
        (
            layers.SeparableConv2D(3, 2, name="s"),
            ["s/depthwise_kernel", "s/pointwise_kernel", "s/bias"],
        ),
        (layers.GroupNormalization(2, name="g"), ["g/gamma", "g/beta"]),
    ],
)
def test_paths_of_weights(layer: Layer, paths: list[str]) -> None:
    layer.build((None, 5, 6, 4))
    assert [variable.path for variable in layer.weights] == paths


def test_weights_lie_as_matrices() -> None:
    conv = layers.Conv2D(6, (3, 2), groups=2)
    conv.build((None, 5, 6, 4))
    assert conv.kernel.matrix_shape == (3 * 2 * 2, 6)
    depthwise = layers.DepthwiseConv2D((3, 2), depth_multiplier=5)
    depthwise.build((None, 5, 6, 4))
    assert depthwise.kernel.matrix_shape == (3 * 2, 4 * 5)
    value = np.arange(6 * 20, dtype=np.float32).reshape(3, 2, 4, 5)
    depthwise.kernel.assign(value)
    np.testing.assert_array_equal(depthwise.kernel.numpy(), value)


@pytest.mark.parametrize(
    ("make", "fan_in", "fan_out"),
    [
        (lambda i: layers.Conv2D(48, 3, kernel_initializer=i), 9 * 32, 9 * 48),
        (lambda i: layers.Conv2D(48, 3, groups=4, kernel_initializer=i), 9 * 8, 9 * 48),
        (lambda i: layers.DepthwiseConv2D(9, depthwise_initializer=i), 81 * 32, 81 * 1),
    ],
)
def test_fans_of_a_window(make: Callable[..., Any], fan_in: int, fan_out: int) -> None:
    """As Keras's ``compute_fans``: channels times the receptive field."""
    for initializer, variance in (
        (initializers.HeNormal(1), 2 / fan_in),
        (initializers.GlorotUniform(1), 2 / (fan_in + fan_out)),
    ):
        layer = make(initializer)
        layer.build((None, 20, 20, 32))
        assert layer.kernel.numpy().var() == pytest.approx(variance, rel=0.1)


def test_orthogonal_filters() -> None:
    layer = layers.Conv2D(7, 3, kernel_initializer="orthogonal")
    layer.build((None, 5, 5, 2))
    matrix = layer.kernel.numpy().reshape(-1, 7)
    np.testing.assert_allclose(matrix.T @ matrix, np.eye(7), atol=1e-6)


# --- models -------------------------------------------------------------------------------------


def test_every_layer_in_a_summary() -> None:
    for examples, shape in ((PICTURES, (7, 8, 4)), (SIGNALS, (9, 4))):
        x = layers.Input(shape)
        outputs = []
        for example in examples:
            layer = type(example).from_config(example.get_config())
            outputs.append(layers.Flatten()(layer(x)))
        model = fnn.Model(x, layers.Concatenate()(outputs))
        lines: list[str] = []
        model.summary(print_fn=lines.append)
        text = "\n".join(lines)
        for example in examples:
            assert f"{example.name} ({type(example).__name__})" in text
        assert fnn.Model.from_config(model.get_config()).count_params() == model.count_params()


def test_a_summary_of_a_stack() -> None:
    """Without what computes it."""
    model = fnn.Sequential(
        [
            layers.Conv2D(8, 3, padding="same", activation="relu"),
            layers.BatchNormalization(),
            layers.MaxPooling2D(),
            layers.Residual([layers.Conv2D(16, 3, 2, "same"), layers.Conv2D(16, 3, 1, "same")]),
            layers.GlobalAveragePooling2D(),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.build((None, 29, 28, 1))
    lines: list[str] = []
    model.summary(print_fn=lines.append)
    text = "\n".join(lines)
    for shape in ("(None, 29, 28, 8)", "(None, 14, 14, 8)", "(None, 7, 7, 16)", "(None, 10)"):
        assert shape in text
    # kernel and bias; four of a normalization; two convolutions and the projection; Dense.
    counted = 80 + 32 + (72 * 16 + 16) + (144 * 16 + 16) + 8 * 16 + 170
    assert model.count_params() == counted


def test_a_model_survives_a_file_and_a_copy(tmp_path: Path) -> None:
    x = layers.Input((7, 8, 4))
    outputs = [layers.Flatten()(type(e).from_config(e.get_config())(x)) for e in PICTURES]
    outputs.append(layers.Flatten()(layers.LayerNormalization([1, 2, 3])(x)))
    model = fnn.Model(x, layers.Concatenate()(outputs))
    model.save(tmp_path / "model.safetensors")
    weights = model.get_weights()
    assert {w.ndim for w in weights} == {1, 3, 4}
    for again in (fnn.load_model(tmp_path / "model.safetensors"), copy.deepcopy(model)):
        for old, new in zip(weights, again.get_weights(), strict=True):
            np.testing.assert_array_equal(new, old)


@pytest.mark.parametrize("layer", MERGING, ids=lambda layer: layer.name)
def test_merging_shapes(layer: Layer) -> None:
    a, b, c = (layers.Input((3, 4, 5)), layers.Input((3, 4, 5)), layers.Input((3, 4, 1)))
    assert layer([a, b]).shape == (None, 3, 4, 5)
    with pytest.raises(ValueError, match=rf"'{layer.name}'.*one shape.*4, 5.*4, 1"):
        layer([a, c])


# --- residual -----------------------------------------------------------------------------------


def test_residual_without_a_projection() -> None:
    layer = layers.Residual([layers.Conv2D(4, 3, padding="same"), layers.ReLU()])
    assert layer(layers.Input((5, 6, 4))).shape == (None, 5, 6, 4)
    assert layer.projection is None


@pytest.mark.parametrize(
    ("inner", "shape", "kind", "strides"),
    [
        ([layers.Conv2D(8, 3, 2, "same")], (9, 7, 4), layers.Conv2D, (2, 2)),
        ([layers.Conv2D(8, 1)], (9, 7, 4), layers.Conv2D, (1, 1)),
        (
            [layers.Conv2D(8, 3, (2, 1), "same"), layers.MaxPooling2D(3, (2, 3), "same")],
            (9, 8, 8), layers.Conv2D, (4, 3),
        ),
        ([layers.Residual([layers.Conv1D(8, 3, 2, "causal")])], (9, 4), layers.Conv1D, (2,)),
    ],
)  # fmt: skip
def test_residual_with_a_projection(
    inner: list[Layer], shape: tuple[int, ...], kind: type, strides: tuple[int, ...]
) -> None:
    layer = layers.Residual(inner, name="r")
    x = layers.Input(shape)
    projected = layer(x)
    assert type(layer.projection) is kind
    assert layer.projection.name == "r_projection"
    assert layer.projection.strides == strides
    assert layer.projection.bias is None
    assert layer.projection.compute_output_shape(x.shape) == projected.shape
    again = layers.Residual.from_config(layer.get_config())
    assert again(layers.Input(shape)).shape == projected.shape
    assert [w.shape for w in again.weights] == [w.shape for w in layer.weights]


@pytest.mark.parametrize(
    "inner",
    [
        [layers.Conv2D(4, 3)],  # as many channels, but smaller
        [layers.Conv2D(8, 3, 2)],  # valid: 3 of 7, not 4
        [layers.GlobalAveragePooling2D()],
        [layers.UpSampling2D()],
    ],
)
def test_residual_refusals(inner: list[Layer]) -> None:
    with pytest.raises(ValueError, match=r"'r' \(Residual\) can't add.*\(None, 7, 7, 4\)"):
        layers.Residual(inner, name="r")(layers.Input((7, 7, 4)))


# --- names and arguments ------------------------------------------------------------------------

ORDER = {
    "Conv2D": "filters kernel_size strides padding data_format dilation_rate groups activation "
    "use_bias kernel_initializer bias_initializer kernel_regularizer bias_regularizer "
    "activity_regularizer kernel_constraint bias_constraint",
    "DepthwiseConv2D": "kernel_size strides padding depth_multiplier data_format dilation_rate "
    "activation use_bias depthwise_initializer bias_initializer depthwise_regularizer "
    "bias_regularizer activity_regularizer depthwise_constraint bias_constraint",
    "SeparableConv2D": "filters kernel_size strides padding data_format dilation_rate "
    "depth_multiplier activation use_bias depthwise_initializer pointwise_initializer "
    "bias_initializer depthwise_regularizer pointwise_regularizer bias_regularizer "
    "activity_regularizer depthwise_constraint pointwise_constraint bias_constraint",
    "MaxPooling2D": "pool_size strides padding data_format name",
    "AveragePooling2D": "pool_size strides padding data_format name",
    "GlobalMaxPooling2D": "data_format keepdims",
    "ZeroPadding2D": "padding data_format",
    "Cropping1D": "cropping",
    "Cropping2D": "cropping data_format",
    "UpSampling1D": "size",
    "UpSampling2D": "size data_format interpolation",
    "Permute": "dims",
    "SpatialDropout1D": "rate seed",
    "SpatialDropout2D": "rate data_format seed",
    "GroupNormalization": "groups axis epsilon center scale beta_initializer gamma_initializer "
    "beta_regularizer gamma_regularizer beta_constraint gamma_constraint",
    "RandomFlip": "mode seed data_format",
    "RandomTranslation": "height_factor width_factor fill_mode interpolation seed fill_value "
    "data_format",
    "RandomRotation": "factor fill_mode interpolation seed fill_value data_format",
    "RandomZoom": "height_factor width_factor fill_mode interpolation seed fill_value data_format",
    "RandomCrop": "height width seed data_format name",
    "RandomContrast": "factor value_range seed",
    "RandomBrightness": "factor value_range seed",
}
"""Positional arguments in Keras's order, by class."""


@pytest.mark.parametrize("name", ORDER)
def test_arguments_come_in_the_order_of_keras(name: str) -> None:
    parameters = inspect.signature(getattr(layers, name)).parameters.values()
    positional = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert positional == ORDER[name].split()


def test_other_names() -> None:
    assert layers.MaxPool2D is layers.MaxPooling2D
    assert layers.AvgPool1D is layers.AveragePooling1D
    assert layers.GlobalAvgPool2D is layers.GlobalAveragePooling2D
    assert layers.GlobalMaxPool1D is layers.GlobalMaxPooling1D
    assert layers.Convolution2D is layers.Conv2D
    assert layers.SeparableConvolution1D is layers.SeparableConv1D


def test_automatic_names_are_those_of_keras() -> None:
    made = [
        layers.Conv2D(1, 1), layers.MaxPooling2D(), layers.GlobalAveragePooling2D(),
        layers.DepthwiseConv2D(1), layers.SeparableConv1D(1, 1), layers.UpSampling2D(),
        layers.ZeroPadding2D(), layers.SpatialDropout2D(0.5),
    ]  # fmt: skip
    assert [layer.name for layer in made] == [
        "conv2d", "max_pooling2d", "global_average_pooling2d", "depthwise_conv2d",
        "separable_conv1d", "up_sampling2d", "zero_padding2d", "spatial_dropout2d",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "layer", [*PICTURES, *SIGNALS, *MERGING], ids=lambda layer: type(layer).__name__
)
def test_a_configuration_has_every_argument(layer: Layer) -> None:
    """That it makes an equal layer is tested with those of all others."""
    assert layer.get_config().keys() == inspect.signature(type(layer)).parameters.keys()


# --- refusals -----------------------------------------------------------------------------------

X = layers.Input((7, 8, 4), name="x")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: layers.Conv2D(0, 3), ValueError, "Conv2D: filters.*0"),
        (lambda: layers.Conv2D(3, 0), ValueError, "Conv2D: kernel_size.*0"),
        (lambda: layers.Conv2D(3, "3x3"), TypeError, "Conv2D: kernel_size.*'3x3'"),
        (lambda: layers.Conv2D(3, (3, 3, 3)), ValueError, r"kernel_size.*2, got \(3, 3, 3\)"),
        (lambda: layers.Conv2D(3, 3, 0), ValueError, "Conv2D: strides.*0"),
        (lambda: layers.Conv2D(3, 3, 2.5), TypeError, "Conv2D: strides.*2.5"),
        (lambda: layers.Conv2D(3, 3, 2, dilation_rate=2), ValueError, "strides.*dilation_rate"),
        (lambda: layers.Conv2D(3, 3, padding="causal"), ValueError, "padding.*same.*'causal'"),
        (lambda: layers.Conv2D(3, 3, padding=1), ValueError, "padding.*got 1"),
        (lambda: layers.Conv2D(4, 3, groups=3), ValueError, "filters=4.*groups=3"),
        (lambda: layers.Conv2D(3, 3, groups=3, name="c")(X), ValueError, "'c'.*groups=3.*8, 4"),
        (
            lambda: layers.Conv2D(3, 3, data_format="channels_first"),
            ValueError,
            "Conv2D: data_format.*channels_last.*channels_first",
        ),
        (lambda: layers.Conv2D(3, 9, name="c")(X), ValueError, r"'c'.*\(9, 9\).*\(None, 7, 8, 4\)"),
        (
            lambda: layers.Conv2D(3, 3, name="c")(layers.Input((28, 28))),
            ValueError,
            r"'c'.*height, width, channels.*\(None, 28, 28\).*Reshape",
        ),
        (lambda: layers.Conv2D(3, 3, kernel_initializer="LSUV"), ValueError, "LSUV.*Dense"),
        (
            lambda: layers.Conv2D(3, 3, kernel_constraint=constraints.MaxNorm(2), name="c")(X),
            ValueError,
            r"'c/kernel': MaxNorm .*axis 0 .*\[0, 1, 2\]",
        ),
        (lambda: layers.Conv1D(3, 3, name="c")(X), ValueError, r"'c'.*steps, channels.*7, 8, 4"),
        (lambda: layers.DepthwiseConv2D(3, depth_multiplier=0), ValueError, "depth_multiplier.*0"),
        (lambda: layers.MaxPooling2D(0), ValueError, "pool_size.*0"),
        (lambda: layers.MaxPooling2D(8, name="p")(X), ValueError, r"'p'.*\(8, 8\) does not fit"),
        (
            lambda: layers.Conv2D(3, 1, dilation_rate=10**20, name="c")(X),
            ValueError,
            r"'c'.*reach over 100000000000000000000 positions",
        ),
        (
            lambda: layers.MaxPooling2D(2, 2**31, "same", name="p")(X),
            ValueError,
            r"'p'.*reach over 2147483648 positions",
        ),
        (lambda: layers.AveragePooling2D(), TypeError, "pool_size"),
        (lambda: layers.GlobalMaxPooling2D(keepdims=1), TypeError, "keepdims.*1"),
        (lambda: layers.ZeroPadding2D((1, 2, 3)), ValueError, r"padding.*\(1, 2, 3\)"),
        (lambda: layers.ZeroPadding2D(-1), ValueError, "padding.*-1"),
        (lambda: layers.Cropping2D(4, name="c")(X), ValueError, "'c'.*leaves nothing.*7, 8, 4"),
        (lambda: layers.UpSampling2D(2, None, "bicubic"), ValueError, "nearest.*'bicubic'"),
        (lambda: layers.Permute((0, 1)), ValueError, r"dims.*\(0, 1\)"),
        (lambda: layers.Permute(1), TypeError, "dims.*1"),
        (lambda: layers.Permute((2, 1), name="p")(X), ValueError, "'p'.*rank 3.*7, 8, 4"),
        (lambda: layers.SpatialDropout1D(0.5, name="s")(X), ValueError, "'s'.*steps.*7, 8, 4"),
        (lambda: layers.GroupNormalization(0), ValueError, "groups.*0"),
        (lambda: layers.GroupNormalization(name="g")(X), ValueError, "'g'.*groups=32.*7, 8, 4"),
        (lambda: layers.BatchNormalization(4, name="b")(X), ValueError, "'b'.*axis 4.*7, 8, 4"),
        (lambda: layers.LayerNormalization([1], name="n")(X), ValueError, "'n'.*last axes.*1"),
        (lambda: layers.LayerNormalization([]), ValueError, "axis"),
        (lambda: layers.Subtract(name="s")([X, X, X]), ValueError, "'s'.*two.*3"),
        (lambda: layers.RandomFlip("both"), ValueError, "mode.*'both'"),
        (lambda: layers.RandomTranslation(2, 0), ValueError, "height_factor.*2"),
        (lambda: layers.RandomTranslation(0.1, (0, 1, 2)), ValueError, "width_factor.*two"),
        (lambda: layers.RandomRotation(0.1, "mirror"), ValueError, "fill_mode.*'mirror'"),
        (lambda: layers.RandomZoom((-1, 0.5)), ValueError, "height_factor.*-1"),
        (lambda: layers.RandomContrast(-0.5), ValueError, "factor.*-0.5"),
        (lambda: layers.RandomBrightness(0.5, (1, 0)), ValueError, r"value_range.*\(1, 0\)"),
        (lambda: layers.RandomBrightness(0.5, 255), ValueError, "value_range.*255"),
        (lambda: layers.RandomCrop(8, 8, name="c")(X), ValueError, r"'c'.*\(8, 8\).*7, 8, 4"),
        (lambda: layers.RandomFlip(seed=-1), ValueError, "RandomFlip: seed.*-1"),
    ],
)
def test_bad_arguments_are_refused(
    make: Callable[[], Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    "layer",
    [
        layers.Conv2D(4, 3, groups=2, name="l"),
        layers.DepthwiseConv2D(3, name="l"),
        layers.SeparableConv2D(3, 3, name="l"),
    ],
)
def test_other_channels_than_built_for(layer: Layer) -> None:
    layer.build((None, 5, 5, 4))
    assert layer.compute_output_shape((None, 9, 9, 4))[:3] == (None, 7, 7)
    with pytest.raises(ValueError, match=r"'l'.*built for .* 4 channels, got \(None, 5, 5, 6\)"):
        layer(layers.Input((5, 5, 6)))
