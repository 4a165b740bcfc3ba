"""What the engine says of each layer of a step, against a float64 tape on the same tensors."""

from __future__ import annotations

from math import isnan
from typing import Any

import numpy as np
import pytest
import twins
from nets import assert_same_bits, set_seeded_weights
from tape import Tape
from watching import BATCH, CASES, CLOSE, Follow, Watch, X, Y, Z, check_step, norm, quiet_fit

import fastnn as fnn
from fastnn import layers

pytestmark = pytest.mark.usefixtures("two_threads")


@pytest.mark.parametrize("name", CASES)
def test_figures_are_those_of_numpy(name: str) -> None:
    case, follow = CASES[name], Follow()
    model = case.fit(follow)
    assert follow.steps == list(range(len(follow.before))) == list(range(8))
    for found, before, after in zip(follow.seen, follow.before, follow.after, strict=True):
        tape = Tape(before, found.step)
        xs, ys = case.batch(found.step)
        step = tape.run(model, xs, ys, case.shares)
        if name == "clipvalue":
            step.gradients = {p: np.clip(g, -0.01, 0.01) for p, g in step.gradients.items()}
        check_step(found, step, before, after)
        assert [n for n in found.layers if n in tape.outputs] == list(found.layers)
        assert all(isnan(found.layers[n].mean) == (n in case.silent) for n in found.layers)


@pytest.mark.parametrize("name", CASES)
def test_looking_changes_no_bit(name: str) -> None:
    """Neither of weights nor slots, nor of the figures, for any team and however the steps are
    bundled."""
    case = CASES[name]
    plain = case.fit()
    states, figures = [], set()
    for number in (1, 2, 3):
        fnn.set_num_threads(number)
        for watch in (Watch(), Follow()):
            states.append(state(case.fit(watch)))
            figures.add(repr(watch.seen))
    for found in states:
        assert_same_bits(found, state(plain))
    assert len(figures) == 1


def state(model: Any) -> list[Any]:
    return [*model.get_weights(), *model._training_state().values()]


def test_sparse_inputs_and_plain_ones_are_looked_at_by_several_programs() -> None:
    """Or some of these tests would show less than they seem to."""
    stored = {"global_clipnorm", "clipnorm", "adaptive_clip", "use_ema", "muon", "max_norm"}
    for name in ("adam", "sparse-matrix", *stored):
        model = CASES[name].compiled()
        rows = {0: 60} if name == "sparse-matrix" else {}
        with model._executables.lend(
            16, model._objectives(), model._updates(), rows, window=1
        ) as e:
            text = str(e.program)
        assert ("keep_weights" in text) and ("_summaries=" in text) == (name not in stored), name
        assert ("weights_sparse" in text) == (name == "sparse-matrix")


# Names


def test_layers_stand_in_the_models_order() -> None:
    watch = Watch()
    CASES["residual"].fit(watch, epochs=1)
    assert list(watch.seen[0].layers) == ["first", "a", "b", "r", "c", "s_projection", "s", "last"]
    assert watch.seen[0].layers["s_projection"].gradient_size == 20 * 7


def test_a_sigmoid_within_the_loss_shows_its_inputs() -> None:
    model = fnn.Sequential([layers.Input((9,)), layers.Dense(3, activation="sigmoid", name="last")])
    set_seeded_weights(model, 3)
    model.compile("sgd", "binary_crossentropy")
    watch = Follow()
    targets = (Z > 0).astype(np.float32)
    quiet_fit(model, X, targets, epochs=1, callbacks=[watch])
    assert list(watch.seen[0].layers) == ["last"]
    found, before = watch.seen[0].layers["last"], watch.before[0]
    logits = X[:BATCH].astype(np.float64) @ before["last/kernel"] + before["last/bias"]
    assert found.activation == "linear"
    assert found.deviation == pytest.approx(logits.std(), rel=CLOSE)
    dz = (twins.ACTIVATIONS["sigmoid"].value(logits) - targets[:BATCH]) / logits.size
    gradient = norm([X[:BATCH].astype(np.float64).T @ dz, dz.sum(axis=0)])
    assert found.gradient_norm == pytest.approx(gradient, rel=CLOSE)


def test_a_weight_that_is_zero_has_no_update_ratio() -> None:
    model, watch = CASES["sgd"].compiled(), Watch()
    weights = model.get_weights()
    weights[4][:] = 0
    model.set_weights(weights)
    quiet_fit(model, X, Y, callbacks=[watch])
    ratios = watch.figures("last", "update_ratio")
    assert isnan(ratios[0])
    assert all(ratio > 0 for ratio in ratios[1:])
