"""How changes are tried and ranked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

import fastnn as fnn
import fastnn.health.cures
from fastnn import layers, optimizers
from fastnn.health.attempt import Attempt
from fastnn.health.blueprint import Blueprint
from fastnn.health.changes import Change
from fastnn.health.changes.normalization import normalization
from fastnn.health.cures import Cures
from fastnn.health.plain import plain
from fastnn.health.report import Remedy, Trial
from fastnn.health.sample import draw

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((6000, 6)).astype(np.float32)
CLASSES = (X[:, 0] + X[:, 1] > 0).astype(int) + (X[:, 2] > 0)
SAMPLE = draw(X, CLASSES, None, len(X), 4000, 1000, seed=0)


def model(hidden: int = 0) -> fnn.Sequential:
    fnn.utils.set_random_seed(0)
    before = [layers.Dense(hidden, "relu", name="hidden")] if hidden else []
    output = layers.Dense(3, "softmax", name="dense")
    result = fnn.Sequential([layers.Input((6,)), *before, output])
    result.compile(optimizers.Adam(1e-2), "sparse_categorical_crossentropy")
    return result


def in_batches_of(rows: int) -> Change:
    return Change(
        f"batch_size_{rows}", "", "batch_size", fit_arguments=lambda: {"batch_size": rows}
    )


def faster(rate: float, category: str = "rate") -> Change:
    def edit(blueprint: Blueprint) -> Blueprint:
        return replace(blueprint, optimizer=optimizers.Adam(rate))

    return Change(f"rate_{rate}", "", category, edit)


def tried(changes: list[Change], **settings: Any) -> dict[str, Remedy]:
    arguments = {"steps": 40, "batch_size": 32, "reference": 0.0, "verdict": "", **settings}
    cures = Cures(model(), Trial((), learned=0.0), sample=SAMPLE, **arguments)
    return {remedy.name: remedy for remedy in cures.try_all(changes)}


def trial_of(remedy: Remedy) -> Trial:
    assert remedy.trial is not None
    return remedy.trial


def test_all_see_as_many_rows() -> None:
    found = tried(
        [Change("same", "", "", lambda blueprint: blueprint), in_batches_of(128), in_batches_of(8)]
    )
    steps = {name: len(trial_of(remedy).losses) for name, remedy in found.items()}
    assert steps == {"same": 40, "batch_size_128": 10, "batch_size_8": 160}
    # And as many figures of it.
    seen = [len(trial_of(remedy).steps) for remedy in found.values()]
    assert max(seen) <= 10 and min(seen) >= 8
    assert trial_of(found["batch_size_128"]).batch_size == 128


def test_only_the_best_go_on() -> None:
    found = tried([in_batches_of(rows) for rows in range(16, 26)])
    rows = [len(trial_of(r).losses) * trial_of(r).batch_size for r in found.values()]
    for seen, part in zip(rows, [1] * 4 + [3] * 4 + [6] * 2, strict=True):
        assert 1280 // part - 25 < seen <= 1280 // part


def test_combinations_are_tried_to_the_end() -> None:
    changes = [faster(10.0**-number, str(number)) for number in range(2, 7)]
    found = tried(changes, reference=1.0, steps=10)
    steps = {name: len(trial_of(remedy).losses) for name, remedy in found.items() if "+" in name}
    assert len(steps) >= 4 and set(steps.values()) == {10}


def test_a_few_steps_at_least() -> None:
    found = tried([in_batches_of(1280)])
    assert len(trial_of(found["batch_size_1280"]).losses) == 5


def test_what_only_says_how_long_to_train_has_the_trial_of_the_untreated_net() -> None:
    stopping = Change("early_stopping", "", "", fit_arguments=lambda: {"callbacks": []})
    untreated = Trial((2.0, 1.0), 0.9)
    cures = Cures(model(), untreated, "vanishing", 0.0, SAMPLE, 40, 32)
    (remedy,) = cures.try_all([stopping])
    assert remedy.trial is untreated and not remedy.helped


def test_an_attempt_that_goes_on_is_one_that_never_stopped(monkeypatch: Any) -> None:
    changes = [faster(rate) for rate in (1e-4, 1e-3, 1e-2, 1e-1)]  # all go on to the end
    at_once = {
        change.name: plain(Attempt(change, Blueprint.of(model()), SAMPLE, 40, 32).go_on().trial)
        for change in changes
    }
    assert {name: plain(remedy.trial) for name, remedy in tried(changes).items()} == at_once
    # Nor does it matter that there was no memory to wait in.
    monkeypatch.setattr(fastnn.health.cures, "_MOST_WEIGHTS", 0)
    assert {name: plain(remedy.trial) for name, remedy in tried(changes).items()} == at_once


def test_batch_normalization_gets_the_steps_that_its_statistics_need() -> None:
    (change,) = normalization(Blueprint.of(model(hidden=4)))[:1]

    def steps(part: int, whole: int, rows: int = 32) -> int:
        given = replace(change, fit_arguments=lambda: {"batch_size": rows})
        attempt = Attempt(given, Blueprint.of(model(hidden=4)), SAMPLE, whole, 32)
        return len(attempt.go_on(part).trial.losses)

    assert [steps(6, 100), steps(3, 100), steps(6, 100, rows=16)] == [30, 33, 33]
    # But not more than a trial has.
    assert [steps(6, 20), steps(1, 20), steps(6, 100, rows=128)] == [20, 20, 25]
