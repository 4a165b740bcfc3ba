"""BatchNormalization and LayerNormalization in models: modes, statistics, fusion, files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nets import assert_same_bits, blobs

import fastnn as fnn
from fastnn import layers, optimizers, regularizers, utils
from fastnn.kernels.layout import pack

LAYERS = [layers.BatchNormalization, layers.LayerNormalization]


@pytest.fixture(autouse=True)
def fresh_names() -> Iterator[None]:
    utils.clear_session()
    yield


def normalized(layer: Any, width: int = 20, activation: str = "relu") -> Any:
    """A compiled classifier, 9-``width``-4, its hidden layer normalized."""
    model = fnn.Sequential(
        [
            layers.Input((9,)),
            layers.Dense(width, name="hidden"),
            layer,
            layers.Activation(activation),
            layers.Dense(4, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def program_of(model: Any, rows: int = 32) -> list[str]:
    """The ops of a training step, a line each; "wait" stands before those that wait."""
    with model._executables.lend(rows, model._objectives(), model._updates(), {}) as executable:
        return str(executable.program).split("\n")[1:]


# Weights and settings


def test_weights_in_keras_order() -> None:
    layer = layers.BatchNormalization(name="n")
    layer.build((None, 5))
    assert [v.path for v in layer.weights] == [
        "n/gamma", "n/beta", "n/moving_mean", "n/moving_variance",
    ]  # fmt: skip
    assert layer.trainable_weights == layer.weights[:2]
    assert layer.non_trainable_weights == layer.weights[2:]
    assert layer.count_params() == 20
    for values, wanted in zip(layer.get_weights(), (1, 0, 0, 1), strict=True):
        np.testing.assert_array_equal(values, np.full(5, wanted, np.float32))
    layer = layers.LayerNormalization(name="m")
    layer.build((None, 5))
    assert [v.path for v in layer.weights] == ["m/gamma", "m/beta"]


@pytest.mark.parametrize("make", LAYERS)
def test_weights_that_are_left_out(make: Callable[..., Any]) -> None:
    layer = make(center=False, scale=False)
    layer.build((None, 5))
    assert layer.trainable_weights == []
    assert (layer.gamma, layer.beta) == (None, None)
    only_beta = make(scale=False, beta_initializer="ones")
    only_beta.build((None, 5))
    assert only_beta.beta.numpy().tolist() == [1.0] * 5


def test_the_summary_counts_moving_statistics_as_not_trainable() -> None:
    lines: list[str] = []
    normalized(layers.BatchNormalization()).summary(print_fn=lines.append)
    text = "\n".join(lines)
    assert "batch_normalization (BatchNormalization)" in text
    assert "Trainable params: 324 " in text  # 9 * 20 + 20 + 2 * 20 + 20 * 4 + 4
    assert "Non-trainable params: 40 " in text


@pytest.mark.parametrize("make", LAYERS)
@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"axis": 0}, ValueError, "Normalization: axis .* 0, the batch"),
        ({"axis": "last"}, TypeError, "Normalization: axis .*'last'"),
        ({"epsilon": 0.0}, ValueError, "Normalization: epsilon .* > 0, got 0.0"),
        ({"epsilon": "small"}, TypeError, "Normalization: epsilon .*'small'"),
        ({"center": 1}, TypeError, "Normalization: center .*1"),
        ({"scale": None}, TypeError, "Normalization: scale .*None"),
        ({"gamma_initializer": "one_s"}, ValueError, "'one_s'"),
        ({"name": "a/b"}, ValueError, "'a/b'"),
    ],
)
def test_bad_settings(
    make: Callable[..., Any], settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make(**settings)


@pytest.mark.parametrize("momentum", [-0.1, 1.5, float("nan")])
def test_a_momentum_out_of_range(momentum: float) -> None:
    with pytest.raises(ValueError, match="BatchNormalization: momentum"):
        layers.BatchNormalization(momentum=momentum)


@pytest.mark.parametrize("make", LAYERS)
def test_bad_shapes(make: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match=r"'n' .*axis 3 .*\(None, 4, 5\)"):
        make(axis=3, name="n")(layers.Input((4, 5)))
    layer = make(name="built")
    layer.build((None, 5))
    with pytest.raises(ValueError, match=r"'built' .* built for .*\(5,\), got .*\(None, 6\)"):
        layer(layers.Input((6,)))


@pytest.mark.parametrize("make", LAYERS)
def test_penalties_and_constraints_of_gamma_and_beta(make: Callable[..., Any]) -> None:
    """One step of SGD at rate 1: the penalty 0.25 gamma^2 takes gamma / 2 from a gamma of 1."""
    x, y = blobs(50)
    gammas, betas = [], []
    for settings in (
        {},
        {"gamma_regularizer": regularizers.L2(0.25), "beta_constraint": "non_neg"},
    ):
        utils.set_random_seed(5)
        layer = make(**settings)
        model = normalized(layer)
        model.compile(optimizers.SGD(1.0), "sparse_categorical_crossentropy")
        model.train_on_batch(x, y)
        gammas.append(layer.gamma.numpy())
        betas.append(layer.beta.numpy())
    np.testing.assert_allclose(gammas[1], gammas[0] - 0.5, rtol=0, atol=1e-6)
    assert betas[0].min() < 0
    np.testing.assert_array_equal(betas[1], np.maximum(betas[0], 0))
    again = make.from_config(layer.get_config())  # type: ignore[attr-defined]
    assert again.get_config() == layer.get_config()


# Modes


def test_moving_statistics_follow_training_only() -> None:
    layer = layers.BatchNormalization(momentum=0.75)
    model = fnn.Sequential([layers.Input((3,)), layer, layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(7, 3, (40, 3)).astype(np.float32)
    y = np.zeros((40, 1), np.float32)
    start = [layer.moving_mean.numpy(), layer.moving_variance.numpy()]
    model.predict(x, verbose=0)
    model.evaluate(x, y, verbose=0)
    assert_same_bits([layer.moving_mean.numpy(), layer.moving_variance.numpy()], start)
    model.train_on_batch(x, y)
    np.testing.assert_allclose(layer.moving_mean.numpy(), 0.25 * x.mean(0), rtol=1e-6)
    np.testing.assert_allclose(layer.moving_variance.numpy(), 0.75 + 0.25 * x.var(0), rtol=1e-6)


def test_predictions_use_the_moving_statistics() -> None:
    layer = layers.BatchNormalization()
    model = fnn.Sequential([layers.Input((3,)), layer])
    x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    values = [
        np.float32([2, 1, -1]),
        np.float32([0, 1, 2]),
        np.float32([1, -1, 0]),
        np.float32([4, 1, 9]),
    ]
    layer.set_weights(values)
    gamma, beta, mean, variance = (value.astype(np.float64) for value in values)
    wanted = gamma * (x - mean) / np.sqrt(variance + 1e-3) + beta
    np.testing.assert_allclose(model.predict(x, verbose=0), wanted, rtol=1e-5, atol=1e-6)
    # one row has no variance of its own
    np.testing.assert_allclose(model.predict(x[:1], verbose=0), wanted[:1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("settings", [{}, {"center": False, "scale": False}])
def test_a_frozen_layer_infers_while_others_train(settings: dict[str, Any]) -> None:
    """Even where it has no weights to freeze, and whether it is compiled again or not."""
    model = normalized(layers.BatchNormalization(name="norm", **settings))
    x, y = blobs(50)
    model.fit(x, y, epochs=1, verbose=0)
    layer = model.get_layer("norm")
    for recompiled in (True, False):
        layer.trainable = True
        model.fit(x, y, epochs=1, verbose=0)
        layer.trainable = False
        if recompiled:
            model.compile("adam", "sparse_categorical_crossentropy")
        before = layer.get_weights()
        kernel = model.get_layer("hidden").get_weights()[0]
        model.fit(x, y, epochs=2, verbose=0)
        assert_same_bits(layer.get_weights(), before)
        assert (model.get_layer("hidden").get_weights()[0] != kernel).any()


def test_training_is_not_upset_by_a_large_mean() -> None:
    """The same numbers, 1e4 further up: nearly the same first step."""
    x = np.round(np.random.default_rng(0).normal(size=(64, 9)) * 256) / 256
    y = np.random.default_rng(1).integers(0, 4, 64)
    steps = []
    for mean in (0, 10_000):  # a float32 near 1e4 holds multiples of 2^-10
        utils.set_random_seed(3)
        model = fnn.Sequential(
            [layers.Input((9,)), layers.BatchNormalization(), layers.Dense(4, activation="softmax")]
        )
        model.compile(optimizers.SGD(1.0), "sparse_categorical_crossentropy")
        model.train_on_batch(np.float32(x + mean), y)
        steps.append(model.layers[-1].get_weights())
    for near, far in zip(*steps, strict=True):
        np.testing.assert_allclose(far, near, rtol=0, atol=1e-6)


@pytest.mark.parametrize("make", LAYERS)
def test_the_padding_of_weights_stays_zero(make: Callable[..., Any]) -> None:
    model = normalized(make(), width=21, activation="sigmoid")
    x, y = blobs(50)
    model.fit(x, y, epochs=3, verbose=0, batch_size=16)
    for variable in model.weights:
        clean = np.zeros_like(variable.storage)
        pack(variable.numpy(), clean)
        np.testing.assert_array_equal(variable.storage, clean, variable.path)


# The program


def test_the_ops_of_a_batch_normalized_layer() -> None:
    """The activation is fused; the gradient comes turned round, so that nobody waits for that."""
    model = fnn.Sequential([layers.Input((9,))])
    for _ in range(2):
        model.add(layers.Dense(40))
        model.add(layers.BatchNormalization())
        model.add(layers.Activation("relu"))
    model.add(layers.Dense(10, activation="softmax"))
    model.compile("adam", "sparse_categorical_crossentropy")
    lines = program_of(model)
    last = max(i for i, line in enumerate(lines) if "batchnorm_backward" in line)
    names = [line[4:].split()[0] for line in lines[: last + 1]]
    assert [name for name in names if not name.startswith("magnitude")] == [
        "gather", "dense_forward", "batchnorm_forward", "dense_forward", "batchnorm_forward",
        "dense_forward", "gather_values", "loss", "transpose", "dense_backward_input",
        "batchnorm_backward", "dense_backward_input", "batchnorm_backward",
    ]  # fmt: skip
    assert sum(line.startswith("wait") for line in lines[: last + 1]) == 8


def test_moving_statistics_are_touched_after_the_guard() -> None:
    names = [line[4:].split()[0] for line in program_of(normalized(layers.BatchNormalization()))]
    guards = [i for i, name in enumerate(names) if name.startswith("guard")]
    assert guards
    assert names.index("batchnorm_update_moving") > max(guards)


@pytest.mark.parametrize("nonfinite", ["raise", "skip"])
def test_a_halted_step_leaves_the_statistics(nonfinite: str) -> None:
    model = normalized(layers.BatchNormalization())
    model.compile(optimizers.Adam(nonfinite=nonfinite), "sparse_categorical_crossentropy")
    x, y = blobs(50)
    model.fit(x, y, verbose=0)
    before = model.get_weights()
    before[0] *= 100  # the hidden kernel: one product is infinite
    model.set_weights(before)
    x[7, 3] = 3e38
    if nonfinite == "raise":
        with pytest.raises(fnn.NonFiniteGradientError):
            model.train_on_batch(x, y)
    else:
        model.train_on_batch(x, y)
    assert_same_bits(model.get_weights(), before)


# Files


@pytest.mark.parametrize("make", LAYERS)
def test_saving_and_loading(make: Callable[..., Any], tmp_path: Path) -> None:
    x, y = blobs(50)
    model = normalized(make(epsilon=0.01))
    model.fit(x, y, epochs=2, verbose=0)
    model.save(tmp_path / "m.safetensors")
    again = fnn.load_model(tmp_path / "m.safetensors")
    assert_same_bits(again.get_weights(), model.get_weights())
    assert again.layers[1].get_config() == model.layers[1].get_config()
    assert_same_bits([again.predict(x, verbose=0)], [model.predict(x, verbose=0)])
    for one in (model, again):
        one.fit(x, y, epochs=2, shuffle=False, verbose=0)
    assert_same_bits(again.get_weights(), model.get_weights())
