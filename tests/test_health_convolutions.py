"""Gradient health of convolutional nets: filters, changes made for convolutions, the sound net."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from nets import assert_same_bits
from numpy.typing import NDArray

import fastnn as fnn
from fastnn import _naming, initializers, layers, utils
from fastnn.health.blueprint import Blueprint
from fastnn.health.changes import Change, changes_for
from fastnn.health.changes.initialization import weights_off
from fastnn.health.pictures import picture_of
from fastnn.health.reference import reference_for
from fastnn.health.work import work_of
from fastnn.statistics import LayerStatistics, StepStatistics

FILTERS = 32
FORMS = ("sequential", "functional")


def pictures(n: int = 96, side: int = 8, seed: int = 0) -> tuple[NDArray[Any], NDArray[Any]]:
    """Each class has its own picture under noise."""
    random = np.random.default_rng(seed)
    y = random.integers(0, 3, n)
    centres = random.standard_normal((3, side, side, 1))
    return (centres[y] + 0.3 * random.standard_normal((n, side, side, 1))).astype(np.float32), y


def made_of(stack: list[Any], form: str = "sequential", shape: Any = (8, 8, 1)) -> Any:
    x = layers.Input(shape)
    if form == "sequential":
        model: Any = fnn.Sequential([x, *stack])
    else:
        made = x
        for layer in stack:
            made = layer(made)
        model = fnn.Model(x, made)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def deep(
    activation: str = "relu", depth: int = 6, form: str = "sequential", **settings: Any
) -> Any:
    stack = [
        layers.Conv2D(
            FILTERS, 3, padding="same", activation=activation, name=f"c{number}", **settings
        )
        for number in range(depth)
    ]
    return made_of([*stack, layers.Flatten(), layers.Dense(3, "softmax", name="last")], form)


def named(model: Any, name: str, x: Any = None) -> Change:
    given, y = pictures()
    found = {change.name: change for change in changes_for(model, given if x is None else x, y)}
    assert name in found, list(found)
    return found[name]


def names(model: Any) -> list[str]:
    return [change.name for change in changes_for(model, *pictures())]


def weights(model: Any) -> dict[str, NDArray]:
    return {variable.path: variable.numpy() for variable in model.weights}


@pytest.mark.parametrize("form", FORMS)
def test_every_change_trains_and_leaves_the_model_alone(form: str) -> None:
    model = deep("sigmoid", form=form)
    x, y = pictures()
    model.fit(x, y, verbose=0)
    state = [*model.get_weights(), *model._training_state().values()]
    random, counts = utils.random_state(), dict(_naming._counts)
    changes = changes_for(model, x, y)
    made = [change.apply(model) for change in changes]
    again = [change.apply(model) for change in changes]
    assert utils.random_state() == random
    assert counts == _naming._counts
    found = {change.name for change in changes}
    assert {"batch_normalization", "residual_convolutions", "pooling", "dropout", "l2"} <= found
    assert "layer_normalization" not in found
    for change, one, two in zip(changes, made, again, strict=True):
        assert_same_bits(one.get_weights(), two.get_weights())
        one.fit(x, y, **{"verbose": 0, **change.fit_arguments()})
        assert np.isfinite(one.predict(x, verbose=0)).all(), change.name
    assert_same_bits([*model.get_weights(), *model._training_state().values()], state)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "activation, wanted", [("relu", 2.0), ("selu", 1.0), ("tanh", 1.0), ("sigmoid", 16.0)]
)
def test_initialization_goes_by_the_window(form: str, activation: str, wanted: float) -> None:
    model = deep(activation, form=form, kernel_initializer="ones", bias_initializer="ones")
    change = named(model, "initialization")
    assert f"the 6 convolutions with {activation}" in change.change
    made = weights(change.apply(model))
    kernels = [made[f"c{number}/kernel"] for number in range(1, 6)]
    for kernel in kernels:
        # 9216 values, each reads 9 * 32
        assert float(kernel.var() * 9 * FILTERS) == pytest.approx(wanted, rel=0.06)
    assert not np.array_equal(kernels[0], kernels[1])
    assert not any(value.any() for path, value in made.items() if path.endswith("bias"))
    np.testing.assert_array_equal(made["last/kernel"], weights(model)["last/kernel"])


def test_initialization_is_not_offered_where_it_is_what_is_there() -> None:
    assert "initialization" not in names(deep("relu", kernel_initializer="he_normal"))
    assert "initialization" not in names(deep("tanh", kernel_initializer="glorot_uniform"))
    assert "initialization" in names(deep("relu", kernel_initializer="lecun_normal"))


def test_weights_that_are_off_are_named_with_their_window() -> None:
    x, y = pictures(200)
    off = initializers.RandomNormal(stddev=1e-4, seed=1)
    report = fnn.health.diagnose(deep(kernel_initializer=off), x, y, steps=20, remedies=False)
    assert report.verdict == "vanishing"
    assert "the weights of the 6 convolutions are drawn" in report.cause
    assert "for the windows of 3x3 in 32 channels of 'c1'" in report.cause


def test_the_usual_weights_of_a_first_convolution_are_no_fault() -> None:
    stack = [layers.Conv2D(256, 3, activation="relu", name="c"), layers.Flatten(),
             layers.Dense(3, "softmax")]  # fmt: skip
    model = made_of(stack)
    # After Glorot, a fifteenth of He's variance or less
    assert weights_off(Blueprint.of(model)) == ""
    model.get_layer("c").kernel.assign(0.1 * model.get_layer("c").kernel.numpy())
    assert "times too small" in weights_off(Blueprint.of(model))


@pytest.mark.parametrize("form", FORMS)
def test_batch_normalization_takes_the_place_of_the_bias(form: str) -> None:
    model = deep("tanh", 2, form)
    before = weights(model)
    change = named(model, "batch_normalization")
    assert "dropped" in change.change
    made = change.apply(model)
    kinds = [type(layer).__name__ for layer in made.layers if layer.name not in ("last", "flatten")]
    kinds = [kind for kind in kinds if kind not in ("InputLayer", "Flatten")]
    assert kinds == ["Conv2D", "BatchNormalization", "Activation"] * 2
    convolution = made.get_layer("c0")
    assert convolution.bias is None and not convolution.use_bias
    assert convolution.activation.kind == "linear"
    after = weights(made)
    assert "c0/bias" not in after
    for name in ("c0/kernel", "c1/kernel", "last/kernel", "last/bias"):
        np.testing.assert_array_equal(after[name], before[name])
    assert after["c0_normalization/gamma"].shape == (FILTERS,)


def test_normalization_behind_pooling_counts() -> None:
    stack = [
        layers.Conv2D(4, 3, name="a"), layers.MaxPooling2D(), layers.BatchNormalization(),
        layers.ReLU(), layers.Flatten(), layers.Dense(3, "softmax"),
    ]  # fmt: skip
    found = names(made_of(stack))
    assert "batch_normalization" not in found
    # The activation behind the pooling is the convolution's.
    made = named(made_of(_pooled()), "activation_selu").apply(made_of(_pooled()))
    assert made.get_layer("after").activation.kind == "selu"


def _pooled() -> list[Any]:
    return [
        layers.Conv2D(4, 3, name="a"), layers.MaxPooling2D(), layers.ReLU(name="after"),
        layers.Flatten(), layers.Dense(3, "softmax"),
    ]  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_shortcuts_around_pairs_of_convolutions(form: str) -> None:
    shapes = [(8, 1), (8, 1), (8, 1), (16, 2), (16, 1), (16, 1)]
    stack = [
        layers.Conv2D(filters, 3, strides, padding="same", activation="tanh", name=f"c{number}")
        for number, (filters, strides) in enumerate(shapes)
    ]
    model = made_of([*stack, layers.Flatten(), layers.Dense(3, "softmax", name="last")], form)
    change = named(model, "residual_convolutions")
    assert "shortcuts around 3 pairs" in change.change and "2 with a 1x1" in change.change
    made = change.apply(model)
    blocks = [layer for layer in made.layers if isinstance(layer, layers.Residual)]
    assert [layer.name for layer in blocks] == ["c0_residual", "c2_residual", "c4_residual"]
    kernels = [None if b.projection is None else b.projection.kernel.shape for b in blocks]
    assert kernels == [(1, 1, 1, 8), (1, 1, 8, 16), None]
    assert blocks[1].projection.strides == (2, 2)
    assert [layer.activation.kind for layer in blocks[0].layers] == ["tanh", "linear"]
    # x + f(x), f the two convolutions
    x, _ = pictures(5)
    first, second = (layer.kernel.numpy() for layer in blocks[2].layers)
    assert first.shape == second.shape == (3, 3, 16, 16)
    assert float(second.var() * 9 * 16) == pytest.approx(1 / 3, rel=0.2)
    np.testing.assert_array_equal(weights(made)["last/kernel"], weights(model)["last/kernel"])
    assert made.predict(x, verbose=0).shape == (5, 3)


def test_valid_windows_and_pooling_between_allow_no_shortcut() -> None:
    stack = [
        layers.Conv2D(4, 3, activation="relu"), layers.Conv2D(4, 3, padding="same"),
        layers.MaxPooling2D(), layers.Conv2D(4, 3, padding="same", activation="relu"),
        layers.Flatten(), layers.Dense(3, "softmax"),
    ]  # fmt: skip
    assert "residual_convolutions" not in names(made_of(stack))


@pytest.mark.parametrize("form", FORMS)
def test_pooling_instead_of_depth(form: str) -> None:
    model = deep("sigmoid", 7, form)
    change = named(model, "pooling")
    assert "3 convolutions instead of 7, with max pooling after 2" in change.change
    assert "'last'" in change.change
    made = change.apply(model)
    kinds = [
        (layer.name, type(layer).__name__)
        for layer in made.layers
        if not isinstance(layer, (layers.InputLayer, layers.Flatten))
    ]
    assert kinds == [
        ("c0", "Conv2D"), ("c0_pooling", "MaxPooling2D"), ("c3", "Conv2D"),
        ("c3_pooling", "MaxPooling2D"), ("c6", "Conv2D"), ("last", "Dense"),
    ]  # fmt: skip
    assert made.get_layer("last").kernel.shape == (2 * 2 * FILTERS, 3)


def test_each_run_between_poolings_keeps_its_last_convolution() -> None:
    stack: list[Any] = []
    for filters in (4, 8, 16):
        stack += [
            layers.Conv2D(filters, 3, padding="same", activation="sigmoid", name=f"c{filters}_{n}")
            for n in range(3)
        ]
        stack.append(layers.MaxPooling2D(2))
    head = [layers.GlobalAveragePooling2D(), layers.Dense(3, "softmax", name="last")]
    model = made_of([*stack, *head])
    change = named(model, "pooling")
    assert change.change.startswith("3 convolutions instead of 9; they are drawn anew")
    made = change.apply(model)
    found = [layer.name for layer in made.layers if isinstance(layer, layers.Conv2D)]
    assert found == ["c4_2", "c8_2", "c16_2"]
    np.testing.assert_array_equal(weights(made)["last/kernel"], weights(model)["last/kernel"])


def test_few_convolutions_stay() -> None:
    assert "pooling" not in names(deep("relu", 3))


def test_pixels_behind_augmentation_are_scaled_once() -> None:
    x = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 1)).astype(np.uint8)
    _, y = pictures(64)
    for scaled in (True, False):
        stack = [layers.RandomFlip(seed=1), *([layers.Rescaling(1 / 255)] if scaled else [])]
        head = [layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(3, "softmax")]
        changes = {c.name: c for c in changes_for(made_of([*stack, *head]), x, y)}
        assert ("input_scale" in changes) != scaled
    assert changes["input_scale"].change.startswith("Rescaling(1 / 255)")


# The sound net, and what a look costs


def test_the_sound_net_of_convolutions_is_convolutional() -> None:
    model = deep(depth=2)
    found = [type(layer).__name__ for layer in reference_for(model).layers]
    assert found.count("Conv2D") == found.count("MaxPooling2D") == 2
    flat = made_of([layers.Flatten(), layers.Dense(3, "softmax")])
    assert "Conv2D" not in [type(layer).__name__ for layer in reference_for(flat).layers]


def test_pictures_are_found_behind_other_layers() -> None:
    rows = made_of(
        [layers.Rescaling(2.0), layers.Reshape((6, 5, 2)),
         layers.Residual([layers.Conv2D(2, 3, padding="same")]),
         layers.Flatten(), layers.Dense(3, "softmax")],
        shape=(60,),
    )  # fmt: skip
    assert picture_of(rows, rows.inputs[0]) == (6, 5, 2)
    signal = made_of([layers.Conv1D(2, 3), layers.Flatten(), layers.Dense(3)], shape=(50, 2))
    assert picture_of(signal, signal.inputs[0]) == (50, 2)
    kinds = [type(layer).__name__ for layer in reference_for(signal).layers]
    assert "AveragePooling1D" in kinds and kinds.count("Conv1D") == 2
    cropped = made_of([layers.Cropping2D(1), layers.Conv2D(2, 3), layers.Flatten(),
                       layers.Dense(3)])  # fmt: skip
    assert picture_of(cropped, cropped.inputs[0]) is None


def test_work_counts_each_place_of_a_window() -> None:
    model = made_of([layers.Conv2D(4, 3, use_bias=False), layers.Flatten(), layers.Dense(3)])
    assert work_of(model) == 36 * 9 * 4 + 36 * 4 * 3 + 3


# Filters


class Watch(fnn.callbacks.Callback):
    """Collects statistics of every step."""

    statistics_every, statistics_window = 1, 4

    def __init__(self) -> None:
        self.seen: list[StepStatistics] = []

    def on_statistics(self, statistics: Any) -> None:
        self.seen += statistics

    def last(self, name: str) -> LayerStatistics:
        return self.seen[-1].layers[name]


def test_dead_and_saturated_filters_are_shares_of_a_twin() -> None:
    """Weights that don't move, so that NumPy's convolution sees what each step saw."""
    x, y = pictures(64, 7)
    stack = [
        layers.Conv2D(11, 3, activation="relu", name="rectified"),
        layers.Conv2D(5, 2, padding="same", activation="tanh", name="bounded"),
        layers.MaxPooling2D(2, name="pooled"), layers.Flatten(), layers.Dense(3, name="last"),
    ]  # fmt: skip
    model = made_of(stack, shape=(7, 7, 1))
    random = np.random.default_rng(1)
    kernel = random.standard_normal((3, 3, 1, 11)).astype(np.float32)
    bias = np.where(np.arange(11) % 3 == 0, -1e3, 0.5).astype(np.float32)
    model.get_layer("rectified").set_weights([kernel, bias])
    model.get_layer("bounded").kernel.assign(random.standard_normal((2, 2, 11, 5)))
    for layer in model.layers:
        layer.trainable = layer.name == "last"
    model.compile("sgd", fnn.losses.SparseCategoricalCrossentropy(from_logits=True))
    watch = Watch()
    model.fit(x, y, batch_size=64, epochs=6, shuffle=False, verbose=0, callbacks=[watch])

    windows = np.lib.stride_tricks.sliding_window_view(x[..., 0].astype(np.float64), (3, 3), (1, 2))
    first = np.maximum(np.einsum("nhwab,abf->nhwf", windows, kernel[:, :, 0]) + bias, 0)
    padded = np.pad(first, ((0, 0), (0, 1), (0, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2, 2), (1, 2))
    second = np.tanh(
        np.einsum("nhwcab,abcf->nhwf", windows, model.get_layer("bounded").kernel.numpy())
    )
    seen = watch.last("rectified")
    assert seen.units == "filters"
    assert seen.dead == np.mean((first == 0).all(axis=(0, 1, 2))) == 4 / 11
    assert seen.zeros == pytest.approx(np.mean(first == 0), abs=1e-4)
    bounded = watch.last("bounded")
    assert bounded.saturated == pytest.approx(np.mean(1 - second**2 < 0.05), abs=1e-3)
    assert bounded.saturated > 0.3
    assert watch.last("pooled").units == "channels"
    assert watch.last("last").units == "units"


def test_words_say_filters() -> None:
    x, y = pictures(300)
    model = deep("relu", 3, kernel_initializer="he_normal")
    kernel, bias = model.get_layer("c1").get_weights()
    bias[: FILTERS * 3 // 4] = -1e3
    model.get_layer("c1").set_weights([kernel, bias])
    found = fnn.callbacks.GradientHealth(every=1, window=5)
    with pytest.warns(fnn.callbacks.GradientHealthWarning, match="75% of its filters gave 0"):
        model.fit(x, y, epochs=2, verbose=0, callbacks=[found])
    report = fnn.health.diagnose(model, x, y, steps=20, remedies=False)
    ill = next(layer for layer in report.layers if layer.verdict == "dead")
    assert ill.name == "c1" and "filters" in ill.cause and "units" not in ill.cause


def test_a_headline_speaks_of_filters() -> None:
    x, y = pictures(300)
    model = deep("relu", 2)
    for name in ("c0", "c1"):
        kernel, bias = model.get_layer(name).get_weights()
        model.get_layer(name).set_weights([kernel, bias - 1e3])
    report = fnn.health.diagnose(model, x, y, steps=20, remedies=False)
    assert report.verdict == "dead"
    assert "Filters are dead" in str(report)
    with pytest.raises(fnn.health.UnhealthyError, match="Filters are dead"):
        fnn.health.assert_healthy(model, x, y, steps=20)


@pytest.mark.parametrize("form", FORMS)
def test_a_vanishing_net_is_cured(form: str) -> None:
    x, y = pictures(400, 6)
    stack = [
        layers.Conv2D(4, 3, padding="same", activation="sigmoid", name=f"c{number}")
        for number in range(14)
    ]
    last = layers.Dense(3, "softmax", name="last")
    model = made_of([*stack, layers.Flatten(), last], form, (6, 6, 1))
    report = fnn.health.diagnose(model, x, y, steps=20)
    assert report.verdict == "vanishing"
    cured = report.cure()
    cured.fit(x, y, epochs=12, verbose=0, **report.fit_arguments)
    assert cured.evaluate(x, y, verbose=0)[1] > 0.9


# Depthwise and separable convolutions


def light(form: str, activation: str = "relu", **settings: Any) -> Any:
    """As MobileNets are (Howard et al. 2017), and a separable one."""
    stack: list[Any] = [layers.Conv2D(FILTERS, 3, padding="same", activation=activation, name="c")]
    for number in range(2):
        stack += [
            layers.DepthwiseConv2D(
                3, padding="same", activation=activation, depth_multiplier=2, name=f"d{number}",
                **settings,
            ),
            layers.Conv2D(FILTERS, 1, activation=activation, name=f"p{number}"),
        ]  # fmt: skip
    stack.append(
        layers.SeparableConv2D(
            FILTERS, 3, padding="same", activation=activation, depth_multiplier=2, name="s",
            **settings, **({"pointwise_initializer": "ones"} if settings else {}),
        )
    )  # fmt: skip
    return made_of([*stack, layers.Flatten(), layers.Dense(3, "softmax", name="last")], form)


@pytest.mark.parametrize("form", FORMS)
def test_light_convolutions_get_what_others_get(form: str) -> None:
    model = light(form)
    x, y = pictures()
    for name in ("batch_normalization", "initialization", "activation_selu", "dropout", "l2"):
        change = named(model, name)
        if name != "initialization":  # the full ones suit as they are
            assert "the 6 convolutions" in change.change, name
        made = change.apply(model)
        made.fit(x, y, verbose=0)
        assert np.isfinite(made.predict(x, verbose=0)).all(), name


def test_light_convolutions_are_penalized_and_lose_biases_that_are_cancelled() -> None:
    model = light("sequential")
    penalized = named(model, "l2").apply(model)
    assert penalized.get_layer("d0").depthwise_regularizer is not None
    separable = penalized.get_layer("s")
    assert separable.depthwise_kernel.regularizer is separable.depthwise_regularizer is not None
    assert separable.pointwise_kernel.regularizer is separable.pointwise_regularizer is not None
    assert separable.bias.regularizer is None
    assert "l2" not in names(penalized)
    normalized = named(model, "batch_normalization").apply(model)
    assert not {"d0/bias", "s/bias", "c/bias"} & set(weights(normalized))
    assert {"d0_normalization/gamma", "s_normalization/gamma"} <= set(weights(normalized))


@pytest.mark.parametrize(
    "activation, wanted", [("relu", 2.0), ("selu", 1.0), ("tanh", 2 / 3), ("sigmoid", 16 * 2 / 3)]
)
def test_a_depthwise_filter_is_drawn_for_the_one_channel_it_reads(
    activation: str, wanted: float
) -> None:
    """Of windows of 9, with two filters for each channel: Glorot's mean of 9 and 18."""
    change = named(light("sequential", activation, depthwise_initializer="ones"), "initialization")
    model = change.apply(light("sequential", activation, depthwise_initializer="ones"))
    made = weights(model)
    spread = {"rel": 0.25}  # of 576 values
    assert float(made["d1/kernel"].var() * 9) == pytest.approx(wanted, **spread)
    # Nothing comes between the two kernels of a separable convolution.
    assert float(made["s/depthwise_kernel"].var() * 9) == pytest.approx(2 / 3, **spread)
    reads = {"relu": 64, "selu": 64}.get(activation, 48)
    share = wanted * {"relu": 1, "selu": 1}.get(activation, 3 / 2)
    assert float(made["s/pointwise_kernel"].var() * reads) == pytest.approx(share, **spread)
    assert not np.array_equal(made["d0/kernel"], made["d1/kernel"])
    saved = model.get_layer("d0").get_config()
    assert layers.DepthwiseConv2D.from_config(saved).get_config() == saved


def test_depthwise_weights_that_are_off_are_told_by_their_window() -> None:
    model = light("sequential", depthwise_initializer=initializers.RandomNormal(0, 10.0, 1))
    words = weights_off(Blueprint.of(model))
    assert words.startswith("the weights of the 3 convolutions are drawn 2")
    assert "for the windows of 3x3 in 1 channel of 'd0'" in words


def test_depthwise_weights_of_keras_are_no_fault() -> None:
    assert weights_off(Blueprint.of(light("sequential"))) == ""
