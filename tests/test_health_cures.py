"""How changes are tried and ranked."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import fastnn as fnn
import fastnn.health.cures
from fastnn import layers, optimizers
from fastnn.health.attempt import Attempt
from fastnn.health.blueprint import Blueprint
from fastnn.health.changes import Change, combine, overhaul
from fastnn.health.changes.initialization import initialization
from fastnn.health.changes.normalization import normalization
from fastnn.health.changes.scaling import input_scale
from fastnn.health.changes.training import learning_rate, optimizer
from fastnn.health.cures import Cures
from fastnn.health.outlook import Outlook
from fastnn.health.plain import plain
from fastnn.health.report import Progress, Remedy, Trial
from fastnn.health.sample import draw
from fastnn.verdicts import Thresholds

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


def tried(
    changes: list[Change], reference: float = 0.0, steps: int = 40, **settings: Any
) -> dict[str, Remedy]:
    """
    Args:
        reference: What a sound net learns.
        settings: ``net``, instead of the usual one; ``longer``, what it learned in four times the
            steps.
    """
    progress = [Progress(steps, 0.0, (reference,))]
    if "longer" in settings:
        progress.append(Progress(4 * steps, settings["longer"], (reference,)))
    net = settings.get("net") or model()
    cures = Cures(net, Trial((), learned=0.0), "", progress, SAMPLE, steps, 32)
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
    assert max(seen) <= 5 and min(seen) >= 4
    assert trial_of(found["batch_size_128"]).batch_size == 128


def test_only_the_best_go_on() -> None:
    found = tried([in_batches_of(rows) for rows in range(16, 26)])
    rows = [len(trial_of(r).losses) * trial_of(r).batch_size for r in found.values()]
    for seen, part in zip(rows, [1] * 4 + [3] * 4 + [6] * 2, strict=True):
        assert 1280 // part - 25 < seen <= 1280 // part


def test_the_two_best_combinations_go_on() -> None:
    changes = [faster(10.0**-number, str(number)) for number in range(2, 7)]
    found = tried(changes, reference=0.9, steps=30)
    steps = [len(trial_of(remedy).losses) for name, remedy in found.items() if "+" in name]
    assert steps == [30, 30, 10, 10]


def test_where_nothing_cures_the_best_are_seen_longer() -> None:
    changes = [faster(10.0**-number, str(number)) for number in range(2, 7)]
    found = list(tried(changes, reference=9.9, steps=30).values())
    steps = [len(trial_of(remedy).losses) for remedy in found]
    assert steps[:4] == [120] * 4 and max(steps[4:]) == 30
    assert found[0].helped
    # What the net learns by itself in as many steps is no remedy's merit.
    learned = trial_of(found[0]).learned
    again = tried(changes, reference=9.9, steps=30, longer=learned)
    assert not again[found[0].name].helped


def test_three_faults_that_hide_each_other_are_mended_at_once() -> None:
    fnn.utils.set_random_seed(0)
    hidden = layers.Dense(32, "relu", kernel_initializer="zeros")
    broken = fnn.Sequential(
        [layers.Input((6,)), layers.Rescaling(1e-9), hidden, layers.Dense(3, "softmax")]
    )
    broken.compile(optimizers.SGD(1e-9), "sparse_categorical_crossentropy")
    blueprint = Blueprint.of(broken)
    mending = [*input_scale(blueprint, X), *initialization(blueprint), *optimizer(blueprint)]
    useless = [faster(1e-9 * number, str(number)) for number in range(1, 8)]
    found = tried([*mending, *useless], reference=1.0, steps=300, net=broken)
    name, first = next(iter(found.items()))
    assert name == "input_scale+initialization+optimizer" and trial_of(first).learned > 0.3


def test_no_combination_is_tried_twice() -> None:
    sick = model(hidden=8)
    sick.compile(optimizers.Adam(1e-7), "sparse_categorical_crossentropy")
    blueprint = Blueprint.of(sick)
    changes = [*learning_rate(blueprint), *normalization(blueprint)]
    progress = [Progress(40, 0.0, (9.9,))]
    cures = Cures(sick, Trial((), learned=0.0), "", progress, SAMPLE, 40, 32)
    parts = [frozenset(remedy.name.split("+")) for remedy in cures.try_all(changes)]
    assert frozenset({"learning_rate_default", "batch_normalization"}) in parts
    assert len(set(parts)) == len(parts)


def test_an_overhaul_takes_of_each_kind_what_the_sound_net_has() -> None:
    def named(*names: str) -> list[Change]:
        return [Change(name, "", name) for name in names]

    assert overhaul(named("initialization", "residual", "clipping")) is None
    found = overhaul(
        named(
            "learning_rate_default", "learning_rate_up", "optimizer", "layer_normalization",
            "batch_normalization", "depth", "loss",
        )
    )  # fmt: skip
    assert found is not None and found.name == "loss+batch_normalization+optimizer"


def test_a_few_steps_at_least() -> None:
    found = tried([in_batches_of(1280)])
    assert len(trial_of(found["batch_size_1280"]).losses) == 5


def test_what_only_says_how_long_to_train_has_the_trial_of_the_untreated_net() -> None:
    stopping = Change("early_stopping", "", "", fit_arguments=lambda: {"callbacks": []})
    untreated = Trial((2.0, 1.0), 0.9)
    cures = Cures(model(), untreated, "vanishing", (), SAMPLE, 40, 32)
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


class _Looked:
    """What a look at changes says, by name."""

    def __init__(self, **shares: float) -> None:
        self.shares = shares

    def share(self, attempt: Attempt) -> float:
        return self.shares[attempt.change.name]

    def was_healthy(self, name: str) -> bool:
        return self.shares[name] > 0


def test_of_remedies_that_may_not_do_the_one_that_goes_furthest_is_first() -> None:
    def first(**shares: float) -> str | None:
        cures = Cures(
            model(), Trial(()), "learning_rate", [Progress(40, 0.0, (0.9,))], SAMPLE, 40, 32,
            _Looked(**shares),  # type: ignore[arg-type]
        )  # fmt: skip
        changes = [replace(faster(0.02), name="undoing", category="learning_rate"),
                   replace(faster(0.03), name="other")]  # fmt: skip
        attempts = [cures._attempt(each, 40) for each in changes]
        found = cures._simplest(attempts) or cures._furthest(attempts)
        return found and found.change.name

    assert first(undoing=0.96, other=1.0) == "undoing"
    assert first(undoing=0.92, other=1.0) == "other"
    assert first(undoing=0.92, other=0.93) == "other"
    assert first(undoing=0.92, other=0.91) == "undoing"
    assert first(undoing=0.0, other=0.0) is None


class _Fold:
    """A sound net that learns 0.8 from the first look on."""

    def after(self, steps: int) -> tuple[float, ...]:
        return (0.8,)


class _Two:
    def at(self, fold: int) -> Any:
        return fold, _Fold()


def test_a_remedy_is_looked_at_on_two_folds_and_must_keep_what_it_has_learned() -> None:
    def share(*folds: tuple[float, float]) -> float:
        """
        Args:
            folds: What is learned before the last fifth of the steps, and in it.
        """

        def looks(after: Any, batch_size: int, sample: int) -> Any:
            return ((n, folds[sample][n > 0.8 * after[-1]]) for n in after)

        attempt: Any = SimpleNamespace(
            change=SimpleNamespace(name="it"), trial=Trial(()), looks=looks
        )
        outlook = Outlook(_Two(), 100, False, True, 100, 32, Thresholds())  # type: ignore[arg-type]
        found = outlook.share(attempt)
        assert outlook.was_healthy("it") == (found > 0)
        return found

    assert share((0.8, 0.8), (0.76, 0.76)) == pytest.approx(0.975)
    assert share((0.8, 0.8), (0.6, 0.6)) == 0  # 0.875 on both, which is below the limit
    assert share((0.6, 0.6), (0.8, 0.8)) == 0
    # Healthy by what it had, but that is not what one has in the end.
    assert share((0.8, 0.6), (0.8, 0.6)) == pytest.approx(0.75)


def test_what_undoes_a_known_cause_comes_before_combinations_if_the_net_learns_with_it() -> None:
    progress = [Progress(40, 0.0, (0.9,))]

    def undone(
        first: Change | None, rate: float, certain: str = "initialization"
    ) -> Attempt | None:
        cures = Cures(
            model(), Trial(()), "exploding", progress, SAMPLE, 40, 32, certain=certain
        )  # fmt: skip
        changes = [faster(0.02), faster(rate, "initialization")]
        attempts = [cures._attempt(each, 40) for each in changes]
        return cures._undone(first and cures._attempt(first, 40), attempts)

    both = combine(faster(0.02), in_batches_of(64))
    for first in (both, None):
        found = undone(first, 0.01)
        assert found is not None and found.change.category == "initialization"
        assert len(found.trial.losses) == 160  # it says what the net comes to in a longer trial
    assert undone(faster(0.02), 0.01) is None  # a single change cures
    assert undone(both, 1e-7) is None  # the net learns nothing with it
    assert undone(both, 0.01, certain="") is None
