"""Verdicts beyond sick and healthy, the words of causes, and what one does with a report."""

from __future__ import annotations

import re
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import fastnn as fnn
from fastnn import callbacks, health, initializers, layers, optimizers
from fastnn.health.blueprint import Blueprint
from fastnn.health.changes.initialization import weights_off
from fastnn.health.rates import why
from fastnn.health.report import unknown_model
from fastnn.statistics import LayerStatistics, StepStatistics
from fastnn.verdicts import findings

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((3000, 6)).astype(np.float32)
Y = (X[:, 0] + X[:, 1] > 0).astype(np.int64) + (X[:, 2] > 0)


def net(optimizer: Any = None, depth: int = 1, **dense: Any) -> fnn.Sequential:
    fnn.utils.set_random_seed(0)
    hidden = [layers.Dense(32, "relu", name=f"h{i}", **dense) for i in range(depth)]
    model = fnn.Sequential(
        [layers.Input((6,)), *hidden, layers.Dense(3, activation="softmax", name="out")]
    )
    model.compile(optimizer or optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    return model


# In spite of an illness


def wide() -> tuple[fnn.Sequential, np.ndarray, np.ndarray]:
    """A net whose target is ten times as wide as its outputs begin: it learns, late."""
    fnn.utils.set_random_seed(0)
    model = fnn.Sequential([layers.Input((6,)), layers.Dense(32, "relu"), layers.Dense(1)])
    model.compile("adam", "mse")
    return model, X, 10 * X[:, 0]


def test_a_net_that_learns_in_spite_of_an_illness_is_impaired() -> None:
    model, x, y = wide()
    report = health.diagnose(model, x, y)
    assert (report.verdict, report.illness) == ("impaired", "target_scale")
    assert report.cost > 0.3
    assert report.cause.startswith("it learns in spite of this: the target has mean")
    assert "with the best change against it" in report.cause
    assert [remedy.name for remedy in report.remedies] == ["target_scale"]
    assert report.best is report.remedies[0]
    without = health.diagnose(model, x, y, remedies=False)
    assert without.cost == report.cost


def test_assert_healthy_tolerates_what_it_is_told_to() -> None:
    model, x, y = wide()
    with pytest.raises(health.UnhealthyError) as caught:
        health.assert_healthy(model, x, y)
    cost = caught.value.report.cost
    assert health.assert_healthy(model, x, y, tolerance=cost).verdict == "impaired"
    with pytest.raises(health.UnhealthyError):
        health.assert_healthy(model, x, y, tolerance=cost - 1e-6)
    with pytest.raises(ValueError, match="tolerance"):
        health.assert_healthy(model, x, y, tolerance=2)
    # What is not ill passes however little is tolerated.
    assert health.assert_healthy(net(), X, Y, tolerance=-1).verdict == "healthy"


def test_the_callback_agrees() -> None:
    """What GradientHealth warns of in a net that learns, diagnose does not call healthy."""
    pixels = np.abs(X) * 100
    fnn.utils.set_random_seed(0)
    model = fnn.Sequential(
        [layers.Input((6,)), layers.Dense(64, "tanh"), layers.Dense(3, activation="softmax")]
    )
    model.compile(optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    watcher = callbacks.GradientHealth(every=5, on_problem="ignore")
    report = health.diagnose(model, pixels, Y)
    model.fit(pixels, Y, verbose=0, callbacks=[watcher])
    assert {f.verdict for found in watcher.found.values() for f in found} == {"saturated"}
    assert report.verdict != "healthy"
    assert any(layer.verdict == "saturated" for layer in report.layers)


# Nothing to learn


@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_noise_is_told_apart_from_a_net_that_does_not_learn(kind: str) -> None:
    if kind == "classes":
        model, y = net(), RANDOM.integers(0, 3, len(X))
    else:
        model, _, _ = wide()
        y = RANDOM.standard_normal(len(X))
    report = health.diagnose(model, X, y)
    assert report.verdict == "no_signal" and report.remedies == ()
    assert "neither the net nor a sound one" in report.cause
    with pytest.raises(health.UnhealthyError, match="no_signal"):
        health.assert_healthy(model, X, y)


# Causes


def test_a_learning_rate_is_called_too_high_or_too_low_by_trials() -> None:
    high = health.diagnose(net(optimizers.SGD(30.0)), X, Y)
    assert high.verdict == "learning_rate"
    assert high.cause.startswith("the learning rate, 30, is too high: ")
    assert "highest of those tried" in high.cause
    low = health.diagnose(net(optimizers.SGD(1e-7)), X, Y)
    assert low.cause.startswith("the learning rate, 1e-07, is too low: ")
    assert str(low).splitlines()[2].startswith("The learning rate, 1e-07, is too low")


def test_the_rate_that_is_named_is_the_last_that_learned() -> None:
    blueprint = Blueprint.of(net(optimizers.SGD(10.0)))
    assert "0.32 is the highest" in why(blueprint, lambda rate: rate < 0.9)
    assert "0.1 is the highest" in why(blueprint, lambda rate: rate <= 0.1)
    assert "the usual one of SGD is 0.1" in why(blueprint, lambda rate: False)
    assert "the usual one of SGD is 0.1" in why(blueprint, None)
    assert why(Blueprint.of(net(optimizers.SGD(0.1))), None) == ""
    slow = Blueprint.of(net(optimizers.Adam(1e-9)))
    assert "too low: 0.00032 is the lowest" in why(slow, lambda rate: rate > 2e-4)


@pytest.mark.parametrize(
    ("deviation", "words"), [(5.0, "times too large"), (0.005, "times too small")]
)
def test_weights_that_are_off_are_named_with_figures(deviation: float, words: str) -> None:
    model = net(depth=3, kernel_initializer=initializers.RandomNormal(stddev=deviation))
    cause = weights_off(Blueprint.of(model))
    assert "the 3 hidden layers" in cause and words in cause
    figure = re.search(r"a deviation of ([\d.e-]+),", cause)
    assert figure is not None and float(figure[1]) == pytest.approx(deviation, rel=0.2)
    assert "HeNormal has 0.25 " in cause  # the root of 2 / 32
    assert "32 inputs of 'h1'" in cause  # most have so many
    assert weights_off(Blueprint.of(net(depth=3, kernel_initializer="he_normal"))) == ""
    zeros = weights_off(Blueprint.of(net(kernel_initializer="zeros")))
    assert "all have one value" in zeros


def test_exploding_is_seen_against_all_layers_behind() -> None:
    def step(**norms: float) -> StepStatistics:
        return StepStatistics(
            0,
            {
                name: LayerStatistics(name, gradient_norm=norm, gradient_size=1, update_ratio=1e-3)
                for name, norm in norms.items()
            },
        )

    # The last layer's gradient is as large as the first's; one between is not.
    (found, *_) = findings([step(a=5.0, b=1e-3, c=5.0)])
    assert (found.layer, found.verdict) == ("a", "exploding") and "'b'" in found.words
    assert findings([step(a=5.0, b=0.0, c=5.0)])[0].verdict != "exploding"


def test_weights_that_do_not_move_are_said_not_to() -> None:
    report = health.diagnose(net(optimizers.SGD(1e-30)), X, Y, remedies=False)
    assert any("do not move at all" in layer.cause for layer in report.layers)
    assert "0.0e" not in str(report) and "No layers" not in str(report)


# What one does with a report


def test_a_healthy_net_is_its_own_cure() -> None:
    model = net()
    report = health.diagnose(model, X, Y)
    assert report.verdict == "healthy" and report.best is None
    assert report.cure() is model and report.fit_arguments == {}


def test_a_sick_net_is_cured() -> None:
    model = net(optimizers.SGD(30.0))
    report = health.diagnose(model, X, Y)
    cured = report.cure()
    assert cured is not model
    cured.fit(X, Y, verbose=0, epochs=3, **report.fit_arguments)
    assert np.mean(cured.predict(X, verbose=0).argmax(axis=1) == Y) > 0.85
    assert "model = report.cure()" in str(report)
    useless = [line for line in str(report).splitlines() if line.startswith("Tried and useless")]
    assert len(useless) == 1


def test_where_nothing_helped_one_is_told() -> None:
    model = net(optimizers.SGD(30.0))
    report = health.diagnose(model, X, Y, remedies=False)
    with pytest.warns(UserWarning, match="learning_rate: no remedy") as caught:
        assert report.cure() is model
    assert caught[0].filename == __file__
    with pytest.raises(ValueError, match="does not know the model"):
        replace(report, given=unknown_model).cure()


def test_warnings_point_at_the_users_line() -> None:
    model = net(optimizers.SGD(1e-30))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, Y, verbose=0, callbacks=[callbacks.GradientHealth(every=1, window=5)])
    found = [w for w in caught if issubclass(w.category, UserWarning)]
    assert found and all(w.filename == __file__ for w in found)
