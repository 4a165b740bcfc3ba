"""health.assert_healthy: silent or not, what its message says, what it leaves alone."""

from __future__ import annotations

import pickle
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nets import blobs

import fastnn as fnn
from fastnn import health, layers, utils
from fastnn.health import LayerReport, Report, Trial, UnhealthyError
from fastnn.initializers import Constant


def net(depth: int, activation: str, **dense: Any) -> Any:
    fnn.utils.set_random_seed(0)
    hidden = [layers.Dense(16, activation, name=f"h{i}", **dense) for i in range(depth)]
    last = layers.Dense(4, activation="softmax", name="out")
    model = fnn.Sequential([layers.Input((9,)), *hidden, last], name="mine")
    model.compile(fnn.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    return model


def bits(model: Any) -> list[bytes]:
    return [a.tobytes() for a in [*model.get_weights(), *model._training_state().values()]]


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_a_healthy_net(activation: str) -> None:
    report = health.assert_healthy(net(2, activation), *blobs(400))
    assert report.verdict == "healthy" and report.remedies == ()
    assert len(report.untreated.losses) == 100 and report.untreated.batch_size == 32


@pytest.mark.parametrize(
    ("model", "verdict", "layer"),
    [
        (lambda: net(12, "sigmoid"), "vanishing", "h0"),
        (lambda: net(2, "relu", bias_initializer=Constant(-100)), "dead", "h1"),
    ],
)
def test_a_sick_net(model: Any, verdict: str, layer: str) -> None:
    with pytest.raises(UnhealthyError) as caught:
        health.assert_healthy(model(), *blobs(400))
    assert isinstance(caught.value, AssertionError)
    report = caught.value.report
    assert report.verdict == verdict and report.remedies == ()
    lines = str(caught.value).splitlines()
    assert lines[0] == f"model 'mine' is not healthy: {verdict}"
    assert report.cause in lines[1]
    assert f"{layer!r}" in "\n".join(lines[2:-1]) and verdict in lines[2]
    assert len(lines) < 10 and "diagnose" in lines[-1]


def test_arguments_reach_the_diagnosis() -> None:
    x, y = blobs(400)
    report = health.assert_healthy(net(1, "relu"), x, y, steps=60, batch_size=16)
    assert len(report.untreated.losses) == 60 and report.untreated.batch_size == 16
    other = health.assert_healthy(net(1, "relu"), x, y, steps=60, batch_size=16, seed=1)
    assert other.untreated.losses != report.untreated.losses
    heavy = health.assert_healthy(net(1, "relu"), x, y, np.full(400, 2.0), steps=60, batch_size=16)
    assert heavy.untreated.losses[0] == pytest.approx(2 * report.untreated.losses[0], rel=1e-6)
    with pytest.raises(UnhealthyError) as strict:
        health.assert_healthy(
            net(12, "sigmoid"), x, y, thresholds=health.Thresholds(vanishing=0.0, small_steps=1e9)
        )
    assert strict.value.report.verdict == "learning_rate"


def test_nothing_is_changed() -> None:
    x, y = blobs(400)
    for model in (net(2, "relu"), net(12, "sigmoid")):
        model.fit(x, y, verbose=0)
        before, random = bits(model), utils.random_state()
        with suppress(UnhealthyError):
            health.assert_healthy(model, x, y, steps=20)
        assert bits(model) == before and utils.random_state() == random


@pytest.mark.parametrize(
    ("settings", "fault"),
    [({"steps": 0}, "steps"), ({"batch_size": 0}, "batch_size"), ({"y": None}, "y")],
)
def test_bad_arguments_are_no_verdict(settings: dict[str, Any], fault: str) -> None:
    x, y = blobs(100)
    with pytest.raises(ValueError, match=fault):
        health.assert_healthy(net(1, "relu"), **({"x": x, "y": y} | settings))
    with pytest.raises(ValueError, match="not compiled"):
        health.assert_healthy(fnn.Sequential([layers.Input((9,)), layers.Dense(4)]), x, y)


def sick(*verdicts: str) -> UnhealthyError:
    found = tuple(
        LayerReport(f"h{i}", "Dense", verdict, f"cause {i}" * (verdict != "healthy"))
        for i, verdict in enumerate(verdicts)
    )
    return UnhealthyError(Report("vanishing", "they vanish", found, (), Trial(())))


def test_neighbours_have_one_line() -> None:
    text = str(sick("vanishing", "vanishing", "healthy", "dead", "vanishing"))
    assert text.splitlines()[0] == "the model is not healthy: vanishing"
    assert text.splitlines()[2:-1] == [
        "  'h0' to 'h1' (2 layers): vanishing, cause 0",
        "  'h3': dead, cause 3",
        "  'h4': vanishing, cause 4",
    ]


def test_a_message_has_few_lines() -> None:
    lines = str(sick(*["vanishing", "dead"] * 3)).splitlines()
    assert lines[2:-1][3:] == ["  'h3': dead, cause 3", "  ... 2 more ..."]
    assert len(str(sick(*["vanishing", "dead"] * 30)).splitlines()) == len(lines)
    assert "more" not in str(sick(*["vanishing", "dead"] * 2, "vanishing"))


def test_it_can_be_sent_to_another_process() -> None:
    error = pickle.loads(pickle.dumps(sick("vanishing")))
    assert isinstance(error, UnhealthyError) and str(error) == str(sick("vanishing"))


def test_pytest_shows_the_line_of_the_test(tmp_path: Path) -> None:
    test = tmp_path / "test_it.py"
    test.write_text(
        "from test_assert_healthy import blobs, health, net\n"
        "def test_mine():\n"
        "    health.assert_healthy(net(12, 'sigmoid'), *blobs(100), steps=20)  # here\n"
    )
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(test)],
        capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 1
    assert "# here" in result.stdout and "is not healthy: vanishing" in result.stdout
    assert "def assert_healthy" not in result.stdout
