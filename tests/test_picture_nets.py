"""Whole small nets of layers for pictures and signals: outputs and gradients of every weight,
against a float64 tape, whose own gradients are finite differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from kernels.harness import U
from numpy.typing import NDArray
from picture_tape import PictureTape

import fastnn as fnn
from fastnn import layers, optimizers, regularizers

Array = NDArray[Any]


def convnet() -> fnn.Model:
    return fnn.Sequential([
        layers.Input((9, 8, 3)),
        layers.Conv2D(8, 3, padding="same", activation="silu", activity_regularizer="l2"),
        layers.MaxPooling2D(2),
        layers.Conv2D(20, (3, 2), strides=2, activation="gelu", use_bias=False,
                      kernel_regularizer=regularizers.L1L2(0.01, 0.02)),
        layers.Flatten(), layers.Dense(4, activation="softmax"),
    ])  # fmt: skip


def of_signals() -> fnn.Model:
    return fnn.Sequential([
        layers.Input((14, 5)), layers.ZeroPadding1D((1, 2)),
        layers.Conv1D(18, 3, padding="causal", dilation_rate=2, activation="tanh"),
        layers.AveragePooling1D(3, 2, "same"), layers.UpSampling1D(2), layers.Cropping1D((1, 2)),
        layers.SeparableConv1D(
            7, 3, depth_multiplier=3, activation="gelu", activity_regularizer="l1"
        ),
        layers.DepthwiseConv1D(2, activation="sigmoid"), layers.MaxPooling1D(2, 1),
        layers.GlobalMaxPooling1D(), layers.Dense(4, activation="softmax"),
    ])  # fmt: skip


def of_moved_pictures() -> fnn.Model:
    return fnn.Sequential([
        layers.Input((5, 6, 17)), layers.DepthwiseConv2D(3, 2, "same", 2, activation="relu"),
        layers.ZeroPadding2D(((1, 0), (2, 1))), layers.UpSampling2D((2, 3), None, "bilinear"),
        layers.SeparableConv2D(6, (2, 3), padding="same", dilation_rate=(1, 2), activation="gelu"),
        layers.Cropping2D(((1, 2), (0, 3))), layers.UpSampling2D(2),
        layers.Conv2D(5, 1, activation="relu"), layers.AveragePooling2D((3, 2), 2, "same"),
        layers.GlobalAveragePooling2D(keepdims=True), layers.Flatten(),
        layers.Dense(4, activation="softmax"),
    ])  # fmt: skip


def of_groups() -> fnn.Model:
    return fnn.Sequential([
        layers.Input((6, 5, 4)),
        layers.Conv2D(6, 3, groups=2, activation="relu"),  # of pixels
        layers.Conv2D(
            32, 2, padding="same", groups=2, activation="relu", activity_regularizer="l1_l2"
        ),
        layers.Conv2D(64, 3, padding="same", groups=2, activation="relu"),
        layers.Conv2D(32, 3, padding="same", groups=8, kernel_regularizer="l2"),
        layers.Conv2D(64, (1, 2), groups=32, activation="relu"),
        layers.GlobalAveragePooling2D(), layers.Dense(4, activation="softmax"),
    ])  # fmt: skip


def of_branches() -> fnn.Model:
    """A value that layers of all kinds read: each adds its gradient to what is there."""
    x = layers.Input((6, 5, 6))
    y = layers.Conv2D(18, 2, padding="same", activation="relu")(x)
    branches = [
        layers.Conv2D(18, 3, padding="same")(y),
        layers.Conv2D(18, 3, padding="same", groups=3)(y),
        layers.MaxPooling2D(3, 1, "same")(y),
        layers.AveragePooling2D(2, 1, "same")(y),
        layers.DepthwiseConv2D(3, padding="same", activation="relu")(y),
        layers.SeparableConv2D(18, 3, padding="same", depth_multiplier=2)(y),
        layers.ZeroPadding2D(1)(layers.Cropping2D(1)(y)),
        layers.AveragePooling2D(2)(layers.UpSampling2D(2, None, "bilinear")(y)),
    ]
    added = layers.Add()([*branches, y])
    mean, most = layers.GlobalAveragePooling2D()(added), layers.GlobalMaxPooling2D()(added)
    output = layers.Dense(4, activation="softmax")(layers.Add()([mean, most]))
    return fnn.Model(x, output)


NETS = [convnet, of_signals, of_moved_pictures, of_groups, of_branches]
EXAMPLES = 11


def weighted(build: Callable[[], fnn.Model]) -> tuple[fnn.Model, dict[str, Array]]:
    """The net with normal weights, so that biases count, and these by path."""
    model = build()
    random = np.random.default_rng(3)
    weights = []
    for variable in model.weights:
        fan_in = max(1, int(np.prod(variable.shape[:-1])))
        weights.append((random.standard_normal(variable.shape) / fan_in**0.5).astype(np.float32))
    model.set_weights(weights)
    return model, {v.path: w for v, w in zip(model.weights, weights, strict=True)}


def data(model: fnn.Model) -> tuple[Array, Array]:
    random = np.random.default_rng(4)
    shape = model.inputs[0].shape[1:]
    return random.standard_normal((EXAMPLES, *shape)).astype(np.float32), random.integers(
        0, 4, EXAMPLES
    )


def step(build: Callable[[], fnn.Model], threads: int, **settings: Any) -> list[Array]:
    """The weights after a step of SGD at a learning rate of 1."""
    model, _ = weighted(build)
    model.compile(optimizers.SGD(1.0, **settings), "sparse_categorical_crossentropy")
    before = fnn.get_num_threads()
    fnn.set_num_threads(threads)
    try:
        model.train_on_batch(*data(model))
    finally:
        fnn.set_num_threads(before)
    return model.get_weights()


@pytest.mark.parametrize("build", NETS, ids=lambda build: build.__name__)
def test_gradients_are_those_of_the_tape(build: Callable[[], fnn.Model]) -> None:
    """A gradient is a sum over a few layers of some hundred terms each, of which the errors mostly
    cancel: within 300 U of its largest number. What the step leaves adds the weight's rounding."""
    model, before = weighted(build)
    x, y = data(model)
    gradients = PictureTape(before).run(model, [x], [y]).gradients
    after = dict(zip(before, step(build, 1), strict=True))
    for path, gradient in gradients.items():
        bound = 300 * U * np.abs(gradient).max() + 2 * U * (np.abs(before[path]) + np.abs(gradient))
        assert np.abs(gradient).max() > 1e-5, path
        error = np.abs((before[path].astype(np.float64) - after[path]) - gradient)
        assert (error <= bound).all(), (path, (error / bound).max())


@pytest.mark.parametrize("build", NETS, ids=lambda build: build.__name__)
def test_any_team_and_any_program_give_the_same_bits(build: Callable[[], fnn.Model]) -> None:
    """Gradients that go straight into the step, and gradients that are stored for a norm."""
    plain = step(build, 1)
    for threads in (2, 3):
        for ours, theirs in zip(step(build, threads), plain, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    for threads in (1, 2):
        for ours, theirs in zip(step(build, threads, global_clipnorm=1e6), plain, strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("build", NETS, ids=lambda build: build.__name__)
def test_outputs_are_those_of_the_tape(build: Callable[[], fnn.Model]) -> None:
    """Probabilities, as errors of some hundred U in the logits leave them."""
    model, weights = weighted(build)
    x, y = data(model)
    model.compile("sgd", "sparse_categorical_crossentropy")
    tape = PictureTape(weights)
    tape.run(model, [x], [y])
    logits = tape.outputs[model.layers[-1].name]
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.predict(x, verbose=0), p, atol=300 * U)


@pytest.mark.parametrize("build", NETS, ids=lambda build: build.__name__)
def test_gradients_of_the_tape_are_finite_differences(build: Callable[[], fnn.Model]) -> None:
    """Some numbers of each weight. The rectifiers' kinks and ties of the largest are not met by
    steps of 1e-6, of which the error is 1e-12 times third derivatives, and rounding 1e-10."""
    model, weights = weighted(build)
    x, y = (array[:3] for array in data(model))
    weights = {path: w.astype(np.float64) for path, w in weights.items()}
    gradients = PictureTape(weights).run(model, [x], [y]).gradients
    random = np.random.default_rng(5)

    def loss() -> float:
        tape = PictureTape(weights)
        tape.run(model, [x], [y])
        logits = tape.outputs[model.layers[-1].name]
        shifted = logits - logits.max(axis=1, keepdims=True)
        p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        penalty = sum(
            v.regularizer.l1 * np.abs(weights[v.path]).sum()
            + v.regularizer.l2 * (weights[v.path] ** 2).sum()
            for v in model.trainable_weights
            if v.regularizer is not None
        )
        return float(-p[np.arange(len(y)), y].mean() + penalty + tape.penalty)

    for path, w in weights.items():
        index = tuple(int(random.integers(extent)) for extent in w.shape)
        kept = w[index]
        sides = []
        for h in (1e-6, -1e-6):
            w[index] = kept + h
            sides.append(loss())
        w[index] = kept
        assert (sides[0] - sides[1]) / 2e-6 == pytest.approx(gradients[path][index], abs=1e-8)


def test_dropout_after_a_rectifying_convolution_drops() -> None:
    """A convolution does not drop by itself: fused with it, Dropout only scaled."""
    for layer in (
        layers.Conv2D(3, 1, activation="relu"),
        layers.Conv2D(3, 1, groups=3, activation="relu"),
        layers.DepthwiseConv2D(1, activation="relu"),
    ):
        model = fnn.Sequential([
            layers.Input((20, 20, 3)), layer, layers.Dropout(0.5, seed=1), layers.Flatten(),
        ])  # fmt: skip
        model.set_weights([np.zeros_like(w) if w.ndim > 1 else w + 1 for w in model.get_weights()])
        model.compile(optimizers.SGD(0.0), "mse")
        x, y = np.zeros((10, 20, 20, 3), np.float32), np.zeros((10, 1200), np.float32)
        # Half of 12000 numbers are 2 instead of 1: their mean square is 2, within four deviations.
        assert model.train_on_batch(x, y) == pytest.approx(2.0, abs=4 * 2 / 12000**0.5)


@pytest.mark.parametrize(
    "layer",
    [
        lambda: layers.Conv2D(4, 3), lambda: layers.Conv2D(4, 3, groups=2),
        lambda: layers.DepthwiseConv2D(3), lambda: layers.SeparableConv2D(4, 3),
    ],
    ids=["conv", "groups", "depthwise", "separable"],
)  # fmt: skip
@pytest.mark.parametrize("last", [False, True])
def test_a_gradient_that_overflows_stops_the_step(layer: Any, last: bool) -> None:
    """Only the gradient of the first kernel overflows: it is the sum of huge inputs times errors,
    while zeros keep the output small. A thousandth of it is looked at, and used."""
    model = fnn.Sequential([layers.Input((8, 8, 4)), layer(), layers.Flatten()])
    model.set_weights([0 * w + (w.shape[:2] == (1, 1)) for w in model.get_weights()])
    model.compile(optimizers.SGD(1e-37), "mse")
    x = np.zeros((6, 8, 8, 4), np.float32)
    x[-1 if last else 0, 3, 4, 1] = 2e38
    y = np.full((6, *model.outputs[0].shape[1:]), 1e4, np.float32)
    before = model.get_weights()
    with pytest.raises(fnn.NonFiniteGradientError):
        model.train_on_batch(x, y)
    for ours, theirs in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    model.train_on_batch(x / 1024, y)
    assert not np.array_equal(model.get_weights()[0], before[0])
