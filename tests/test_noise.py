"""Dropout, GaussianNoise and DropConnect in models: training, inference, seeds, saving."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nets import assert_same_bits, blobs, set_seeded_weights
from philox import kept, normals

import fastnn as fnn
from fastnn import layers, optimizers, utils

Array = np.ndarray[Any, np.dtype[np.float64]]


@pytest.fixture(autouse=True)
def keep_threads() -> Iterator[None]:
    n = fnn.get_num_threads()
    yield
    fnn.set_num_threads(n)


def classifier(*hidden: Any, optimizer: Any = "adam", **settings: Any) -> Any:
    """9 features, the layers given, softmax over 4 classes."""
    model = fnn.Sequential([layers.Input((9,)), *hidden, layers.Dense(4, activation="softmax")])
    set_seeded_weights(model)
    model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy", **settings)
    return model


def all_kinds() -> list[Any]:
    return [
        layers.GaussianNoise(0.1, seed=1),
        layers.Dense(40, activation="relu"),
        layers.Dropout(0.5, seed=2),
        layers.Dense(33, activation="tanh", dropconnect=0.25, dropconnect_seed=3),
        layers.Dropout(0.2, seed=2),
        layers.Dense(17, use_bias=False, dropconnect=0.5, dropconnect_seed=3),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.Dropout(0.1, seed=4),
    ]


def program_of(model: Any, train: bool) -> str:
    updates = model._updates() if train else None
    with model._executables.lend(32, model._objectives(), updates, {}) as executable:
        return str(executable.program)


# --- settings -----------------------------------------------------------------------------------


def test_configurations() -> None:
    for layer in (layers.Dropout(0.3), layers.GaussianNoise(0.2), layers.Dense(3, dropconnect=0.1)):
        config = layer.get_config()
        assert type(layer).from_config(config).get_config() == config
    assert layers.Dropout(0.3, 7, name="d").get_config() == {
        "name": "d", "trainable": True, "rate": 0.3, "seed": 7,
    }  # fmt: skip
    assert layers.GaussianNoise(1, 7, name="g").get_config() == {
        "name": "g", "trainable": True, "stddev": 1.0, "seed": 7,
    }  # fmt: skip
    dense = layers.Dense(3, dropconnect=0.1, dropconnect_seed=9)
    assert dense.get_config()["dropconnect_seed"] == 9
    assert layers.Dense(3).get_config()["dropconnect_seed"] is None


def test_seeds_are_drawn_from_the_global_one() -> None:
    def seeds() -> list[int | None]:
        dense = layers.Dense(3, dropconnect=0.1)
        return [layers.Dropout(0.1).seed, layers.GaussianNoise(0.1).seed, dense.dropconnect_seed]

    utils.set_random_seed(5)
    first = seeds()
    assert len(set(first)) == 3
    assert seeds() != first
    utils.set_random_seed(5)
    assert seeds() == first


def test_a_dense_layer_without_dropconnect_draws_no_seed() -> None:
    utils.set_random_seed(5)
    first = layers.Dropout(0.1).seed
    utils.set_random_seed(5)
    layers.Dense(3)
    assert layers.Dropout(0.1).seed == first


@pytest.mark.parametrize("make", [layers.Dropout, layers.GaussianNoise])
def test_shape_and_weights(make: Any) -> None:
    layer = make(0.5)
    assert layer(layers.Input((3, 4, 5))).shape == (None, 3, 4, 5)
    assert layer.weights == []
    assert layer.count_params() == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: layers.Dropout(1.0), "Dropout: rate must be a finite number >= 0 and < 1, got"),
        (lambda: layers.Dropout(-0.1), "Dropout: rate"),
        (lambda: layers.Dropout(float("nan")), "Dropout: rate"),
        (lambda: layers.GaussianNoise(-1), "GaussianNoise: stddev"),
        (lambda: layers.GaussianNoise(1.5), "GaussianNoise: stddev"),
        (lambda: layers.Dropout(0.5, seed=-1), "Dropout: seed must be an integer >= 0, got -1"),
        (lambda: layers.Dropout(0.5, seed=2**63), r"Dropout: seed must be below 2\*\*63"),
        (lambda: layers.Dense(3, dropconnect_seed=-1), "Dense: dropconnect_seed"),
    ],
)  # fmt: skip
def test_wrong_values(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: layers.Dropout("half"), "Dropout: rate must be a number"),
        (lambda: layers.GaussianNoise(None), "GaussianNoise: stddev must be a number"),
        (lambda: layers.Dropout(0.5, seed=1.5), "Dropout: seed must be an integer"),
        (lambda: layers.GaussianNoise(0.5, seed=True), "GaussianNoise: seed must be an integer"),
    ],
)
def test_wrong_types(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        make()


# --- training, against NumPy --------------------------------------------------------------------


class Twin:
    """9-20-12-6-4, each kind of noise once, plain SGD, in float64."""

    RATE, TANH_RATE, CONNECT, STDDEV, SEED = 0.5, 0.25, 0.4, 0.3, 2**40 + 17

    def __init__(self) -> None:
        seed = self.SEED
        self.model = classifier(
            layers.GaussianNoise(self.STDDEV, seed=seed),
            layers.Dense(20, activation="relu"),
            layers.Dropout(self.RATE, seed=seed),
            layers.Dense(12, activation="tanh"),
            layers.Dropout(self.TANH_RATE, seed=seed),
            layers.Dense(6, activation="tanh", dropconnect=self.CONNECT, dropconnect_seed=seed),
            optimizer=optimizers.SGD(0.5),
        )
        self.weights = [w.astype(np.float64) for w in self.model.get_weights()]

    def forward(self, x: Array, step: int) -> dict[str, Array]:
        w1, b1, w2, b2, w3, b3, w4, b4 = self.weights
        n, v = len(x), {}
        v["x"] = x + self.STDDEV * normals(self.SEED, 0, step, n, 9)
        v["m1"] = kept(self.SEED, 1, step, self.RATE, n, 20) / (1 - self.RATE)
        v["m2"] = kept(self.SEED, 2, step, self.TANH_RATE, n, 12) / (1 - self.TANH_RATE)
        v["m3"] = kept(self.SEED, 3, step, self.CONNECT, 12, 6) / (1 - self.CONNECT)
        v["z1"] = v["x"] @ w1 + b1
        v["h1"] = np.maximum(v["z1"], 0) * v["m1"]
        v["t2"] = np.tanh(v["h1"] @ w2 + b2)
        v["h2"] = v["t2"] * v["m2"]
        v["t3"] = np.tanh(v["h2"] @ (w3 * v["m3"]) + b3)
        logits = v["t3"] @ w4 + b4
        e = np.exp(logits - logits.max(axis=1, keepdims=True))
        v["p"] = e / e.sum(axis=1, keepdims=True)
        return v

    def loss(self, x: Array, y: Array, step: int) -> float:
        p = self.forward(x, step)["p"]
        return float(-np.log(p[np.arange(len(y)), y]).mean())

    def gradients(self, x: Array, y: Array, step: int) -> list[Array]:
        _, _, w2, _, w3, _, w4, _ = self.weights
        v = self.forward(x, step)
        d4 = (v["p"] - np.eye(4)[y]) / len(y)
        d3 = d4 @ w4.T * (1 - v["t3"] ** 2)
        d2 = d3 @ (w3 * v["m3"]).T * v["m2"] * (1 - v["t2"] ** 2)
        d1 = d2 @ w2.T * v["m1"] * (v["z1"] > 0)
        return [
            v["x"].T @ d1, d1.sum(0), v["h1"].T @ d2, d2.sum(0),
            v["h2"].T @ d3 * v["m3"], d3.sum(0), v["t3"].T @ d4, d4.sum(0),
        ]  # fmt: skip

    def step(self, x: Array, y: Array, step: int) -> float:
        loss = self.loss(x, y, step)
        for w, gradient in zip(self.weights, self.gradients(x, y, step), strict=True):
            w -= 0.5 * gradient
        return loss


@pytest.mark.parametrize("first_step", [0, 2**32 - 3])
def test_training_follows_the_twin(first_step: int) -> None:
    """Seven steps, across a carry of the step's low word. A sum has at most 20 terms and a step's
    rounding errors, some 30 U each, add up: 1e-5 is a multiple."""
    twin, (x, y) = Twin(), blobs(7 * 30)
    twin.model.optimizer.iterations = first_step
    for step in range(7):
        rows = slice(30 * step, 30 * step + 30)
        loss = twin.model.train_on_batch(x[rows], y[rows])
        assert abs(loss - twin.step(x[rows].astype(np.float64), y[rows], first_step + step)) < 1e-5
    for ours, theirs in zip(twin.model.get_weights(), twin.weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


def test_the_twins_gradient_is_the_slope_of_its_loss() -> None:
    """Slopes along some of the weights, at a fixed step: forward and backward have one mask."""
    twin, (x, y) = Twin(), blobs(30)
    h = 1e-5
    for w, gradient in zip(twin.weights, twin.gradients(x, y, 3), strict=True):
        for at in [tuple(index) for index in np.argwhere(np.ones_like(w))][::7]:
            w[at] += h
            up = twin.loss(x, y, 3)
            w[at] -= 2 * h
            down = twin.loss(x, y, 3)
            w[at] += h
            assert abs((up - down) / (2 * h) - gradient[at]) < 1e-7


def directional(model: Any, x: Array, y: Array, step: int) -> tuple[float, float]:
    """The slope of the loss along the gradient at one step, and the gradient's own square."""

    def loss(weights: list[Any], rate: float) -> float:
        model.set_weights(weights)
        model.optimizer.learning_rate = rate
        model.optimizer.iterations = step
        return float(model.train_on_batch(x, y))

    before = model.get_weights()
    loss(before, 1.0)
    gradients = [old - new for old, new in zip(before, model.get_weights(), strict=True)]
    square = float(sum((g.astype(np.float64) ** 2).sum() for g in gradients))
    h = 1e-2 / np.sqrt(square)
    up = loss([w + h * g for w, g in zip(before, gradients, strict=True)], 0.0)
    down = loss([w - h * g for w, g in zip(before, gradients, strict=True)], 0.0)
    model.set_weights(before)
    return (up - down) / (2 * h), square


def smooth_nets() -> dict[str, Any]:
    shared = layers.Dense(9, activation="tanh", dropconnect=0.3, dropconnect_seed=4)
    noise = layers.Dropout(0.3, seed=4)
    inputs = layers.Input((9,))
    h = layers.Dense(9, activation="tanh")(inputs)
    twice = layers.Add()([noise(h), noise(shared(shared(h))), h])
    return {
        "dropconnect": classifier(
            layers.Dense(20, "tanh", dropconnect=0.5), optimizer=optimizers.SGD(1.0)
        ),
        "clipped": classifier(
            layers.Dense(20, "gelu", dropconnect=0.5),
            layers.Dropout(0.2),
            optimizer=optimizers.SGD(1.0, global_clipnorm=1e6),
        ),
        "after a sum": classifier(
            layers.Residual([layers.Dense(9, "tanh"), layers.Dropout(0.4)]),
            layers.GaussianNoise(0.2),
            layers.LayerNormalization(),
            layers.Dropout(0.4),
            optimizer=optimizers.SGD(1.0),
        ),
        "shared": fnn.Model(inputs, layers.Dense(4, activation="softmax")(twice)),
    }


@pytest.mark.parametrize("name", ["dropconnect", "clipped", "after a sum", "shared"])
def test_gradient_is_the_slope_of_the_loss_at_a_step(name: str) -> None:
    """By central differences: h^2 of the third derivative, and float32's U of the loss over h."""
    utils.set_random_seed(3)
    model = smooth_nets()[name]
    if not model.compiled:
        set_seeded_weights(model)
        model.compile(optimizer=optimizers.SGD(1.0), loss="sparse_categorical_crossentropy")
    x, y = blobs(50)
    for step in (0, 5):
        slope, square = directional(model, x, y, step)
        assert abs(slope - square) < 2e-3 * square + 2e-4 * np.sqrt(square)


# --- fusion -------------------------------------------------------------------------------------


def test_dropout_after_a_rectifier_has_no_op() -> None:
    model = classifier(layers.Dense(20, "relu"), layers.Dropout(0.5), layers.Dense(20, "tanh"),
                       layers.Dropout(0.5))  # fmt: skip
    program = program_of(model, train=True)
    assert len(re.findall(r"^.{5}dropout ", program, re.MULTILINE)) == 2  # tanh's, both ways
    assert "activation_forward" not in program


@pytest.mark.parametrize("normalized", [False, True])
def test_fused_and_apart_are_the_same_bits(normalized: bool) -> None:
    """Where the rectifier's output is an output of the model, Dropout is an op of its own."""
    x, y = blobs(70)

    def train(apart: bool) -> list[Any]:
        inputs = layers.Input((9,))
        h = layers.Dense(40)(inputs)
        if normalized:
            h = layers.BatchNormalization()(h)
        rectified = layers.ReLU()(h)
        outputs = layers.Dense(4, activation="softmax")(layers.Dropout(0.3, seed=6)(rectified))
        model = fnn.Model(inputs, [outputs, rectified] if apart else outputs)
        set_seeded_weights(model)
        loss = "sparse_categorical_crossentropy"
        model.compile("adam", [loss, None] if apart else loss)
        program = program_of(model, train=True)
        assert bool(re.search(r"^.{5}dropout ", program, re.MULTILINE)) is apart
        for _ in range(4):
            model.train_on_batch(x, [y, None] if apart else y)
        return model.get_weights()

    assert_same_bits(train(False), train(True))


# --- determinism --------------------------------------------------------------------------------


def trained(n_threads: int, epochs: int = 2) -> Any:
    fnn.set_num_threads(n_threads)
    x, y = blobs(333)
    utils.set_random_seed(8)
    model = classifier(*all_kinds())
    model.fit(x, y, batch_size=50, epochs=epochs, verbose=0)
    return model


def test_same_bits_for_any_number_of_threads() -> None:
    one = trained(1).get_weights()
    for n in (2, 3):
        assert_same_bits(trained(n).get_weights(), one)


def test_the_seed_of_a_layer_matters_and_that_of_the_process_fixes_it() -> None:
    x, y = blobs(60)

    def weights(global_seed: int) -> list[Any]:
        utils.set_random_seed(global_seed)
        model = classifier(layers.Dense(20, "relu"), layers.Dropout(0.5))
        model.fit(x, y, shuffle=False, verbose=0)
        return model.get_weights()

    assert_same_bits(weights(1), weights(1))
    assert not np.array_equal(weights(1)[0], weights(2)[0])


def test_saved_and_loaded_between_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    """2 + 2 epochs with a file between give what 4 epochs give, in a process that has drawn other
    numbers since."""
    x, y = blobs(130)
    options: dict[str, Any] = {"batch_size": 32, "shuffle": False, "verbose": 0}
    utils.set_random_seed(1)
    through = classifier(*all_kinds())
    through.fit(x, y, epochs=4, **options)
    utils.set_random_seed(1)
    half = classifier(*all_kinds())
    half.fit(x, y, epochs=2, **options)
    half.save(tmp_path / "half.safetensors")
    utils.set_random_seed(77)
    again = fnn.load_model(tmp_path / "half.safetensors")
    again.fit(x, y, epochs=2, **options)
    assert_same_bits(again.get_weights(), through.get_weights())


def test_drawn_seeds_are_saved(tmp_path: Path) -> None:
    model = classifier(layers.Dropout(0.5), layers.Dense(3, dropconnect=0.5))
    model.save(tmp_path / "model.safetensors")
    loaded = fnn.load_model(tmp_path / "model.safetensors")
    for mine, theirs in zip(model.layers, loaded.layers, strict=True):
        assert mine.get_config() == theirs.get_config()


def identity_gradient(*noise: Any, steps: int = 1) -> Array:
    """Which weights of an identity's kernel learn: its mask, seen from outside, step by step."""
    model = fnn.Sequential([layers.Input((64,)), *noise, layers.Dense(1, use_bias=False)])
    model.compile(optimizer=optimizers.SGD(1.0), loss="mean_absolute_error")
    seen = []
    for _ in range(steps):
        model.set_weights([np.zeros((64, 1))])
        model.train_on_batch(np.ones((1, 64)), np.full((1, 1), 1e6))
        seen.append(model.get_weights()[0][:, 0] != 0)
    return np.array(seen)


def test_layers_with_one_seed_drop_different_numbers() -> None:
    one = identity_gradient(layers.Dropout(0.5, seed=3))
    both = identity_gradient(layers.Dropout(0.5, seed=3), layers.Dropout(0.5, seed=3))
    assert (both <= one).all()
    assert 0 < both.sum() < one.sum()


def test_every_step_drops_other_numbers() -> None:
    masks = identity_gradient(layers.Dropout(0.5, seed=3), steps=40)
    assert len({mask.tobytes() for mask in masks}) == 40


# --- inference ----------------------------------------------------------------------------------


def test_noise_is_not_there_in_inference() -> None:
    x, y = blobs(100)
    hidden = [layers.Dense(20, "relu"), layers.Dense(30, "tanh")]
    noisy = classifier(
        layers.GaussianNoise(0.5), hidden[0], layers.Dropout(0.5), hidden[1], layers.Dropout(0.9),
        layers.GaussianNoise(1),
    )  # fmt: skip
    plain = classifier(layers.Dense(20, "relu"), layers.Dense(30, "tanh"))
    assert_same_bits([noisy.predict(x, verbose=0)], [plain.predict(x, verbose=0)])
    assert noisy.evaluate(x, y, verbose=0) == plain.evaluate(x, y, verbose=0)

    def ops(model: Any) -> list[str]:
        return re.findall(r"^.{5}(\w+)", program_of(model, train=False), re.MULTILINE)

    assert ops(noisy) == ops(plain)


def test_noise_at_the_edges_of_a_model() -> None:
    """As the first and the last layer, twice on one value, and as an output beside its input."""
    inputs = layers.Input((9,))
    noise = layers.Dropout(0.5)(inputs)
    h = layers.Dense(3)(layers.Add()([noise, noise]))
    model = fnn.Model(inputs, [layers.Dropout(0.2)(h), h, noise])
    set_seeded_weights(model)
    x = blobs(20)[0]
    last, same, first = model.predict(x, verbose=0)
    kernel, bias = model.get_weights()
    assert_same_bits([last, first], [same, x])
    np.testing.assert_allclose(last, 2 * x @ kernel + bias, rtol=0, atol=1e-5)
    model.compile("sgd", ["mean_squared_error", None, None])
    model.fit(x, [np.zeros((20, 3)), None, None], verbose=0)


def test_rates_of_zero_are_nothing() -> None:
    model = classifier(layers.Dropout(0), layers.GaussianNoise(0), layers.Dense(5, dropconnect=0))
    plain = classifier(layers.Dense(5))
    x, y = blobs(60)
    for each in (model, plain):
        each.fit(x, y, shuffle=False, verbose=0)
    assert_same_bits(model.get_weights(), plain.get_weights())


# --- DropConnect in inference -------------------------------------------------------------------


def monte_carlo(f: Callable[[Array], Array], x: Array, w: Array, b: Array, rate: float) -> Array:
    """The mean of f over 1e5 masks, for one row x (inputs,)."""
    random = np.random.default_rng(0)
    total = np.zeros(w.shape[1])
    for _ in range(10):
        masks = random.random((10_000, *w.shape), dtype=np.float32) >= rate
        total += f(np.einsum("i,mij->mj", x, masks * (w / (1 - rate))) + b).sum(axis=0)
    return total / 100_000


FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "linear": lambda z: z,
    "relu": lambda z: np.maximum(z, 0),
    "tanh": np.tanh,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
}


@pytest.mark.parametrize("rate", [0.3, 0.5])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_expectation_of_dropconnect_is_that_of_its_masks(name: str, rate: float) -> None:
    """The mean of 1e5 masks has a standard error of at most 0.0032 deviations: 5 of them; and the
    sum of 60 terms is a little off the normal distribution: 0.01 deviations by Edgeworth's first
    term (skewness / 6, skewness of the order of 1 / sqrt(60))."""
    model = fnn.Sequential([layers.Input((60,)), layers.Dense(5, name, dropconnect=rate)])
    set_seeded_weights(model, 2)
    random = np.random.default_rng(1)
    w, b = (v.astype(np.float64) for v in model.get_weights())
    for _ in range(2):
        x = random.standard_normal(60).astype(np.float32)
        deviation = np.sqrt(rate / (1 - rate) * (x.astype(np.float64) ** 2 @ w**2))
        expected = monte_carlo(FUNCTIONS[name], x.astype(np.float64), w, b, rate)
        found = model.predict(x[None], verbose=0)[0]
        np.testing.assert_array_less(np.abs(found - expected), (5 * 0.0032 + 0.01) * deviation)


def test_softmax_of_dropconnect_is_of_the_mean() -> None:
    model = fnn.Sequential([layers.Input((9,)), layers.Dense(4, "softmax", dropconnect=0.5)])
    plain = fnn.Sequential([layers.Input((9,)), layers.Dense(4, "softmax")])
    set_seeded_weights(model)
    set_seeded_weights(plain)
    x = blobs(20)[0]
    assert_same_bits([model.predict(x, verbose=0)], [plain.predict(x, verbose=0)])


def test_an_activation_of_its_own_counts() -> None:
    inside = fnn.Sequential([layers.Input((9,)), layers.Dense(6, "tanh", dropconnect=0.5)])
    beside = fnn.Sequential(
        [layers.Input((9,)), layers.Dense(6, dropconnect=0.5), layers.Activation("tanh")]
    )
    set_seeded_weights(inside)
    set_seeded_weights(beside)
    x = blobs(20)[0]
    assert_same_bits([inside.predict(x, verbose=0)], [beside.predict(x, verbose=0)])


def test_evaluation_is_of_the_expectation() -> None:
    """Not of the logits' mean, as cross-entropy would have it of a sigmoid in training."""
    model = fnn.Sequential([layers.Input((9,)), layers.Dense(1, "sigmoid", dropconnect=0.8)])
    set_seeded_weights(model)
    model.compile("sgd", "binary_crossentropy")
    x, y = blobs(50)
    y = (y % 2)[:, None]
    p = model.predict(x, verbose=0).astype(np.float64)
    loss = -np.mean(y * np.log(p) + (1 - y) * np.log1p(-p))
    assert abs(model.evaluate(x, y, verbose=0) - loss) < 1e-6


def test_sparse_inputs_of_dropconnect_give_the_bits_of_dense_ones() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    random = np.random.default_rng(0)
    x = random.standard_normal((150, 300)) * (random.random((150, 300)) < 0.1)
    x, y = x.astype(np.float32), random.integers(0, 4, 150)

    def results(rows: Any) -> list[Any]:
        model = fnn.Sequential(
            [
                layers.Input((300,)),
                layers.Dense(40, activation="relu", dropconnect=0.5, dropconnect_seed=1),
                layers.Dropout(0.5, seed=2),
                layers.Dense(4, activation="softmax"),
            ]
        )
        set_seeded_weights(model)
        model.compile("adam", "sparse_categorical_crossentropy")
        history = model.fit(rows, y, epochs=2, shuffle=False, validation_data=(rows, y), verbose=0)
        losses = np.array(list(history.history.values()))
        return [*model.get_weights(), model.predict(rows, verbose=0), losses]

    assert_same_bits(results(sparse.csr_matrix(x)), results(x))


def test_sparse_inputs_of_noise_are_refused() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    model = classifier(layers.Dropout(0.5))
    with pytest.raises(ValueError, match="must not be a sparse matrix"):
        model.predict(sparse.csr_matrix(np.ones((3, 9), np.float32)))
