"""Which of several changes comes first."""

from __future__ import annotations

import numpy as np
import pytest

import fastnn as fnn
from fastnn import layers
from fastnn.health.attempt import Attempt
from fastnn.health.blueprint import Blueprint
from fastnn.health.changes import Change, changes_for
from fastnn.health.ranking import UNDOING, ranked, recommended
from fastnn.health.report import VERDICTS, Trial
from fastnn.health.sample import draw

X = np.random.default_rng(0).standard_normal((50, 4)).astype(np.float32) * 100
Y = np.zeros((50, 1), np.float32)
SAMPLE = draw(X, Y, None, 50, 20, 10, seed=0)


def model() -> fnn.Sequential:
    net = fnn.Sequential(
        [layers.Input((4,)), layers.Dense(4, "sigmoid", kernel_initializer="ones"), layers.Dense(1)]
    )
    net.compile(fnn.optimizers.SGD(1e3), "binary_crossentropy")
    return net


def attempts(**learned: float) -> list[Attempt]:
    """Category, with two underscores for a plus -> what was learned."""
    blueprint = Blueprint.of(model())
    found = []
    for name, value in learned.items():
        category = name.replace("__", "+")
        attempt = Attempt(Change(category, "", category), blueprint, SAMPLE, 10, 5)
        attempt.trial = Trial((), 1.0 - value, learned=value)
        found.append(attempt)
    return found


def order(found: list[Attempt], verdict: str, rows: int = 1000) -> list[str]:
    return [each.change.category for each in recommended(found, verdict, rows)]


def test_of_equals_the_first_undoes_the_cause() -> None:
    # A standard error of 0.8 on 1000 rows is 0.0126.
    found = attempts(dropout=0.8, batch_size=0.798, learning_rate=0.79, input_scale=0.78)
    assert order(found, "learning_rate") == [
        "learning_rate",
        "dropout",
        "batch_size",
        "input_scale",
    ]
    assert order(found, "vanishing") == ["dropout", "batch_size", "learning_rate", "input_scale"]
    # Not within the error of the first, but of the best of the others.
    found = attempts(dropout=0.8, batch_size=0.78, input_scale=0.77)
    assert order(found, "input_scale") == ["dropout", "input_scale", "batch_size"]
    assert order(found, "input_scale", rows=100) == ["input_scale", "dropout", "batch_size"]


def test_then_a_single_change_comes_before_a_combination() -> None:
    found = attempts(clipping__loss=0.805, clipping__l2=0.804, clipping=0.8, loss__l2=0.7)
    assert order(found, "exploding") == ["clipping", "clipping+loss", "clipping+l2", "loss+l2"]
    assert order(found, "loss_mismatch")[:2] == ["clipping+loss", "clipping"]


def test_the_search_goes_by_what_was_learned_alone() -> None:
    found = attempts(dropout=0.8, learning_rate=0.79, loss=0.0, l2=0.0)
    found[2].trial = Trial((), float("nan"))
    assert [each.change.category for each in ranked(found[::-1])] == [
        "dropout", "learning_rate", "l2", "loss",
    ]  # fmt: skip


@pytest.mark.parametrize("verdict", sorted({*VERDICTS} - {"healthy", "impaired", "no_signal"}))
def test_each_verdict_has_a_change_that_undoes_it(verdict: str) -> None:
    net, y = model(), Y
    if verdict == "target_scale":
        net.compile("adam", "mse")
        y = Y + 1e5
    made = {change.category for change in changes_for(net, X, y)}
    assert UNDOING[verdict] <= made
