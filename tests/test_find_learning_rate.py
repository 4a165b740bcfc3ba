"""health.find_learning_rate: an honest training with rising rates, which leaves no trace."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from nets import blobs, classifier, mlp, set_seeded_weights

import fastnn as fnn
from fastnn import health, layers, losses, optimizers, plots, utils

MOST = 1e6
"""A rate at which anything diverges."""


def bits(model: Any) -> list[bytes]:
    """Weights, moving statistics, slots, averages, the count of steps."""
    arrays = [*model.get_weights(), *model._training_state().values()]
    return [array.tobytes() for array in arrays]


def trained(optimizer: Any = "adam", **settings: Any) -> Any:
    model = classifier(optimizer=optimizer, **settings)
    model.fit(*blobs(), epochs=2, verbose=0)
    return model


def by_hand(model: Any, x: Any, y: Any, rates: Any, batch_size: int) -> list[float]:
    """The same steps by train_on_batch, each with its own rate; the order is fit's."""
    order: list[int] = []
    while len(order) < len(rates) * batch_size:
        epoch = np.arange(len(x))
        utils.generator("shuffle").shuffle(epoch)
        order += epoch.tolist()
    found = []
    for step, rate in enumerate(rates):
        model.optimizer.learning_rate = float(rate)
        rows = order[step * batch_size : (step + 1) * batch_size]
        found.append(model.train_on_batch(x[rows], y[rows], return_dict=True)["loss"])
    return found


@pytest.mark.parametrize(
    "optimizer", ["sgd", "rmsprop", "adagrad", "adam", "adamw", "nadam", "lion", "muon"]
)
def test_the_losses_are_those_of_training(optimizer: str) -> None:
    x, y = blobs(100)
    utils.set_random_seed(5)
    model = trained(optimizer)
    before = utils.random_state()
    result = health.find_learning_rate(
        model, x, y, min_lr=1e-5, max_lr=1e-2, steps=20, batch_size=16
    )
    assert utils.random_state() == before
    assert result.diverged_at is None
    np.testing.assert_allclose(result.rates, np.geomspace(1e-5, 1e-2, 20), rtol=1e-12)
    assert result.losses.tolist() == by_hand(model, x, y, result.rates, 16)


def test_the_average() -> None:
    result = health.find_learning_rate(trained(), *blobs(), min_lr=1e-5, max_lr=1e-2, steps=30)
    for n in range(1, 31):
        weights = 0.1 * 0.9 ** np.arange(n)[::-1]
        wanted = (weights * result.losses[:n]).sum() / weights.sum()
        assert result.smoothed[n - 1] == pytest.approx(wanted)


def noisy(x: Any) -> Any:
    h = layers.Dense(12, kernel_initializer="lsuv")(x)
    h = layers.BatchNormalization()(h)
    return layers.Dropout(0.3)(layers.Activation("relu")(h))


SETTINGS: dict[str, Callable[[], Any]] = {
    "momentum": lambda: optimizers.SGD(0.1, momentum=0.9),
    "schedule": lambda: optimizers.Adam(optimizers.schedules.ExponentialDecay(0.01, 10, 0.5)),
    "averaged": lambda: optimizers.Adam(use_ema=True),
    "clipped": lambda: optimizers.RMSprop(global_clipnorm=1.0),
    "skip": lambda: optimizers.SGD(nonfinite="skip"),
    "propagate": lambda: optimizers.SGD(nonfinite="propagate"),
}


@pytest.mark.parametrize("fitted", [True, False])
@pytest.mark.parametrize("setting", SETTINGS)
def test_nothing_changes(setting: str, fitted: bool) -> None:
    utils.set_random_seed(7)
    x, y = blobs(70)
    inputs = layers.Input((9,))
    model = fnn.Model(inputs, layers.Dense(4, activation="softmax")(noisy(inputs)))
    model.compile(SETTINGS[setting](), "sparse_categorical_crossentropy", metrics=["accuracy"])
    if fitted:
        model.fit(x, y, verbose=0, epochs=2)
    name = layers.Dense(1).name
    weights, random = bits(model), utils.random_state()
    rate, history = model.optimizer.learning_rate, model.history
    health.find_learning_rate(model, x, y, max_lr=MOST, steps=60)
    assert bits(model) == weights and utils.random_state() == random
    assert model.optimizer.learning_rate == rate and model.history is history
    assert not model.stop_training
    number = int(name.removeprefix("dense").removeprefix("_") or 0)
    assert layers.Dense(1).name == f"dense_{number + 1}"


def test_training_goes_on_as_if_nothing_had_been() -> None:
    ends = []
    for asked in (False, True):
        utils.set_random_seed(3)
        fnn.utils.clear_session()
        model = fnn.Sequential([layers.Dense(8, activation="relu"), layers.Dropout(0.2),
                                layers.Dense(4, activation="softmax")])  # fmt: skip
        model.compile("adam", "sparse_categorical_crossentropy")
        if asked:
            health.find_learning_rate(model, *blobs(), steps=20)
            assert not model.built
        model.fit(*blobs(), epochs=2, verbose=0)
        ends.append(bits(model))
    assert ends[0] == ends[1]


@pytest.mark.parametrize("nonfinite", ["raise", "skip", "propagate"])
@pytest.mark.parametrize("loss", ["mse", "sparse_categorical_crossentropy"])
def test_divergence(loss: str, nonfinite: str) -> None:
    x, y = blobs(100)
    model = mlp([9, 16, 4], output="softmax" if loss.startswith("sparse") else None)
    model.compile(optimizers.SGD(nonfinite=nonfinite), loss)
    target = y if loss.startswith("sparse") else np.eye(4, dtype=np.float32)[y]
    result = health.find_learning_rate(model, x, target, max_lr=1e30, steps=400)
    assert result.diverged_at is not None
    n = len(result.rates)
    assert len(result.losses) == len(result.smoothed) == n < 400
    assert np.isfinite(result.losses).all()
    assert result.diverged_at >= result.rates[-1]
    assert (result.smoothed[:-1] <= 4 * np.minimum.accumulate(result.smoothed)[:-1]).all()
    assert 1e-4 < result.suggestion < result.rates[np.argmin(result.smoothed)]
    assert float(result) == result.suggestion
    assert f"learning rate {result.suggestion:.2g}: " in str(result)
    assert f"it diverged at {result.diverged_at:.2g}" in str(result)


def test_the_suggestion() -> None:
    result = health.find_learning_rate(classifier(optimizer="sgd"), *blobs(200), max_lr=100)
    least = int(np.argmin(result.smoothed))
    slopes = np.gradient(result.smoothed[: least + 1], np.log(result.rates[: least + 1]))
    # Of the first ten the average is still that of a few batches.
    steepest = result.rates[10 + np.argmin(slopes[10:])]
    assert result.suggestion == pytest.approx(min(steepest / 2, result.rates[least] / 10))


def test_training_with_the_suggestion_works() -> None:
    for optimizer in (optimizers.SGD, optimizers.Adam):
        x, y = blobs(400, seed=1)
        model = classifier(optimizer=optimizer())
        rate = float(health.find_learning_rate(model, x, y))
        model.compile(optimizer(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
        # The clouds hardly touch.
        assert model.fit(x, y, epochs=30, verbose=0).history["accuracy"][-1] > 0.95


def test_a_net_that_cannot_learn_has_no_suggestion() -> None:
    model = classifier([9, 8, 8, 4], optimizer="adam")
    model.get_layer(index=1).trainable = model.get_layer(index=2).trainable = False
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    for layer in model.layers[1:]:
        layer.trainable = False
    model.layers[-1].trainable = True
    _, y = blobs(300)
    x = np.zeros((300, 9), np.float32)
    y[:] = np.arange(300) % 4  # the frequencies are what the net says already
    result = health.find_learning_rate(model, x, y, max_lr=1e-3)
    assert math.isnan(result.suggestion) and math.isnan(float(result))
    assert "no learning rate found" in str(result)


def test_not_finite_from_the_first_step_on() -> None:
    model = classifier()
    model.set_weights([np.full_like(weight, np.nan) for weight in model.get_weights()])
    result = health.find_learning_rate(model, *blobs())
    assert len(result.rates) == 0
    assert math.isnan(result.suggestion) and result.diverged_at == pytest.approx(1e-7)
    assert "no learning rate found" in str(result)
    with pytest.raises(ValueError, match="not finite from the first step on"):
        plots.learning_rate(result)


def test_several_inputs_outputs_and_weights() -> None:
    x, y = blobs(80)
    a, b = layers.Input((9,), name="a"), layers.Input((2,), name="b")
    h = layers.Dense(8, activation="relu")(layers.Concatenate()([a, b]))
    outputs = [layers.Dense(4, activation="softmax", name="p")(h), layers.Dense(1, name="q")(h)]
    model = set_seeded_weights(fnn.Model([a, b], outputs))
    model.compile(
        "adam", {"p": "sparse_categorical_crossentropy", "q": losses.Huber()},
        loss_weights={"q": 0.5}, metrics={"q": ["r2_score"]},
    )  # fmt: skip
    given: dict[str, Any] = dict(
        x={"a": x, "b": x[:, :2]}, y={"p": y, "q": x[:, 0]}, sample_weight={"p": np.ones(80)}
    )
    before = bits(model)
    result = health.find_learning_rate(model, **given, steps=40)
    assert len(result.losses) and bits(model) == before
    first = model.test_on_batch(**given, return_dict=True)["loss"]
    assert result.losses[:5].mean() == pytest.approx(first, rel=0.3)


def test_bad_arguments() -> None:
    model, (x, y) = classifier(), blobs()
    before = bits(model)
    for arguments, message in (
        ({"min_lr": 0}, "find_learning_rate: min_lr must be a finite number > 0, got 0"),
        ({"min_lr": 1.0, "max_lr": 0.1}, "max_lr must be a finite number > 1, got 0.1"),
        ({"max_lr": np.inf}, "max_lr must be a finite number"),
        ({"steps": 5}, "steps must be an integer >= 20, got 5"),
        ({"batch_size": 0}, "batch_size must be an integer >= 1, got 0"),
    ):
        with pytest.raises(ValueError, match=message):
            health.find_learning_rate(model, x, y, **arguments)
    with pytest.raises(TypeError, match=r"steps must be an integer, got 50\.5"):
        health.find_learning_rate(model, x, y, steps=50.5)
    with pytest.raises(TypeError, match="x is missing"):
        health.find_learning_rate(model, None)
    with pytest.raises(ValueError, match="same number of rows"):
        health.find_learning_rate(model, x, y[:-1])
    with pytest.raises(ValueError, match="not compiled"):
        health.find_learning_rate(mlp([9, 4]), x, y)
    assert bits(model) == before


def test_an_exception_of_the_users_own_loss_leaves_no_trace() -> None:
    def loss(y_true: Any, y_pred: Any) -> Any:
        raise RuntimeError("mine")

    model = mlp([9, 4])
    model.compile("sgd", loss)
    random = utils.random_state()
    with pytest.raises(RuntimeError, match="mine"):
        health.find_learning_rate(model, *blobs())
    assert utils.random_state() == random


def test_plot() -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    result = health.find_learning_rate(classifier(optimizer="adam"), *blobs(200), max_lr=MOST)
    assert result.diverged_at is not None
    figure = plots.learning_rate(result)
    (axes,) = figure.axes
    batches, smoothed, suggestion = axes.lines
    np.testing.assert_array_equal(batches.get_ydata(), result.losses)
    np.testing.assert_array_equal(smoothed.get_ydata(), result.smoothed)
    np.testing.assert_array_equal(smoothed.get_xdata(), result.rates)
    assert list(suggestion.get_xdata()) == [result.suggestion] * 2
    assert axes.get_xscale() == "log" and axes.get_xlabel() == "learning rate"
    low, high = axes.get_ylim()
    assert low < result.smoothed.min() and high < result.smoothed.max()
    own = Figure().subplots()
    assert plots.learning_rate(result, ax=own) is own.figure
