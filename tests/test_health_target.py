"""Targets far from mean 0 and deviation 1: found out, and cured inside of the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn as fnn
from fastnn import layers, losses, optimizers
from fastnn.health import diagnose
from fastnn.health.blueprint import Blueprint
from fastnn.health.changes.target import target_scale, targets_off
from fastnn.health.standard import Standard

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((2000, 4)).astype(np.float32)
SCORE = X[:, 0] + np.tanh(2 * X[:, 1])


def net(columns: int = 1, loss: Any = "mse", optimizer: Any = "adam", last: Any = None) -> Any:
    fnn.utils.set_random_seed(0)
    model = fnn.Sequential(
        [layers.Input((4,)), layers.Dense(32, "relu"), layers.Dense(columns, last)]
    )
    model.compile(optimizer, loss)
    return model


def r2(model: Any, y: Any) -> float:
    predicted = model.predict(X, verbose=0).reshape(y.shape)
    return float((1 - ((predicted - y) ** 2).mean(axis=0) / y.var(axis=0)).min())


def change(model: Any, y: Any) -> Any:
    (found,) = target_scale(Blueprint.of(model), y)
    return found


@pytest.mark.parametrize("columns", [1, 3])
@pytest.mark.parametrize("loss", ["mse", "mae"])
def test_steps_are_those_on_a_standardised_target(columns: int, loss: str) -> None:
    y = (np.stack([SCORE] * columns, axis=1) * 5e4 + 2e5).astype(np.float32)
    standard = Standard.of(y, losses.get(loss))
    changed = change(net(columns, loss, optimizers.SGD(0.01)), y).apply(
        net(columns, loss, optimizers.SGD(0.01))
    )
    plain = net(columns, loss, optimizers.SGD(0.01))
    small = ((y - standard.mean) / standard.deviation).astype(np.float32)
    for model, target in ((changed, y), (plain, small)):
        fnn.utils.set_random_seed(1)
        model.fit(X, target, epochs=1, verbose=0)
    for mine, other in zip(changed.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, rtol=2e-3, atol=2e-4)
    back = plain.predict(X, verbose=0) * standard.deviation + standard.mean
    np.testing.assert_allclose(changed.predict(X, verbose=0), back, rtol=1e-2)


@pytest.mark.parametrize(
    ("scale", "offset"), [(5e4, 2e5), (1e5, 3e6), (1e-4, 0.0), (1e9, 0.0), (1.0, 50.0)]
)
def test_what_no_net_can_reach_is_found_and_cured(scale: float, offset: float) -> None:
    y = scale * SCORE + offset
    model = net()
    report = diagnose(model, X, y)
    assert report.verdict == "target_scale"
    assert "mean" in report.cause and "deviation" in report.cause
    first = report.remedies[0]
    assert "target_scale" in first.name and first.helped
    assert first.trial is not None and first.trial.r2 > 0.8 > report.untreated.r2 + 0.5
    # Losses are in the user's units, whatever the model weighs them by.
    assert first.trial.loss < 0.2 * y.var() < report.untreated.loss
    cured = first.apply()
    for each in (model, cured):
        each.fit(X, y, epochs=15, verbose=0)
    assert r2(cured, y) > 0.95 > 0.8 > r2(model, y)


def test_a_saved_model_predicts_in_the_users_units(tmp_path: Path) -> None:
    y = np.stack([1e-3 * SCORE, 1e4 * SCORE + 7e4], axis=1)  # a layer for each column
    model = change(net(2), y).apply(net(2))
    model.fit(X, y, epochs=20, verbose=0)
    assert r2(model, y) > 0.95
    model.save(tmp_path / "m.safetensors")
    loaded = fnn.load_model(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(loaded.predict(X, verbose=0), model.predict(X, verbose=0))


def test_outputs_keep_their_names() -> None:
    inputs = layers.Input((4,))
    hidden = layers.Dense(16, "relu")(inputs)
    outputs = [layers.Dense(1, name=name)(hidden) for name in ("price", "area")]
    model = fnn.Model(inputs, outputs)
    model.compile("adam", {"price": "mse", "area": "mae"}, loss_weights={"price": 2.0})
    y = {"price": 1e6 * SCORE, "area": SCORE}
    changed = change(model, y).apply(model)
    assert changed.output_names == ["price", "area"]
    weights = changed._check_compiled().loss_weights
    assert weights["price"] == pytest.approx(2.0 / y["price"].var(), rel=1e-6)
    assert weights.get("area", 1.0) == 1.0
    assert {w.path.split("/")[0] for w in changed.weights} == {
        layer.name for layer in changed.layers if layer.weights
    }
    changed.fit(X, y, epochs=1, verbose=0)
    assert "'price'" in targets_off(Blueprint.of(model), y)


def test_an_output_that_cuts_off_becomes_linear() -> None:
    y = 100 * SCORE + 1000
    changed = change(net(last="relu"), y).apply(net(last="relu"))
    assert changed.layers[-2].activation.kind == "linear"
    assert isinstance(changed.layers[-1], layers.Rescaling)


@pytest.mark.parametrize(
    ("y", "loss"),
    [
        (SCORE, "mse"),
        ((SCORE > 0).astype(float), "mse"),
        ((SCORE > 1.5).astype(float), "binary_crossentropy"),
        (np.exp(SCORE) * 100, "poisson"),
        (list("abc"), "mse"),
    ],
)
def test_nothing_is_said_of_other_targets(y: Any, loss: str) -> None:
    blueprint = Blueprint.of(net(loss=loss))
    assert target_scale(blueprint, y) == [] and targets_off(blueprint, y) == ""


def test_stray_rows_do_not_set_the_scale_of_an_absolute_error() -> None:
    y = SCORE.copy()
    y[:20] = 1e6
    assert Standard.of(y, losses.get("mae")).deviation[0] == pytest.approx(SCORE.std(), rel=0.3)
    assert Standard.of(y, losses.get("mse")).deviation[0] > 1e4
    constant = Standard.of(np.full(50, 3e7), losses.get("mse"))
    assert constant.deviation[0] == 1.0 and constant.mean[0] == 3e7


def test_a_cured_net_is_healthy() -> None:
    y = 1e5 * SCORE + 3e6
    model = change(net(), y).apply(net())
    assert diagnose(model, X, y).verdict == "healthy"
