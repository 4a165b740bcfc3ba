"""Which steps are looked at: every so many, in all ways to train, and what if one is stopped."""

from __future__ import annotations

from math import isnan
from typing import Any

import numpy as np
import pytest
from nets import assert_same_bits, set_seeded_weights
from tape import Tape
from watching import (
    BATCH,
    CASES,
    CLOSE,
    ROWS,
    Follow,
    Watch,
    X,
    Y,
    check_step,
    dense,
    hidden,
    norm,
    quiet_fit,
    sequential,
    with_dead_units,
)

import fastnn as fnn
from fastnn import optimizers
from fastnn.models import executables

pytestmark = pytest.mark.usefixtures("two_threads")


@pytest.mark.parametrize("hears_batches", [False, True])
@pytest.mark.parametrize("every", [1, 3, 4, 7, 100])
def test_steps_looked_at_are_multiples(every: int, hears_batches: bool) -> None:
    """Of the optimizer's steps, over epochs and trainings."""
    model = CASES["adam"].compiled()
    watch = (Follow if hears_batches else Watch)(every)
    quiet_fit(model, X, Y, epochs=3, callbacks=[watch])
    assert watch.steps == [step for step in range(12) if step % every == 0]
    quiet_fit(model, X[:40], Y[:40], epochs=2, callbacks=[watch])
    assert watch.steps == [step for step in range(18) if step % every == 0]


def test_each_callback_gets_its_own() -> None:
    watches = [Watch(4), Watch(6), Watch(0), Watch(1000)]
    model = CASES["adam"].fit(*watches, epochs=4)
    assert [watch.steps for watch in watches] == [[0, 4, 8, 12], [0, 6, 12], [], [0]]
    alone = Watch(6)
    CASES["adam"].fit(alone, epochs=4)
    assert repr(alone.seen) == repr(watches[1].seen)
    assert model.optimizer.iterations == 16


def test_nobody_looks_where_nobody_asks() -> None:
    watch = Watch(0)
    model = CASES["adam"].compiled()
    quiet_fit(model, X, Y, callbacks=[watch])
    with model._executables.lend(BATCH, model._objectives(), model._updates(), {}) as executable:
        assert "keep_weights" not in str(executable.program)
        assert executable.program.record.width == 1
    assert watch.seen == []


def test_statistics_come_before_the_progress_and_the_end_of_the_batch() -> None:
    heard: list[tuple[str, int]] = []

    class Hear(Watch):
        def on_statistics(self, statistics: Any) -> None:
            heard.extend(("statistics", each.step) for each in statistics)

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            heard.append(("end", batch))

        def on_train_progress(self, examples_done: int, logs: Any = None) -> None:
            heard.append(("progress", examples_done))

    CASES["adam"].fit(Hear(2), epochs=1)
    assert heard == [
        ("statistics", 0), ("end", 0), ("progress", 16), ("end", 1), ("progress", 32),
        ("statistics", 2), ("end", 2), ("progress", 48), ("end", 3), ("progress", 60),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["adam", "clipnorm", "dropout", "shared"])
def test_runs_of_any_length(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine comes back whenever its time is over."""
    whole, parts = Watch(3, 4), Watch(3, 4)
    CASES[name].fit(whole, epochs=4)
    monkeypatch.setattr(executables, "INTERVAL", 0.0)
    CASES[name].fit(parts, epochs=4)
    assert repr(parts.seen) == repr(whole.seen)


@pytest.mark.parametrize("kind", ["list", "generator"])
def test_iterables_of_batches(kind: str) -> None:
    """Of several sizes; a program each."""
    whole, watch = Watch(), Follow(1)
    model = CASES["adam"].fit(whole, epochs=1)
    batches = [(X[i : i + BATCH], Y[i : i + BATCH]) for i in range(0, ROWS, BATCH)]
    other = CASES["adam"].compiled()
    other.fit(batches if kind == "list" else iter(batches), verbose=0, callbacks=[watch])
    assert_same_bits(other.get_weights(), model.get_weights())
    assert repr(watch.seen) == repr(whole.seen)


# Gradients that are not finite, and those that no bound proves


STEEP = sequential(dense(21, "relu", name="first"))


def bad_data(batch: int) -> Any:
    x = np.array(np.tile(X[:48], (2, 1)))
    x[BATCH * batch + 3] = 3e38
    return x, np.tile(Y[:48], 2)


@pytest.mark.parametrize("clip", [{}, {"clipnorm": 0.5}], ids=["fused", "stored"])
def test_a_step_that_is_left_out_has_no_statistics(clip: dict[str, float]) -> None:
    """The others have those that they would have."""
    model, watch = set_seeded_weights(STEEP(), 3), Follow()
    model.compile(optimizers.SGD(0.1, nonfinite="skip", **clip), "sparse_categorical_crossentropy")
    x, y = bad_data(2)
    quiet_fit(model, x, y, callbacks=[watch])
    assert watch.steps == [0, 1, 3, 4, 5]
    for found in watch.seen:
        rows = slice(BATCH * found.step, BATCH * (found.step + 1))
        before, after = watch.before[found.step], watch.after[found.step]
        check_step(found, Tape(before).run(model, [x[rows]], [y[rows]]), before, after)


@pytest.mark.parametrize("clip", [{}, {"clipnorm": 0.5}], ids=["fused", "stored"])
def test_statistics_of_the_steps_before_an_error_are_there(clip: dict[str, float]) -> None:
    model, watch = set_seeded_weights(STEEP(), 3), Watch()
    model.compile(optimizers.SGD(0.1, **clip), "sparse_categorical_crossentropy")
    with pytest.raises(fnn.NonFiniteGradientError):
        quiet_fit(model, *bad_data(4), callbacks=[watch])
    assert watch.steps == [0, 1, 2, 3]


@pytest.mark.parametrize("clip", [{}, {"clipvalue": 1.0}], ids=["fused", "clipvalue"])
def test_numbers_that_are_not_finite_are_counted(clip: dict[str, float]) -> None:
    """A weight is infinite: all gradients of the layers before it are NaN."""
    model, watch = CASES["adam"].compiled(), Watch()
    model.compile(
        optimizers.SGD(0.1, nonfinite="propagate", **clip), "sparse_categorical_crossentropy"
    )
    weights = model.get_weights()
    weights[4][2, 1] = np.inf  # of the last kernel
    model.set_weights(weights)
    quiet_fit(model, X[:BATCH], Y[:BATCH], callbacks=[watch])
    (found,) = watch.seen
    assert found.layers["first"].nonfinite == 9 * 21 + 21
    assert found.layers["second"].nonfinite == 21 * 18 + 18
    # One logit a row is infinite; where it is so above all, all probabilities are NaN.
    assert found.layers["last"].nonfinite == BATCH + 18 * 4 + 4
    assert isnan(found.layers["first"].gradient_norm)
    assert isnan(found.layers["first"].gradient_max)


@pytest.mark.parametrize("window", [1, 3])
def test_steps_that_no_bound_proves_are_looked_at_all_the_same(window: int) -> None:
    """Another program runs them; what is dead is not forgotten on the way."""
    model, watch = with_dead_units(), Follow(1, window)
    model.optimizer.learning_rate = 1e-33
    x = np.array(X)
    x[BATCH : 2 * BATCH] *= np.float32(1e31)
    quiet_fit(model, x, Y, epochs=2, callbacks=[watch])
    assert watch.steps == list(range(8))
    for found in watch.seen:
        first = found.step % 4 * BATCH
        rows = slice(first, first + BATCH)
        step = Tape(watch.before[found.step]).run(model, [x[rows]], [Y[rows]])
        gradients = [step.gradients[f"{hidden(model)}/{name}"] for name in ("kernel", "bias")]
        layer = found.layers[hidden(model)]
        assert layer.gradient_norm == pytest.approx(norm(gradients), rel=CLOSE)
        assert layer.gradient_norm > (1e28 if found.step % 4 == 1 else 0)
        assert layer.dead == (0.25 if found.step >= window else 0.0)
