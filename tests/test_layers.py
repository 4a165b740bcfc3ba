"""Layers: shapes, settings, weights, names, configurations, refusals."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from picture_examples import MERGING, PICTURES, SIGNALS

from fastnn import activations, initializers, layers, utils
from fastnn.activations import Activation
from fastnn.layers import Layer

SHAPES = st.lists(st.integers(1, 9), min_size=1, max_size=4).map(tuple)


@pytest.fixture(autouse=True)
def fresh_names() -> Iterator[None]:
    utils.clear_session()
    yield


# --- shapes -------------------------------------------------------------------------------------


@settings(deadline=None)
@given(SHAPES)
def test_flatten(shape: tuple[int, ...]) -> None:
    assert layers.Flatten()(layers.Input(shape)).shape == (None, math.prod(shape))


@settings(deadline=None)
@given(SHAPES, st.randoms(use_true_random=False), st.booleans())
def test_reshape(shape: tuple[int, ...], random: Any, infer: bool) -> None:
    target = list(shape)
    random.shuffle(target)
    asked = list(target)
    if infer:
        asked[random.randrange(len(asked))] = -1
    assert layers.Reshape(tuple(asked))(layers.Input(shape)).shape == (None, *target)


@settings(deadline=None)
@given(SHAPES)
def test_layers_that_keep_the_shape(shape: tuple[int, ...]) -> None:
    inputs = layers.Input(shape)
    for layer in (
        layers.Rescaling(2.0),
        layers.Activation("tanh"),
        layers.ReLU(),
        layers.LeakyReLU(),
        layers.ELU(),
    ):
        assert layer(inputs).shape == (None, *shape)
        assert layer.weights == []
    assert layers.Add()([inputs, inputs, inputs]).shape == (None, *shape)


@settings(deadline=None)
@given(st.lists(st.integers(1, 50), min_size=2, max_size=5))
def test_concatenate(widths: list[int]) -> None:
    inputs = [layers.Input((width,)) for width in widths]
    assert layers.Concatenate()(inputs).shape == (None, sum(widths))


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.booleans())
def test_dense(n_in: int, units: int, use_bias: bool) -> None:
    layer = layers.Dense(units, use_bias=use_bias)
    assert layer(layers.Input((n_in,))).shape == (None, units)
    assert layer.kernel.shape == (n_in, units)
    assert layer.count_params() == n_in * units + use_bias * units
    assert [w.shape for w in layer.get_weights()] == [(n_in, units), (units,)][: 1 + use_bias]
    assert (layer.bias is None) is not use_bias


def test_dense_defaults_are_those_of_keras() -> None:
    layer = layers.Dense(400)
    layer.build((None, 600))
    kernel, bias = layer.get_weights()
    limit = math.sqrt(6 / 1000)
    assert 0.99 * limit < np.abs(kernel).max() <= limit
    assert not bias.any()
    assert layer.activation == activations.linear


def test_dense_uses_its_initializers() -> None:
    layer = layers.Dense(
        3,
        kernel_initializer=lambda shape: np.arange(math.prod(shape)).reshape(shape),
        bias_initializer=initializers.Constant(2.0),
    )
    layer.build((None, 2))
    kernel, bias = layer.get_weights()
    np.testing.assert_array_equal(kernel, [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(bias, [2, 2, 2])


# --- activations --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "wanted"),
    [
        (layers.Activation(None), ("linear", (0, 0, 0))),
        (layers.Activation("swish"), ("silu", (0, 0, 0))),
        (layers.Activation("leaky_relu"), ("leaky_relu", (0.2, 0, 0))),
        (layers.Activation("elu"), ("elu", (1.0, 0, 0))),
        (layers.Activation(activations.gelu_tanh), ("gelu_tanh", (0, 0, 0))),
        (layers.ReLU(), ("relu", (0, 0, 0))),
        (layers.ReLU(6), ("relu_general", (0.0, 6.0, 0.0))),
        (layers.ReLU(None, 0.1, 0.5), ("relu_general", (0.1, math.inf, 0.5))),
        (layers.LeakyReLU(), ("leaky_relu", (0.3, 0, 0))),
        (layers.LeakyReLU(0.01), ("leaky_relu", (0.01, 0, 0))),
        (layers.ELU(0.5), ("elu", (0.5, 0, 0))),
        (layers.Softmax(), ("softmax", (0, 0, 0))),
    ],
    ids=lambda value: value.name if isinstance(value, Layer) else None,
)
def test_activation_of_a_layer(layer: Any, wanted: tuple[str, tuple[float, ...]]) -> None:
    assert layer.activation == Activation(*wanted)  # type: ignore[arg-type]


CONTRACT = (
    "linear relu leaky_relu elu selu gelu silu tanh sigmoid hard_sigmoid softplus softsign softmax"
)


@pytest.mark.parametrize("name", CONTRACT.split())
def test_activations_by_name(name: str) -> None:
    assert activations.get(name).kind == name
    assert activations.get(name) == getattr(activations, name)
    assert layers.Dense(3, activation=name).activation == activations.get(name)
    assert activations.serialize(activations.get(name)) == name


@settings(deadline=None)
@given(
    st.sampled_from(activations.KINDS),
    st.tuples(*[st.floats(allow_nan=False, min_value=-1e6)] * 3),
)
def test_an_activation_survives_its_configuration(
    kind: str, params: tuple[float, float, float]
) -> None:
    activation = Activation(kind, params)
    assert activations.get(activations.serialize(activation)) == activation


# --- names --------------------------------------------------------------------------------------


def test_automatic_names_are_those_of_keras() -> None:
    made = [layers.Dense(1), layers.Dense(1), layers.LeakyReLU(), layers.ReLU(), layers.ELU()]
    assert [layer.name for layer in made] == ["dense", "dense_1", "leaky_re_lu", "re_lu", "elu"]
    assert [layers.Input((1,)).name, layers.Input((1,)).name] == ["input_layer", "input_layer_1"]
    assert layers.Dense(1, name="mine").name == "mine"
    assert layers.Dense(1).name == "dense_2"


def test_paths_of_weights() -> None:
    layer = layers.Dense(2, name="head")
    layer.build((None, 3))
    assert [v.path for v in layer.weights] == ["head/kernel", "head/bias"]
    assert [v.name for v in layer.weights] == ["kernel", "bias"]


# --- build, weights -----------------------------------------------------------------------------


def test_build_is_done_once() -> None:
    layer = layers.Dense(2)
    layer.build((None, 3))
    kernel = layer.kernel
    layer.build((None, 3))
    layer(layers.Input((3,)))
    assert layer.kernel is kernel
    with pytest.raises(ValueError, match=r"'dense'.*built for.*\(None, ..., 3\), got \(None, 4\)"):
        layer(layers.Input((4,)))


def test_a_failed_build_leaves_the_layer_unbuilt() -> None:
    layer = layers.Dense(2, bias_initializer=lambda shape: np.zeros(7))
    with pytest.raises(ValueError, match=r"'dense/bias'.*\(2,\).*\(7,\)"):
        layer.build((None, 3))
    assert not layer.built
    assert layer.weights == []
    layer.bias_initializer = initializers.Zeros()
    layer.build((None, 5))
    assert [w.shape for w in layer.get_weights()] == [(5, 2), (2,)]


def test_set_weights() -> None:
    layer = layers.Dense(2)
    layer.build((None, 3))
    kernel = np.arange(6, dtype=np.float64).reshape(3, 2)
    layer.set_weights([kernel, [7, 8]])
    np.testing.assert_array_equal(layer.kernel.numpy(), kernel)
    for wrong, message in [
        ([kernel], "2 weights, got a list of 1"),
        ([kernel + 1, np.zeros(3)], r"'dense/bias'.*\(2,\).*\(3,\)"),
        ([kernel + 1, ["a", "b"]], "real numbers"),
    ]:
        with pytest.raises((ValueError, TypeError), match=message):
            layer.set_weights(wrong)
        np.testing.assert_array_equal(layer.kernel.numpy(), kernel)


def test_trainable() -> None:
    layer = layers.Dense(2)
    layer.build((None, 3))
    assert layer.trainable_weights == layer.weights
    layer.trainable = False
    assert layer.trainable_weights == []
    assert layer.non_trainable_weights == layer.weights
    assert not layer.kernel.trainable
    layer.trainable = True
    assert layer.non_trainable_weights == []
    assert layer.kernel.trainable
    frozen = layers.Dense(2, trainable=False)
    frozen.build((None, 3))
    assert not frozen.kernel.trainable


def test_weights_that_are_not_trained_come_last_and_stay_so() -> None:
    class Moving(Layer):
        def create_weights(self, input_shape: Any) -> None:
            self.add_weight((3,), initializers.Zeros(), "mean", trainable=False)
            self.add_weight((3,), initializers.Ones(), "gamma")

    layer = Moving()
    layer.build((None, 3))
    assert [v.name for v in layer.weights] == ["gamma", "mean"]
    layer.trainable = False
    layer.trainable = True
    assert [v.name for v in layer.trainable_weights] == ["gamma"]
    assert [v.name for v in layer.non_trainable_weights] == ["mean"]


# --- configurations -----------------------------------------------------------------------------

EXAMPLES: list[Layer] = [
    layers.Activation(Activation("relu_general", (0.0, math.inf, 1.0)), name="a"),
    layers.Add(name="b"),
    layers.Concatenate(1, name="c"),
    layers.Dense(
        3,
        Activation("leaky_relu", (0.1, 0.0, 0.0)),
        False,
        "he_normal",
        initializers.Constant(1),
        name="d",
        trainable=False,
    ),
    layers.ELU(0.5, name="e"),
    layers.Flatten(name="f"),
    layers.InputLayer((3, 2), name="g"),
    layers.LeakyReLU(0.2, name="h"),
    layers.ReLU(6.0, 0.1, 0.2, name="i"),
    layers.Rescaling(1 / 255, -0.5, name="j"),
    layers.Reshape((2, -1), name="k"),
    layers.Softmax(name="l"),
    layers.Residual([layers.ReLU(name="m1"), layers.Dense(3, name="m2")], name="m"),
    layers.BatchNormalization(1, 0.9, 0.01, False, True, "ones", name="o", trainable=False),
    layers.LayerNormalization(-1, 0.01, True, False, gamma_initializer="he_normal", name="n"),
    layers.Dropout(0.25, 2**63 - 1, name="p"),
    layers.GaussianNoise(0.5, name="q"),
    layers.CategoryEncoding(4, "count", name="r"),
    layers.Discretization([0.0, 1.5], output_mode="one_hot", name="s"),
    layers.Embedding(5, 3, "zeros", "l2", "max_norm", name="t", trainable=False),
    layers.IntegerLookup(9, 2, 0, -5, [7, 8], output_mode="multi_hot", name="u"),
    layers.Normalization((1, -1), [[1.0, 2.0]], [[3.0, 4.0]], True, name="v"),
    layers.StringLookup(9, 0, "", "?", ["a", "b"], name="w"),
    *PICTURES,
    *SIGNALS,
    *MERGING,
]


@pytest.mark.parametrize("layer", EXAMPLES, ids=lambda layer: type(layer).__name__)
def test_a_layer_survives_its_configuration(layer: Layer) -> None:
    import json

    config = json.loads(json.dumps(layer.get_config(), allow_nan=False))
    again = type(layer).from_config(config)
    assert again.get_config() == layer.get_config()
    assert again.name == layer.name
    assert again.trainable == layer.trainable
    assert getattr(again, "activation", None) == getattr(layer, "activation", None)


def test_every_layer_can_be_loaded() -> None:
    assert {type(layer) for layer in EXAMPLES} == set(layers.CLASSES.values())
    public = {getattr(layers, name) for name in layers.__all__}
    public -= {Layer, layers.NumPyLayer, layers.Input}
    assert public == set(layers.CLASSES.values())


# --- refusals -----------------------------------------------------------------------------------

X = layers.Input((3,), name="x")
IMAGE = layers.Input((4, 5), name="image")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: layers.Dense(0), ValueError, "Dense: units.*0"),
        (lambda: layers.Dense(2.5), TypeError, "Dense: units.*2.5"),
        (lambda: layers.Dense(True), TypeError, "Dense: units.*True"),
        (lambda: layers.Dense(3, use_bias="no"), TypeError, "use_bias.*'no'"),
        (lambda: layers.Dense(3, "relux"), ValueError, "'relux'.*relu"),
        (lambda: layers.Dense(3, 7), TypeError, "activation.*7"),
        (lambda: layers.Dense(3, kernel_initializer="he"), ValueError, "'he'.*he_normal"),
        (lambda: layers.Dense(3, name=""), ValueError, "name"),
        (lambda: layers.Dense(3, name="a/b"), ValueError, "'a/b'"),
        (lambda: layers.Dense(3, name=3), TypeError, "name.*3"),
        (lambda: layers.Dense(3, trainable=1), TypeError, "trainable.*1"),
        (lambda: layers.Dense(3, name="d").build((None,)), ValueError, r"'d'.*features.*\(None,\)"),
        (lambda: layers.Dense(3, name="d")(np.ones((2, 3))), TypeError, r"'d'.*ndarray.*\(2, 3\)"),
        (lambda: layers.Dense(3, name="d")([X]), TypeError, "'d'.*one.*list of 1"),
        (lambda: layers.Dense(3, name="d").build(784), TypeError, r"'d'.*\(None, 784\).*784"),
        (lambda: layers.Dense(3, name="d").build((None, None)), TypeError, "'d'.*None"),
        (lambda: layers.Dense(3, name="d").build(()), ValueError, "'d'.*batch"),
        (lambda: layers.Dense(3, name="d").count_params(), ValueError, "'d' is not built"),
        (lambda: layers.Input(784), TypeError, r"\(784,\).*784"),
        (lambda: layers.Input((None,)), TypeError, "None"),
        (lambda: layers.Input((0,)), ValueError, "0"),
        (lambda: layers.Input("28"), TypeError, "'28'"),
        (lambda: layers.InputLayer((3,), name="i")(X), TypeError, "'i'"),
        (lambda: layers.Add(name="s")(X), TypeError, "'s'.*list"),
        (lambda: layers.Add(name="s")([X]), ValueError, "'s'.*two.*1"),
        (lambda: layers.Add(name="s")([X, IMAGE]), ValueError, r"'s'.*\(None, 3\).*\(None, 4, 5\)"),
        (lambda: layers.Add(name="s")([X, 3]), TypeError, "'s'.*int"),
        (lambda: layers.Concatenate(0), ValueError, "Concatenate: axis.*batch"),
        (lambda: layers.Concatenate(2, name="c")([X, X]), ValueError, r"'c'.*axis 2.*\(None, 3\)"),
        (lambda: layers.Concatenate(name="c")([X, IMAGE]), ValueError, r"'c'.*axis -1.*4, 5"),
        (lambda: layers.Reshape((2, -2)), ValueError, "target_shape.*-2"),
        (lambda: layers.Reshape((2, 0)), ValueError, "target_shape.*0"),
        (lambda: layers.Reshape((-1, -1)), ValueError, "at most one -1"),
        (lambda: layers.Reshape(4), TypeError, "target_shape.*4"),
        (lambda: layers.Reshape((2,), name="r")(X), ValueError, r"'r'.*\(2,\).*\(None, 3\)"),
        (lambda: layers.Reshape((2, -1), name="r")(X), ValueError, "'r'.*3 values"),
        (lambda: layers.Softmax(0), ValueError, "axis.*0"),
        (lambda: layers.Softmax(3, name="p")(IMAGE), ValueError, r"'p'.*3.*\(None, 4, 5\)"),
        (lambda: layers.Softmax(name="p").build((None,)), ValueError, r"'p'.*\(None,\)"),
        (
            lambda: layers.Activation("softmax", name="p").build((None,)),
            ValueError,
            r"'p'.*classes.*\(None,\)",
        ),
        (lambda: layers.ReLU(-1.0), ValueError, "max_value.*-1"),
        (lambda: layers.ReLU(negative_slope=-1), ValueError, "negative_slope.*-1"),
        (lambda: layers.LeakyReLU(None), TypeError, "negative_slope.*None"),
        (lambda: layers.Rescaling(math.inf), ValueError, "scale.*inf"),
        (lambda: layers.Rescaling("1/255"), TypeError, "scale.*'1/255'"),
        (lambda: layers.Rescaling(10**400), ValueError, "scale"),
        (lambda: Activation("cube"), ValueError, "'cube'"),
        (lambda: activations.get({"kind": "elu"}), ValueError, "kind"),
        (lambda: activations.get({"kind": "elu", "params": [1]}), ValueError, "3 numbers"),
        (lambda: activations.get({"kind": [], "params": [1, 0, 0]}), ValueError, "kind"),
    ],
)
def test_bad_arguments_are_refused(
    make: Callable[[], Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make()
