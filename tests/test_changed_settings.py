"""A setting that is changed after a program was made takes effect at the next call.

Each case trains twice: once with the setting changed between two fits, once by a model that was
made with the new setting, and given the weights and the state that the first had at the change.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn as fnn
from fastnn import activations, constraints, layers, losses, metrics, optimizers, regularizers
from fastnn.models import executables, predicting

RNG = np.random.default_rng(0)
X = RNG.standard_normal((48, 7)).astype(np.float32)
Y = RNG.integers(0, 3, 48)
FREQUENCY = 2


def net(**settings: Any) -> fnn.Sequential:
    """Layers by short names, each with its settings."""
    stack = {
        "scale": (layers.Rescaling, {"scale": 0.5}),
        "hidden": (layers.Dense, {"units": 9, "activation": "relu", "dropconnect_seed": 3}),
        "norm": (layers.BatchNormalization, {}),
        "drop": (layers.Dropout, {"rate": 0.25, "seed": 5}),
        "noise": (layers.GaussianNoise, {"stddev": 0.1, "seed": 6}),
        "output": (layers.Dense, {"units": 3, "activation": "softmax"}),
    }
    made = [
        cls(**{**defaults, **settings.get(name, {})}, name=name)
        for name, (cls, defaults) in stack.items()
    ]
    return fnn.Sequential([layers.Input((7,)), *made])


def fit(model: fnn.Model, **kwargs: Any) -> dict[str, list[float]]:
    return model.fit(X, Y, batch_size=16, epochs=2, shuffle=False, verbose=0, **kwargs).history


def bits(model: fnn.Model) -> list[bytes]:
    return [a.tobytes() for a in [*model.get_weights(), *model._training_state().values()]]


OPTIMIZERS: list[tuple[Callable[..., optimizers.Optimizer], dict[str, Any], dict[str, Any]]] = [
    (optimizers.SGD, {"momentum": 0.9}, {"nesterov": True}),
    (optimizers.SGD, {"momentum": 0.9}, {"momentum": 0.5}),
    (optimizers.SGD, {}, {"weight_decay": 0.1}),
    (optimizers.SGD, {}, {"momentum": 0.9}),
    (optimizers.SGD, {"momentum": 0.9}, {"momentum": 0.0}),
    *[
        (optimizers.Adam, {}, {name: value})
        for name, value in (
            ("clipnorm", 0.01), ("clipvalue", 1e-3), ("global_clipnorm", 0.01),
            ("adaptive_clip", 1e-3), ("beta_1", 0.5), ("weight_decay", 0.2), ("amsgrad", True),
            ("use_ema", True),
        )
    ],
    (optimizers.Adam, {"global_clipnorm": 0.01}, {"global_clipnorm": 0.02}),
    (optimizers.Adam, {"global_clipnorm": 0.01}, {"global_clipnorm": None}),
    (optimizers.Adam, {"use_ema": True}, {"use_ema": False}),
    (optimizers.Adam, {"use_ema": True}, {"ema_momentum": 0.3}),
    (optimizers.Adam, {"use_ema": True}, {"ema_overwrite_frequency": FREQUENCY}),
    (optimizers.RMSprop, {}, {"centered": True}),
    (optimizers.RMSprop, {"momentum": 0.5}, {"momentum": 0.0}),
    (optimizers.Lion, {}, {"beta_1": 0.5}),
    (optimizers.Nadam, {}, {"epsilon": 0.1}),
    *[
        (optimizers.Muon, {}, {name: value})
        for name, value in (
            ("ns_steps", 2), ("nesterov", False), ("rms_rate", 0.5), ("muon_a", 3.0),
            ("muon_b", -4.7), ("muon_c", 2.1), ("momentum", 0.5), ("exclude_layers", ["output"]),
        )
    ],
]  # fmt: skip


@pytest.mark.parametrize(("make", "first", "then"), OPTIMIZERS)
def test_of_an_optimizer(
    make: Callable[..., optimizers.Optimizer], first: dict[str, Any], then: dict[str, Any]
) -> None:
    loss = "sparse_categorical_crossentropy"
    model = net()
    model.compile(make(0.01, **first), loss)
    fit(model)
    unchanged, changed = net(), net()
    for twin, settings in ((unchanged, first), (changed, first | then)):
        twin.compile(make(0.01, **settings), loss)
        twin.set_weights(model.get_weights())
        state = model._training_state()
        if settings is not first:
            twin._state().updates(twin.weights)  # a slot that the first lacked begins here
            known = twin._training_state()
            state = {k: v for k, v in state.items() if k in known}
            if "exclude_layers" in then:
                state.pop("output/kernel/momentum")
        twin._restore_training_state(state)
    for name, value in then.items():
        setattr(model.optimizer, name, value)
    fit(model)
    fit(unchanged)
    fit(changed)
    assert bits(model) == bits(changed)
    assert bits(model) != bits(unchanged)


def test_momentum_that_comes_again_begins_anew() -> None:
    model, twin = net(), net()
    for each in (model, twin):
        each.compile(optimizers.SGD(0.01, momentum=0.9), "sparse_categorical_crossentropy")
    fit(model)
    model.optimizer.momentum = 0.0
    fit(model)
    twin.set_weights(model.get_weights())
    twin.optimizer.iterations = model.optimizer.iterations
    model.optimizer.momentum = 0.9
    fit(model)
    fit(twin)
    assert bits(model) == bits(twin)


def test_a_callback_may_change_a_setting_between_two_epochs() -> None:
    model, twin = net(), net()
    twin.set_weights(model.get_weights())
    for each in (model, twin):
        each.compile(optimizers.Adam(0.01), "sparse_categorical_crossentropy")

    def clip(epoch: int, logs: Any) -> None:
        model.optimizer.global_clipnorm = 0.01
        model.get_layer("drop").rate = 0.5

    fit(model, callbacks=fnn.callbacks.LambdaCallback(on_epoch_end=clip))
    fit(twin, steps_per_epoch=3, initial_epoch=1)
    twin.optimizer.global_clipnorm, twin.get_layer("drop").rate = 0.01, 0.5
    fit(twin, initial_epoch=1)
    assert bits(model) == bits(twin)


def test_nonfinite_of_an_optimizer() -> None:
    bad = X.copy()
    bad[5] = 3e38
    model = fnn.Sequential([layers.Input((7,)), layers.Dense(3)])
    model.compile(optimizers.SGD(nonfinite="propagate"), "mse")
    model.train_on_batch(X, X[:, :3])
    before = model.get_weights()
    model.optimizer.nonfinite = "raise"
    with pytest.raises(fnn.NonFiniteGradientError):
        model.train_on_batch(bad, X[:, :3])
    np.testing.assert_array_equal(model.get_weights()[0], before[0])
    model.optimizer.nonfinite = "propagate"
    fnn.gradient_norms(model, X, X[:, :3])  # by a program of its own, that takes no step
    np.testing.assert_array_equal(model.get_weights()[0], before[0])
    model.train_on_batch(bad, X[:, :3])
    assert not np.isfinite(model.get_weights()[0]).all()


def test_a_changed_optimizer_is_saved_as_it_is(tmp_path: Any) -> None:
    model = net()
    model.compile(optimizers.SGD(0.1, momentum=0.9, use_ema=True), "mse")
    model.fit(X, X[:, :3], verbose=0)
    model.optimizer.momentum, model.optimizer.use_ema = 0.0, False
    model.save(tmp_path / "model.safetensors")
    loaded = fnn.load_model(tmp_path / "model.safetensors")
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    assert bits(loaded) == bits(model)


def test_settings_are_checked_when_they_are_set() -> None:
    optimizer = optimizers.Adam(clipnorm=1.0)
    with pytest.raises(ValueError, match=r"Adam: at most one of .*clipnorm=1, clipvalue=0.5"):
        optimizer.clipvalue = 0.5
    assert optimizer.clipvalue is None
    with pytest.raises(ValueError, match=r"Adam: clipnorm .* > 0, got -1"):
        optimizer.clipnorm = -1.0
    with pytest.raises(TypeError, match="Adam: amsgrad must be True or False, got 1"):
        optimizer.amsgrad = 1  # type: ignore[assignment]
    with pytest.raises(ValueError, match="Adam: nonfinite"):
        optimizer.nonfinite = "ignore"
    assert optimizer.clipnorm == 1.0 and optimizer.nonfinite == "raise"
    optimizer.clipnorm, optimizer.clipvalue = None, 0.5
    assert optimizers.get(optimizer).get_config()["clipvalue"] == 0.5


LAYERS: list[tuple[str, str, Any]] = [
    ("scale", "scale", 0.25),
    ("scale", "offset", 0.1),
    ("hidden", "activation", activations.get("tanh")),
    ("hidden", "dropconnect", 0.5),
    ("hidden", "activity_regularizer", regularizers.L2(0.1)),
    ("norm", "momentum", 0.5),
    ("norm", "epsilon", 0.1),
    ("drop", "rate", 0.5),
    ("drop", "rate", 0.0),
    ("drop", "seed", 8),
    ("noise", "stddev", 0.5),
]


@pytest.mark.parametrize(("layer", "name", "value"), LAYERS)
def test_of_a_layer(layer: str, name: str, value: Any) -> None:
    model, changed = net(), net(**{layer: {name: value}})
    for each in (model, changed):
        each.compile(optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    unchanged = net()
    unchanged.compile(optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    fit(model)
    for twin in (changed, unchanged):
        twin.set_weights(model.get_weights())
        twin._restore_training_state(model._training_state())
    setattr(model.get_layer(layer), name, value)
    logs = [fit(each) for each in (model, changed, unchanged)]
    assert bits(model) == bits(changed) and logs[0] == logs[1]
    assert bits(model) != bits(unchanged)
    assert model.evaluate(X, Y, verbose=0) == changed.evaluate(X, Y, verbose=0)
    np.testing.assert_array_equal(model.predict(X), changed.predict(X))


@pytest.mark.parametrize("rows", [1, 5, 300])
def test_of_a_layer_before_a_prediction(rows: int) -> None:
    x = RNG.standard_normal((rows, 7)).astype(np.float32)
    model = net()
    before = model.predict(x)
    for layer, name, value in (
        ("scale", "offset", 0.1), ("hidden", "activation", activations.get("tanh")),
        ("hidden", "dropconnect", 0.5), ("norm", "epsilon", 0.1),
        ("output", "activation", activations.get("linear")),
    ):  # fmt: skip
        changed = net()
        changed.set_weights(model.get_weights())
        for each in (model, changed):
            setattr(each.get_layer(layer), name, value)
        found = model.predict(x)
        np.testing.assert_array_equal(found, changed.predict(x))
        assert not np.array_equal(found, before)
        setattr(model.get_layer(layer), name, getattr(net().get_layer(layer), name))
        np.testing.assert_array_equal(model.predict(x), before)


def compiled(loss: Any = "mse", **arguments: Any) -> fnn.Sequential:
    model = fnn.Sequential([layers.Input((7,)), layers.Dense(3, name="only")])
    model.get_layer("only").kernel.assign(np.full((7, 3), 0.25))
    model.compile(optimizers.SGD(0.1), loss, **arguments)
    return model


def test_of_a_weight() -> None:
    y = X[:, :3]
    model = compiled()
    kernel = model.get_layer("only").kernel
    plain = model.evaluate(X, y, verbose=0)
    penalty = regularizers.L2(0.5)
    kernel.regularizer = penalty
    assert model.evaluate(X, y, verbose=0) == pytest.approx(plain + 0.5 * 21 / 16, rel=1e-6)
    penalty.l2 = 0.25
    assert model.evaluate(X, y, verbose=0) == pytest.approx(plain + 0.25 * 21 / 16, rel=1e-6)
    model.fit(X, y, verbose=0)
    kernel.regularizer = None
    model.fit(X, y, verbose=0)
    kernel.constraint = constraint = constraints.MaxNorm(0.125)
    model.fit(X, y, verbose=0)
    assert np.linalg.norm(kernel.numpy(), axis=0) == pytest.approx([0.125] * 3, rel=1e-5)
    constraint.max_value = 0.0625
    model.fit(X, y, verbose=0)
    assert np.linalg.norm(kernel.numpy(), axis=0) == pytest.approx([0.0625] * 3, rel=1e-5)
    kernel.trainable, before = False, kernel.numpy()
    model.fit(X, y, verbose=0)
    np.testing.assert_array_equal(kernel.numpy(), before)


def test_of_a_loss_and_a_metric() -> None:
    y = np.eye(3, dtype=np.float32)[Y]
    loss = losses.CategoricalCrossentropy(from_logits=True)
    top = metrics.TopKCategoricalAccuracy(1)
    model = compiled(loss, metrics=[top])
    first = model.evaluate(X, y, verbose=0)
    loss.label_smoothing, top.k = 0.5, 3
    second = model.evaluate(X, y, verbose=0)
    wanted = compiled(losses.CategoricalCrossentropy(True, 0.5)).evaluate(X, y, verbose=0)
    assert second == [wanted, 1.0] and first != second
    loss.label_smoothing, top.k = 0.0, 1
    assert model.evaluate(X, y, verbose=0) == first
    loss.reduction = "sum"
    assert model.evaluate(X, y, batch_size=48, verbose=0)[0] == pytest.approx(48 * first[0])
    assert model.test_on_batch(X, y)[0] == pytest.approx(48 * first[0])


def test_what_changes_nothing_makes_no_program(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    lower = executables.lower
    monkeypatch.setattr(executables, "lower", lambda *a, **k: made.append(1) or lower(*a, **k))
    model = net()
    model.compile(optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    fit(model)
    count = len(made)
    model.optimizer.learning_rate = 0.1
    model.optimizer.weight_decay = 0.1  # goes to the kernels step by step
    model.optimizer.beta_1 = 0.8
    drop = model.get_layer("drop")
    drop.rate = 0.5
    drop.rate = 0.25
    fit(model)
    assert len(made) == count
    drop.rate = 0.5
    fit(model)
    assert len(made) == count + 1
    drop.rate = 0.25
    fit(model)
    assert len(made) == count + 1


def scaled(scale: float) -> Any:
    """One number through Rescaling and a Dense of weight 1: predicts ``scale`` for 1."""
    model = fnn.Sequential(
        [layers.Input((1,)), layers.Rescaling(scale), layers.Dense(1, kernel_initializer="ones")]
    )
    return model, model.layers[0], np.ones((1, 1), np.float32)


def test_a_program_made_while_a_setting_changes_is_not_kept_for_the_old_one() -> None:
    """Between the key and the trace, as another thread might do it."""
    model, rescaling, one = scaled(2.0)
    pool = model._executables.predictors(1)
    rescaling.scale = 3.0
    with pool.lend():
        pass
    rescaling.scale = 2.0
    assert model.predict(one).item() == 2.0


def test_what_is_kept_of_a_prediction_is_of_the_settings_that_it_had(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A setting changes, and another thread predicts, while what predicts few rows is made."""
    model, rescaling, one = scaled(2.0)
    four, three = np.ones((4, 1), np.float32), np.ones((3, 1), np.float32)
    model.predict(four)  # leaves a program that three rows may use, too
    make = predicting._few

    def make_slowly(*arguments: Any) -> Any:
        made = make(*arguments)
        monkeypatch.setattr(predicting, "_few", make)
        rescaling.scale = 3.0
        model.predict(one)
        return made

    monkeypatch.setattr(predicting, "_few", make_slowly)
    model.predict(three)
    assert model.predict(three).tolist() == [[3.0]] * 3
