"""Which units the engine calls saturated, and which dead."""

from __future__ import annotations

from math import isnan
from typing import Any

import numpy as np
import pytest
import twins
from nets import classifier, set_seeded_weights
from watching import (
    BATCH,
    CLOSE,
    ROWS,
    Watch,
    X,
    Y,
    dense,
    hidden,
    quiet_fit,
    sequential,
    with_dead_units,
)

from fastnn import layers, optimizers

pytestmark = pytest.mark.usefixtures("two_threads")

# What is saturated


FLAT = ("sigmoid", "tanh", "softsign", "hard_sigmoid", "softplus", "elu", "selu")


@pytest.mark.parametrize("activation", twins.ACTIVATIONS)
def test_saturated_is_where_the_slope_is_small(activation: str) -> None:
    """Below a twentieth of its largest."""

    def steep() -> Any:
        model = sequential(dense(90, activation, name="first"))()
        model.set_weights([4 * w for w in set_seeded_weights(model, 3).get_weights()])
        model.compile(optimizers.SGD(0.0), "sparse_categorical_crossentropy")
        return model

    model, watch = steep(), Watch()
    model.fit(X, Y, batch_size=ROWS, shuffle=False, verbose=0, callbacks=[watch])
    (found,) = watch.figures("first", "saturated")
    assert watch.figures("first", "activation") == [activation]
    kernel, bias = (w.astype(np.float64) for w in model.get_weights()[:2])
    slope = twins.ACTIVATIONS[activation].slope
    largest = slope(np.linspace(-20, 20, 40001)).max()
    if activation not in FLAT:
        assert isnan(found)
        return
    share = np.mean(slope(X.astype(np.float64) @ kernel + bias) < 0.05 * largest)
    assert 0.01 < share < 0.99
    assert found == pytest.approx(share, rel=CLOSE)


@pytest.mark.parametrize("alpha", [0.01, 0.5, 1.0, 3.0])
def test_saturated_elu_of_any_depth(alpha: float) -> None:
    """Its slope is alpha at most where it bends, and 1 above."""
    model = sequential(dense(90, name="first"), lambda: layers.ELU(alpha, name="elu"))()
    set_seeded_weights(model, 3)
    model.compile(optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    watch = Watch()
    model.fit(4 * X, Y, batch_size=ROWS, shuffle=False, verbose=0, callbacks=[watch])
    kernel, bias = (w.astype(np.float64) for w in model.get_weights()[:2])
    z = 4 * X.astype(np.float64) @ kernel + bias
    slope = np.where(z > 0, 1, alpha * np.exp(np.minimum(z, 0)))
    (found,) = watch.figures("elu", "saturated")
    assert found == pytest.approx(np.mean(slope < 0.05 * max(1, alpha)), rel=CLOSE)


# What is dead


@pytest.mark.parametrize("every", [1, 2, 3])
@pytest.mark.parametrize("window", [1, 5, 8])
def test_dead_are_those_that_were_silent_for_the_window(window: int, every: int) -> None:
    model, watch = with_dead_units(), Watch(every, window)
    quiet_fit(model, X, Y, epochs=4, callbacks=[watch])
    assert watch.steps == list(range(0, 16, every))
    assert watch.figures(hidden(model), "dead") == [
        0.25 if step >= window else 0.0 for step in watch.steps
    ]
    assert set(watch.figures(hidden(model), "zeros")) == {0.25}


def test_the_longest_window_holds_for_all() -> None:
    model = with_dead_units()
    short, long = Watch(1, 2), Watch(2, 6)
    quiet_fit(model, X, Y, epochs=2, callbacks=[short, long])
    assert short.figures(hidden(model), "dead") == [0.0] * 6 + [0.25] * 2
    assert long.figures(hidden(model), "dead") == [0.0] * 3 + [0.25]


def test_one_example_brings_a_unit_back() -> None:
    x = np.full((12 * BATCH, 9), -1.0, np.float32)
    x[5 * BATCH + 3] = 1.0  # of step 5
    y = np.zeros(len(x), np.int64)
    model = classifier([9, 20, 4], optimizers.SGD(0.0))
    model.set_weights([np.ones((9, 20)), np.zeros(20), np.ones((20, 4)), np.zeros(4)])
    watch = Watch(1, 4)
    quiet_fit(model, x, y, callbacks=[watch])
    wanted = [0.0] * 4 + [1.0] + [0.0] * 4 + [1.0] * 3
    assert watch.figures(hidden(model), "dead") == wanted


@pytest.mark.parametrize("again", ["same window", "another", "in between without"])
def test_another_training_begins_its_windows_anew(again: str) -> None:
    model = with_dead_units()
    quiet_fit(model, X, Y, epochs=2, callbacks=[Watch(1, 3)])
    if again == "in between without":
        quiet_fit(model, X, Y)
    watch = Watch(1, 2 if again == "another" else 3)
    quiet_fit(model, X, Y, epochs=2, callbacks=[watch])
    wait = watch.statistics_window
    assert watch.figures(hidden(model), "dead") == [0.0] * wait + [0.25] * (8 - wait)


def test_windows_go_on_from_epoch_to_epoch_whatever_is_evaluated() -> None:
    model, watch = with_dead_units(), Watch(1, 6)
    quiet_fit(model, X, Y, epochs=2, validation_data=(X, Y), callbacks=[watch])
    assert watch.figures(hidden(model), "dead") == [0.0] * 6 + [0.25] * 2


def test_a_small_batch_of_an_iterable_is_no_window_of_its_own() -> None:
    """All units but the dead ones speak in each epoch; in its last batch, of one row, none does."""
    x = np.ones((33, 9), np.float32)
    x[32] = -1.0
    model = with_dead_units()
    weights = model.get_weights()
    weights[0][:, 5:], weights[1][5:] = 1.0, 0.0
    model.set_weights(weights)
    batches = [(x[i : i + 16], np.zeros(len(x[i : i + 16]), np.int64)) for i in (0, 16, 32)]
    watch = Watch(1, 3)
    model.fit(batches, epochs=4, verbose=0, callbacks=[watch])
    assert watch.figures(hidden(model), "zeros") == [0.25, 0.25, 1.0] * 4
    assert watch.figures(hidden(model), "dead") == [0.0] * 3 + [0.25] * 9
