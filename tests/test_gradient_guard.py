"""A gradient that is not finite: the step raises, is left out, or goes through; nothing between."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from nets import assert_same_bits, blobs, set_seeded_weights

import fastnn as fnn
from fastnn import layers, losses, optimizers
from fastnn.lowering.gradients import product_norms
from fastnn.models import executables

BATCH, BATCHES, BAD = 16, 4, 2
HUGE = np.float32(3e38)


@pytest.fixture(autouse=True, params=[1, 2, 3])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """However small the model is."""
    before = fnn.get_num_threads()
    monkeypatch.setattr(executables, "_WORK_PER_THREAD", 1)
    fnn.set_num_threads(request.param)
    yield request.param
    fnn.set_num_threads(before)


@pytest.fixture(autouse=True)
def norms_of_products(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the case of that name, however small the model is."""
    case = getattr(request.node, "callspec", None)
    if case is not None and case.params.get("clip") == "norms_of_products":
        monkeypatch.setattr(
            product_norms, "pay", lambda builder, *_: builder.weight_gradients.norms_suffice
        )


def plain(x: Any) -> Any:
    h = layers.Dense(21, activation="relu", name="first")(x)
    return layers.Dense(18, activation="tanh", name="second")(h)


def normalized(x: Any) -> Any:
    h = layers.Activation("relu")(layers.BatchNormalization()(layers.Dense(21, name="first")(x)))
    return layers.LayerNormalization()(layers.Dense(18)(h))


def shared(x: Any) -> Any:
    again = layers.Dense(18, activation="relu", name="again")
    return again(again(layers.Dense(18, activation="relu", name="first")(x)))


def residual(x: Any) -> Any:
    h = layers.Dense(18, name="first")(x)
    f = layers.Dropout(0.3, seed=5)(layers.Dense(18, activation="gelu")(h))
    return layers.Activation("silu")(layers.Add()([h, f]))


BODIES: dict[str, Callable[[Any], Any]] = {
    body.__name__: body for body in (plain, normalized, shared, residual)
}
CLIPS: dict[str, dict[str, Any]] = {
    "fused": {},
    "clipnorm": {"clipnorm": 0.5},
    "clipvalue": {"clipvalue": 0.1},
    "global_clipnorm": {"global_clipnorm": 0.5},
    "norms_of_products": {"global_clipnorm": 0.5},
    "adaptive_clip": {"adaptive_clip": 0.05},
    "averaged": {"use_ema": True, "ema_momentum": 0.5},
}


def net(body: Callable[[Any], Any] = plain, optimizer: Any = None, **settings: Any) -> Any:
    x = layers.Input((9,))
    model = fnn.Model(x, layers.Dense(4, activation="softmax", name="last")(body(x)))
    set_seeded_weights(model)
    optimizer = optimizer or optimizers.Adam(0.01, **settings)
    model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy")
    return model


def data(bad: int | None = BAD) -> tuple[np.ndarray, np.ndarray]:
    """Of which batch ``bad`` has a row that is too large."""
    x, y = blobs(BATCH * BATCHES)
    if bad is not None:
        x[BATCH * bad + 3] = HUGE
    return x, y


def fit(model: Any, x: Any, y: Any, **options: Any) -> Any:
    return model.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0, **options).history


def state(model: Any) -> list[np.ndarray]:
    """Weights with moving statistics, slots, averages, the count of steps."""
    return [*model.get_weights(), *model._training_state().values()]


def bits(model: Any) -> list[bytes]:
    return [array.tobytes() for array in state(model)]


@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("body", BODIES)
def test_raises_before_anything_changes(body: str, clip: str) -> None:
    model = net(BODIES[body], **CLIPS[clip])
    fit(model, *data(bad=None), epochs=2)
    before = bits(model)
    # Where all else is fused into updates, only the shared weight's gradient is there to look at.
    layer = "again" if (body, clip) in (("shared", "fused"), ("shared", "clipvalue")) else "first"
    with pytest.raises(fnn.NonFiniteGradientError, match=f"'{layer}'.*step 8, batch 0 ") as found:
        model.train_on_batch(*(a[BAD * BATCH : (BAD + 1) * BATCH] for a in data()))
    assert bits(model) == before
    fault = found.value
    assert isinstance(fault, FloatingPointError)
    assert isinstance(fault, ValueError)
    assert (fault.weight, fault.step, fault.batch) == (f"{layer}/kernel", 8, 0)
    assert str(pickle.loads(pickle.dumps(fault))) == str(fault)
    # it can go on
    fit(model, *data(bad=None))
    assert all(np.isfinite(w).all() for w in model.get_weights())


@pytest.mark.parametrize("clip", ["fused", "global_clipnorm", "norms_of_products"])
@pytest.mark.parametrize("body", BODIES)
def test_steps_before_the_bad_batch_are_kept(body: str, clip: str) -> None:
    x, y = data()
    model, before = net(BODIES[body], **CLIPS[clip]), net(BODIES[body], **CLIPS[clip])
    with pytest.raises(fnn.NonFiniteGradientError, match=f"step {BAD}, batch {BAD} "):
        fit(model, x, y)
    fit(before, x[: BAD * BATCH], y[: BAD * BATCH])
    assert bits(model) == bits(before)
    assert model.optimizer.iterations == BAD


@pytest.mark.parametrize("clip", ["fused", "global_clipnorm", "norms_of_products"])
def test_raises_for_sparse_input(clip: str) -> None:
    x, y = data()
    x[np.abs(x) < 0.5] = 0
    model, before = net(**CLIPS[clip]), net(**CLIPS[clip])
    with pytest.raises(fnn.NonFiniteGradientError, match=f"layer 'first'.*batch {BAD} "):
        fit(model, scipy.sparse.csr_matrix(x), y)
    fit(before, scipy.sparse.csr_matrix(x[: BAD * BATCH]), y[: BAD * BATCH])
    assert bits(model) == bits(before)


@pytest.mark.parametrize("clip", ["fused", "clipnorm", "clipvalue"])
@pytest.mark.parametrize("bad", [np.inf, np.nan, HUGE])
def test_raises_for_weights_that_are_too_large(bad: float, clip: str) -> None:
    model = net(**CLIPS[clip])
    weights = model.get_weights()
    weights[4][:] = bad
    model.set_weights(weights)
    before = bits(model)
    with pytest.raises(fnn.NonFiniteGradientError):
        fit(model, *data(bad=None))
    assert bits(model)[: len(weights)] == before[: len(weights)]
    assert model.optimizer.iterations == 0


def linear(loss: Any = None, **settings: Any) -> Any:
    """One Dense layer: its gradient is x' dz, which can be infinite where x and dz are not."""
    model = fnn.Sequential([layers.Input((1,)), layers.Dense(1, name="only")])
    model.set_weights([np.zeros((1, 1), np.float32), np.zeros(1, np.float32)])
    model.compile(optimizers.SGD(1e-3, **settings), loss or "mean_absolute_error")
    return model


@pytest.mark.parametrize("clip", [*CLIPS])
def test_an_infinite_gradient_of_finite_factors(clip: str) -> None:
    """Clipping by value would make it finite; nothing then told that it was not."""
    model = linear(losses.MeanSquaredError(reduction="sum"), **CLIPS[clip])
    before = bits(model)
    with pytest.raises(fnn.NonFiniteGradientError, match="of its kernel is not finite") as found:
        model.train_on_batch(np.full((2, 1), 1e20, np.float32), np.full((2, 1), -1e19, np.float32))
    assert found.value.weight == "only/kernel"
    assert bits(model)[:2] == before[:2]


@pytest.mark.parametrize("clip", ["fused", "clipvalue"])
def test_a_bias_whose_gradient_overflows_beside_a_tiny_input(clip: str) -> None:
    """x' dz is within bounds, the sum of dz is not."""
    model = linear(losses.MeanSquaredError(reduction="sum"), **CLIPS[clip])
    before = bits(model)
    with pytest.raises(fnn.NonFiniteGradientError, match="of its bias is not finite"):
        model.train_on_batch(np.full((4, 1), 1e-12, np.float32), np.full((4, 1), 1e38, np.float32))
    assert bits(model)[:2] == before[:2]


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
@pytest.mark.parametrize("clip", ["fused", "clipnorm"])
@pytest.mark.parametrize("body", BODIES)
def test_skip_leaves_the_batch_out(body: str, clip: str, optimizer: str) -> None:
    """Its turn counts as a step, so that random masks and Adam's corrections are those of the
    steps that follow. Here the bad batch is the last: the others know nothing of it."""
    make = getattr(optimizers, optimizer)
    x, y = data(bad=BATCHES - 1)
    kept = slice(0, BATCH * (BATCHES - 1))
    model = net(BODIES[body], make(0.01, nonfinite="skip", **CLIPS[clip]))
    without = net(BODIES[body], make(0.01, **CLIPS[clip]))
    logs, wanted = fit(model, x, y), fit(without, x[kept], y[kept])
    assert_same_bits(model.get_weights(), without.get_weights())
    assert logs == wanted
    assert model.optimizer.iterations == BATCHES
    assert without.optimizer.iterations == BATCHES - 1


@pytest.mark.parametrize("clip", ["fused", "clipnorm"])
def test_skip_in_the_midst(clip: str) -> None:
    """SGD's step does not depend on its number."""
    x, y = data()
    kept = np.r_[0 : BATCH * BAD, BATCH * (BAD + 1) : len(x)]
    model = net(optimizer=optimizers.SGD(0.1, momentum=0.9, nonfinite="skip", **CLIPS[clip]))
    without = net(optimizer=optimizers.SGD(0.1, momentum=0.9, **CLIPS[clip]))
    logs, wanted = fit(model, x, y, epochs=3), fit(without, x[kept], y[kept], epochs=3)
    assert_same_bits(model.get_weights(), without.get_weights())
    assert logs == wanted


@pytest.mark.parametrize("momentum", [0.5, 0.99])
def test_skipped_steps_leave_no_hole_in_the_average(momentum: float) -> None:
    """Not even the first step, which begins it."""
    settings: dict[str, Any] = {"nonfinite": "skip", "use_ema": True, "ema_momentum": momentum}
    x, y = data(bad=0)
    model = net(**settings)
    before = model.get_weights()
    fit(model, x[:BATCH], y[:BATCH])
    assert_same_bits(model.get_weights(), before)
    fit(model, x, y)
    for now, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_allclose(now, then, atol=0.05)


def test_rows_left_out_before_a_step_that_is_run_again_do_not_count() -> None:
    """The gradient of a shared weight is looked at, the others are proved finite: a batch that
    fails the one, then a batch that fails the other."""
    x, y = blobs(BATCH * 3)
    x[:BATCH] = HUGE
    x[BATCH : 2 * BATCH] = 1e30
    model = net(shared, optimizers.SGD(0.0, nonfinite="skip"))
    logs = fit(model, x, y)
    wanted = model.evaluate(x[BATCH:], y[BATCH:], verbose=0)
    assert logs["loss"][0] == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("clip", CLIPS)
def test_propagate_lets_it_through(clip: str) -> None:
    model = net(nonfinite="propagate", **CLIPS[clip])
    fit(model, *data())
    assert np.isnan(model.get_weights()[0]).any()
    assert model.optimizer.iterations == BATCHES


@pytest.mark.parametrize("clip", ["fused", "clipvalue"])
@pytest.mark.parametrize(("body", "sparse"), [*((body, False) for body in BODIES), ("plain", True)])
def test_large_finite_gradients_that_no_bound_proves(body: str, sparse: bool, clip: str) -> None:
    """They are stored and looked at, for every step; the bits are those of the usual program."""
    x, y = data(bad=None)
    x[np.abs(x) < 0.5] = 0
    found = []
    for nonfinite in ("raise", "skip", "propagate"):
        optimizer = optimizers.SGD(1e-33, momentum=0.5, nonfinite=nonfinite, **CLIPS[clip])
        model = net(BODIES[body], optimizer)
        weights = model.get_weights()
        weights[-2] *= np.float32(1e31)  # so that dz of the layers before is large
        model.set_weights(weights)
        fit(model, scipy.sparse.csr_matrix(x) if sparse else x, y, epochs=2)
        found.append(state(model))
    assert_same_bits(found[1], found[0])
    assert_same_bits(found[2], found[0])
    assert any((slot != 0).any() for slot in found[0][-2:])


def test_such_steps_are_run_by_a_program_that_stores(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = []
    lower = executables.lower
    monkeypatch.setattr(
        executables, "lower", lambda *a, **k: stored.append(k.get("store")) or lower(*a, **k)
    )
    model = linear()
    model.train_on_batch(np.ones((2, 1)), np.ones((2, 1)))
    assert stored == [False]
    model.train_on_batch(np.full((2, 1), 1e31), np.ones((2, 1)))
    assert stored == [False, True]
    assert model.get_weights()[0] == pytest.approx(-1e28, rel=1e-6)


def test_terminate_on_nan_stops_instead() -> None:
    x, y = data()
    model, before = net(normalized), net(normalized)
    ends: list[int] = []
    count = fnn.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: ends.append(batch))
    logs = fit(model, x, y, epochs=3, callbacks=[fnn.callbacks.TerminateOnNaN(), count])
    assert ends == list(range(BAD + 1))
    assert np.isnan(logs["loss"]).all()
    fit(before, x[: BAD * BATCH], y[: BAD * BATCH])
    assert bits(model) == bits(before)


def test_a_callback_hears_of_the_batch_before_the_error() -> None:
    ends: list[int] = []
    count = fnn.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: ends.append(batch))
    with pytest.raises(fnn.NonFiniteGradientError, match=f"batch {BAD} "):
        fit(net(), *data(), callbacks=[count])
    assert ends == list(range(BAD + 1))


# Gradients that are finite, but their squares are not


@pytest.mark.parametrize("name", ["adam", "rmsprop", "adagrad", "nadam"])
def test_a_gradient_whose_square_overflows_stops_training(name: str) -> None:
    """The second moment would be infinite, and the step after it NaN."""
    x = np.ones((64, 4), np.float32)
    x[40] = 1e22
    model = fnn.Sequential([layers.Input((4,)), layers.Dense(3)])
    model.compile(name, "mse")
    before = [w.copy() for w in model.get_weights()]
    y = x[:, :3] + 1
    with pytest.raises(fnn.NonFiniteGradientError) as caught:
        model.fit(x[32:], y[32:], batch_size=32, shuffle=False, verbose=0)
    assert caught.value.step == 0
    for mine, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, old)
    model.fit(x[:32], y[:32], batch_size=32, verbose=0)
    assert all(np.isfinite(w).all() for w in model.get_weights())


def test_clipping_makes_such_a_gradient_short() -> None:
    x = np.full((32, 4), 1e12, np.float32)
    model = fnn.Sequential([layers.Input((4,)), layers.Dense(3)])
    model.compile(fnn.optimizers.Adam(global_clipnorm=1.0), "mse")
    model.fit(x, x[:, :3], batch_size=32, epochs=3, verbose=0)
    assert all(np.isfinite(w).all() for w in model.get_weights())


@pytest.mark.parametrize("name", ["sgd", "lion"])
def test_who_squares_nothing_takes_such_a_gradient(name: str) -> None:
    x = np.full((32, 4), 1e12, np.float32)
    model = fnn.Sequential([layers.Input((4,)), layers.Dense(3)])
    model.compile(name, "mse")
    model.fit(x, x[:, :3], batch_size=32, verbose=0)
    assert all(np.isfinite(w).all() for w in model.get_weights())
