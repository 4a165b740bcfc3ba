"""Clipping, norms of gradients and averaged weights, against NumPy in float64."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nets import assert_same_bits, blobs, set_seeded_weights
from numpy.typing import NDArray
from twins import Mlp

import fastnn as fnn
from fastnn import layers, optimizers, regularizers
from fastnn.lowering.gradients import product_norms
from fastnn.models import executables

Arrays = list[NDArray[Any]]

BATCH, STEPS = 16, 6
WIDTHS = (9, 21, 18, 4)
LOSS = "sparse_categorical_crossentropy"

CLIPS: dict[str, dict[str, float]] = {
    "clipnorm": {"clipnorm": 0.25},
    "clipvalue": {"clipvalue": 0.02},
    "global_clipnorm": {"global_clipnorm": 0.3},
    "adaptive_clip": {"adaptive_clip": 0.05},
}
"""Each below some of the gradients' norms and above others."""


def let_norms_come_from_products(monkeypatch: pytest.MonkeyPatch, wanted: bool) -> None:
    """However large a layer is, if that is all that must be known of a gradient."""
    monkeypatch.setattr(
        product_norms, "pay", lambda builder, *_: builder.weight_gradients.norms_suffice and wanted
    )


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """However small the model is; with an odd number norms come from products if they can."""
    before = fnn.get_num_threads()
    let_norms_come_from_products(monkeypatch, bool(request.param % 2))
    monkeypatch.setattr(executables, "_WORK_PER_THREAD", 1)
    fnn.set_num_threads(request.param)
    yield request.param
    fnn.set_num_threads(before)


# The twins


def norm(g: Any, axis: int | None = None) -> Any:
    return np.sqrt(np.sum(np.square(g, dtype=np.float64), axis=axis, keepdims=True))


def clipped(gradients: Arrays, weights: Arrays, clip: dict[str, float]) -> Arrays:
    """As Keras clips; adaptively as Brock et al. 2021, equation 3, a vector being one unit."""
    ((kind, most),) = clip.items()
    if kind == "clipvalue":
        return [np.clip(g, -most, most) for g in gradients]
    if kind == "clipnorm":
        return [g * min(1.0, most / norm(g).item()) for g in gradients]
    if kind == "global_clipnorm":
        whole = np.sqrt(sum(norm(g).item() ** 2 for g in gradients))
        return [g * min(1.0, most / whole) for g in gradients]
    scaled = []
    for g, w in zip(gradients, weights, strict=True):
        axis = 0 if g.ndim == 2 else None
        bound = most * np.maximum(norm(w, axis), 1e-3)
        scaled.append(g * np.minimum(1.0, bound / norm(g, axis)))
    return scaled


class Sgd:
    def __init__(self, weights: Arrays) -> None:
        self.weights = weights
        self.m = [np.zeros_like(w) for w in weights]

    def step(self, gradients: Arrays) -> None:
        for w, m, g in zip(self.weights, self.m, gradients, strict=True):
            m[:] = 0.7 * m - 0.2 * g
            w += m


class Adam(Sgd):
    def __init__(self, weights: Arrays) -> None:
        super().__init__(weights)
        self.v = [np.zeros_like(w) for w in weights]
        self.t = 0

    def step(self, gradients: Arrays) -> None:
        self.t += 1
        rate = 0.01 * np.sqrt(1 - 0.999**self.t) / (1 - 0.9**self.t)
        for w, m, v, g in zip(self.weights, self.m, self.v, gradients, strict=True):
            m += 0.1 * (g - m)
            v += 0.001 * (g * g - v)
            w -= rate * m / (np.sqrt(v) + 1e-3)


OPTIMIZERS: dict[str, tuple[Callable[..., Any], type[Sgd]]] = {
    "sgd": (lambda **s: optimizers.SGD(0.2, momentum=0.7, **s), Sgd),
    "adam": (lambda **s: optimizers.Adam(0.01, epsilon=1e-3, **s), Adam),
}


def mlp(optimizer: Any) -> Any:
    hidden = [layers.Dense(width, activation="tanh") for width in WIDTHS[1:-1]]
    model = fnn.Sequential(
        [layers.Input(WIDTHS[:1]), *hidden, layers.Dense(WIDTHS[-1], activation="softmax")]
    )
    set_seeded_weights(model)
    model.compile(optimizer=optimizer, loss=LOSS)
    return model


def in_float64(arrays: Arrays) -> Arrays:
    return [np.asarray(a, np.float64) for a in arrays]


def batches() -> list[tuple[Any, Any]]:
    x, y = blobs(BATCH * STEPS)
    return [(x[i : i + BATCH], y[i : i + BATCH]) for i in range(0, len(x), BATCH)]


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("kind", CLIPS)
@pytest.mark.usefixtures("threads")
def test_steps_of_a_net(kind: str, name: str) -> None:
    make, twin = OPTIMIZERS[name]
    model = mlp(make(**CLIPS[kind]))
    net = Mlp(in_float64(model.get_weights()), "tanh", LOSS)
    expected = twin(net.weights)
    changed = unchanged = 0
    for x, y in batches():
        model.train_on_batch(x, y)
        gradients = net.gradients(x.astype(np.float64), y)
        smaller = clipped(gradients, net.weights, CLIPS[kind])
        for g, s in zip(gradients, smaller, strict=True):
            changed += np.sum(g != s)
            unchanged += np.sum(g == s)
        expected.step(smaller)
    assert changed
    assert unchanged or kind == "global_clipnorm"
    for ours, wanted in zip(model.get_weights(), net.weights, strict=True):
        np.testing.assert_allclose(ours, wanted, rtol=1e-5, atol=2e-6)


# Layers of all kinds: gradients by what SGD without momentum takes off, at a rate of 1


def normalized(x: Any) -> Any:
    h = layers.Activation("tanh")(layers.BatchNormalization()(layers.Dense(21)(x)))
    return layers.LayerNormalization()(layers.Dense(18)(h))


def shared(x: Any) -> Any:
    again = layers.Dense(18, activation="tanh")
    return again(again(layers.Dense(18, activation="tanh")(x)))


def dropped(x: Any) -> Any:
    h = layers.Dropout(0.4, seed=3)(layers.Dense(21, activation="tanh")(x))
    h = layers.GaussianNoise(0.1, seed=4)(layers.Dense(18, activation="silu")(h))
    return layers.BatchNormalization()(layers.Dropout(0.2, seed=5)(h))


def penalized(x: Any) -> Any:
    both = {
        "kernel_regularizer": regularizers.L1L2(0.01, 0.02),
        "bias_regularizer": regularizers.L2(0.05),
        "activity_regularizer": regularizers.L1(0.01),
    }
    again = layers.Dense(21, activation="tanh", **both)
    return again(layers.Dense(21, activation="tanh", **both)(x))


BODIES: dict[str, Callable[[Any], Any]] = {
    body.__name__: body for body in (normalized, shared, dropped, penalized)
}


def net(body: Callable[[Any], Any], optimizer: Any) -> Any:
    x = layers.Input(WIDTHS[:1])
    model = fnn.Model(x, layers.Dense(4, activation="softmax")(body(x)))
    set_seeded_weights(model)
    model.compile(optimizer=optimizer, loss=LOSS)
    return model


def trainable(model: Any) -> Arrays:
    return [np.array(v.numpy()) for v in model.trainable_weights]


def step_of(body: Callable[[Any], Any], **settings: float) -> tuple[Any, Arrays, Arrays]:
    """The model before, its weights, and the gradient that one step of SGD followed."""
    model = net(body, optimizers.SGD(2.0**-10, **settings))
    before = trainable(model)
    model.train_on_batch(*batches()[0])
    steps = [
        2**10 * (b.astype(np.float64) - a) for b, a in zip(before, trainable(model), strict=True)
    ]
    return net(body, optimizers.SGD(2.0**-10, **settings)), before, steps


@pytest.mark.parametrize("kind", CLIPS)
@pytest.mark.parametrize("body", BODIES)
@pytest.mark.usefixtures("threads")
def test_clips_the_gradients_of_all_layers(body: str, kind: str) -> None:
    _, weights, gradients = step_of(BODIES[body])
    _, _, found = step_of(BODIES[body], **CLIPS[kind])
    for ours, wanted in zip(found, clipped(gradients, weights, CLIPS[kind]), strict=True):
        # 2^10 times the rounding of weights below 1.1
        np.testing.assert_allclose(ours, wanted, rtol=1e-5, atol=2**10 * 2.0**-23)


def dropconnected(x: Any) -> Any:
    return layers.Dense(18, activation="tanh", dropconnect=0.3, dropconnect_seed=1)(x)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("body", [*BODIES, "dropconnected"])
@pytest.mark.usefixtures("threads")
def test_norms_come_from_products_or_from_stored_gradients(
    body: str, sparse: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From products, where nothing else needs the gradient and they are cheaper. The steps are the
    same."""
    scipy_sparse = pytest.importorskip("scipy.sparse")
    x, y = batches()[0]
    x = x * (np.random.default_rng(0).random(x.shape) < 0.2) if sparse else x
    found, programs = [], []
    for wanted in (True, False):
        let_norms_come_from_products(monkeypatch, wanted)
        fnn.utils.set_random_seed(0)
        model = net({**BODIES, "dropconnected": dropconnected}[body],
                    optimizers.SGD(0.5, global_clipnorm=0.3))  # fmt: skip
        before = model.get_weights()
        data = scipy_sparse.csr_matrix(x) if sparse else x
        model.fit(data, y, batch_size=len(x), epochs=4, verbose=0)
        found.append([a - b for a, b in zip(model.get_weights(), before, strict=True)])
        rows = {0: x.shape[1]} if sparse else {}
        with model._executables.lend(
            BATCH, model._objectives(), model._updates(), rows
        ) as executable:
            programs.append(str(executable.program))
    for ours, wanted in zip(*found, strict=True):
        np.testing.assert_allclose(ours, wanted, rtol=1e-4, atol=1e-6)
    assert "product_norms" in programs[0] and "product_norms" not in programs[1]
    stored = {"shared": 2, "penalized": 2, "dropconnected": 1}
    assert programs[0].count("kernel_gradient=") == stored.get(body, 0)


@pytest.mark.parametrize("offset", [0.0, 100.0, 1e4])
def test_steps_are_clipped_to_the_norm_whatever_cancels(
    offset: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before batch normalization dz sums to 0, and the inputs' means have no part in the
    gradient."""
    let_norms_come_from_products(monkeypatch, True)
    x = layers.Input((40,))
    h = layers.BatchNormalization()(layers.Dense(48)(x))
    model = fnn.Model(x, layers.Dense(3, activation="softmax")(h))
    set_seeded_weights(model)
    model.compile(optimizer=optimizers.SGD(1.0, global_clipnorm=0.01), loss=LOSS)
    random = np.random.default_rng(0)
    data = (random.standard_normal((32, 40)) + offset).astype(np.float32)
    before = trainable(model)
    model.train_on_batch(data, random.integers(0, 3, 32))
    steps = [b.astype(np.float64) - a for b, a in zip(before, trainable(model), strict=True)]
    assert np.sqrt(sum(np.sum(step**2) for step in steps)) == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize(
    ("batch", "hidden", "products"), [(32, 600, 2), (64, 600, 0), (8, 400, 0), (60, 1500, 2)]
)
def test_norms_come_from_products_where_they_are_cheaper(
    batch: int, hidden: int, products: int
) -> None:
    sizes = [layers.Dense(hidden), layers.BatchNormalization(), layers.Dense(hidden)]
    model = fnn.Sequential([layers.Input((500,)), *sizes, layers.Dense(3)])
    model.compile(optimizers.Adam(global_clipnorm=1.0), "mse")
    with model._executables.lend(batch, model._objectives(), model._updates(), {}) as executable:
        names = [op.name for op in executable.program.ops]
    assert names.count("product_norms") == products


def state(model: Any) -> Arrays:
    return [*model.get_weights(), *model._training_state().values()]


@pytest.mark.parametrize("clip", [{}, *CLIPS.values(), {"use_ema": True}], ids=str)
@pytest.mark.parametrize("body", BODIES)
@pytest.mark.usefixtures("threads")
def test_gradient_norms(body: str, clip: dict[str, Any]) -> None:
    """Of the whole gradient, before it is clipped; nothing changes, not even random numbers to
    come."""
    model = net(BODIES[body], optimizers.Adam(0.01, **clip))
    other = net(BODIES[body], optimizers.Adam(0.01, **clip))
    for each in (model, other):
        each.train_on_batch(*batches()[1])
    # the next step's gradients: the slot m moves by a tenth of the way to them
    plain = net(BODIES[body], optimizers.Adam(0.01))
    plain.train_on_batch(*batches()[1])
    plain.set_weights(model.get_weights())
    before = state(model)
    norms = fnn.gradient_norms(model, *batches()[0])
    assert_same_bits(state(model), before)
    m = plain._training_state()
    plain.train_on_batch(*batches()[0])
    after = plain._training_state()
    wanted: dict[str, float] = {}
    for variable in model.trainable_weights:
        layer = variable.path.rpartition("/")[0]
        path = plain.trainable_weights[model.trainable_weights.index(variable)].path
        first = f"{path}/{plain.optimizer.slots[0]}"
        g = m[first] + (after[first].astype(np.float64) - m[first]) / 0.1
        wanted[layer] = wanted.get(layer, 0.0) + float(np.sum(g * g))
    assert list(norms) == list(wanted)
    for layer, value in norms.items():
        assert type(value) is float
        assert value == pytest.approx(np.sqrt(wanted[layer]), rel=1e-5)
    for each in (model, other):
        each.train_on_batch(*batches()[0])
    assert_same_bits(state(model), state(other))


def test_gradient_norms_of_the_twin() -> None:
    model = mlp("sgd")
    x, y = batches()[0]
    gradients = Mlp(in_float64(model.get_weights()), "tanh", LOSS).gradients(
        x.astype(np.float64), y
    )
    wanted = [np.hypot(norm(k).item(), norm(b).item()) for k, b in zip(*[iter(gradients)] * 2)]  # noqa: B905
    assert list(fnn.gradient_norms(model, x, y).values()) == pytest.approx(wanted, rel=1e-5)
    doubled = fnn.gradient_norms(model, x, y, sample_weight=np.full(len(x), 2.0))
    assert list(doubled.values()) == pytest.approx([2 * w for w in wanted], rel=1e-5)


@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_norms_whose_squares_float32_does_not_hold(scale: float) -> None:
    model = mlp("sgd")
    x, y = batches()[0]
    wanted = fnn.gradient_norms(model, x, y)
    found = fnn.gradient_norms(model, x, y, sample_weight=np.full(len(x), scale))
    for layer, value in wanted.items():
        assert found[layer] == pytest.approx(scale * value, rel=1e-5)


@pytest.mark.parametrize("kind", ["clipnorm", "global_clipnorm"])
def test_large_gradients_are_clipped_to_their_norm(kind: str) -> None:
    x, y = batches()[0]
    model = mlp(optimizers.SGD(1.0, **{kind: 0.5}))
    before = model.get_weights()
    model.train_on_batch(x, y, sample_weight=np.full(len(x), 1e25))
    steps = [a.astype(np.float64) - b for a, b in zip(model.get_weights(), before, strict=True)]
    norms = [norm(step).item() for step in steps]
    if kind == "global_clipnorm":
        norms = [np.sqrt(np.sum(np.square(norms)))]
    assert norms == pytest.approx([0.5] * len(norms), rel=1e-5)


# Same bits


SETTINGS: dict[str, dict[str, Any]] = {
    **CLIPS,
    "ema": {"use_ema": True, "ema_momentum": 0.8, "ema_overwrite_frequency": 3},
}


def fit(model: Any, epochs: int, **options: Any) -> Any:
    x, y = blobs(83)
    return model.fit(x, y, batch_size=BATCH, epochs=epochs, shuffle=False, verbose=0, **options)


@pytest.mark.parametrize("name", ["SGD", "Adam", "Muon"])
@pytest.mark.parametrize("kind", SETTINGS)
@pytest.mark.parametrize("body", BODIES)
def test_same_bits_for_any_team(
    body: str, kind: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executables, "_WORK_PER_THREAD", 1)
    before = fnn.get_num_threads()
    found = []
    for n in (1, 2, 3):
        fnn.set_num_threads(n)
        model = net(BODIES[body], getattr(optimizers, name)(0.01, **SETTINGS[kind]))
        fit(model, 2)
        found.append(state(model))
    fnn.set_num_threads(before)
    assert_same_bits(found[1], found[0])
    assert_same_bits(found[2], found[0])


# Averages


def averaged(frequency: int | None) -> Any:
    return optimizers.SGD(
        0.2, momentum=0.7, use_ema=True, ema_momentum=0.8, ema_overwrite_frequency=frequency
    )


@pytest.mark.parametrize("frequency", [None, 1, 4])
@pytest.mark.usefixtures("threads")
def test_averages(frequency: int | None) -> None:
    model = mlp(averaged(frequency))
    twin = Mlp(in_float64(model.get_weights()), "tanh", LOSS)
    expected = Sgd(twin.weights)
    averages = [np.zeros_like(w) for w in twin.weights]
    for step, (x, y) in enumerate(batches()):
        expected.step(twin.gradients(x.astype(np.float64), y))
        momentum = 0.8 if step else 0.0
        for average, w in zip(averages, twin.weights, strict=True):
            average[:] = momentum * average + (1 - momentum) * w
            if frequency and (step + 1) % frequency == 0:
                w[:] = average
    x, y = blobs(BATCH * STEPS)
    seen: list[Arrays] = []
    spy = fnn.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(model.get_weights())
    )
    model.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0, callbacks=[spy])
    for ours, wanted in zip(seen[0], twin.weights, strict=True):
        np.testing.assert_allclose(ours, wanted, rtol=1e-5, atol=2e-6)
    # only now, when training is over
    for ours, wanted in zip(model.get_weights(), averages, strict=True):
        np.testing.assert_allclose(ours, wanted, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("frequency", [None, 4])
def test_training_goes_on_from_a_file(frequency: int | None, tmp_path: Path) -> None:
    model = net(normalized, averaged(frequency))
    fit(model, 2)
    model.save(tmp_path / "model.safetensors")
    again = fnn.load_model(tmp_path / "model.safetensors")
    assert_same_bits(state(again), state(model))
    for each in (model, again):
        fit(each, 1)
    assert_same_bits(state(again), state(model))
