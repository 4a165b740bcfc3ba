"""Layers of the user's own in NumPy, beside their built-in twins."""

from __future__ import annotations

import gc
import signal
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nets import assert_same_bits, blobs, set_seeded_weights
from test_concurrency import needs_fork, run

import fastnn as fnn
from fastnn import layers


@pytest.fixture(autouse=True)
def keep_threads() -> Iterator[None]:
    n = fnn.get_num_threads()
    yield
    fnn.set_num_threads(n)


class DenseTanh(layers.NumPyLayer):
    """tanh(x W + b)"""

    def __init__(self, units: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.units = units

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (None, self.units)

    def create_weights(self, input_shape: Any) -> None:
        self.add_weight((input_shape[1], self.units), "glorot_uniform", "kernel")
        self.add_weight((self.units,), "zeros", "bias")

    def forward(self, x: Any, kernel: Any, bias: Any) -> Any:
        return np.tanh(x @ kernel + bias)

    def backward(self, x: Any, y: Any, dy: Any, kernel: Any, bias: Any) -> Any:
        dz = dy * (1 - y * y)
        return dz @ kernel.T, x.T @ dz, dz.sum(axis=0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


class Square(layers.NumPyLayer):
    """x * x, without weights; of any shape."""

    def forward(self, x: Any) -> Any:
        return x * x

    def backward(self, x: Any, y: Any, dy: Any) -> Any:
        return 2 * x * dy


class Failing(layers.NumPyLayer):
    """The identity, which fails at call number ``at``, forward or backward."""

    def __init__(self, at: int, where: str = "forward", fault: Any = None) -> None:
        super().__init__()
        self.at, self.where, self.fault = at, where, fault or RuntimeError("mine")
        self.calls = {"forward": 0, "backward": 0}

    def _count(self, where: str) -> None:
        self.calls[where] += 1
        if where == self.where and self.calls[where] == self.at:
            if self.fault is KeyboardInterrupt:
                signal.raise_signal(signal.SIGINT)
            else:
                raise self.fault

    def forward(self, x: Any) -> Any:
        self._count("forward")
        return x

    def backward(self, x: Any, y: Any, dy: Any) -> Any:
        self._count("backward")
        return dy


def classifier(*hidden: Any, features: int = 20, optimizer: Any = "adam") -> Any:
    model = fnn.Sequential([layers.Input((features,)), *hidden, layers.Dense(4, "softmax")])
    set_seeded_weights(model)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def mine() -> Any:
    return classifier(layers.Dense(33, "relu"), DenseTanh(37), DenseTanh(18))


def built_in() -> Any:
    return classifier(layers.Dense(33, "relu"), layers.Dense(37, "tanh"), layers.Dense(18, "tanh"))


def fitted(model: Any, **settings: Any) -> Any:
    x, y = blobs(333, n_features=20)
    fnn.utils.set_random_seed(5)
    settings = {"batch_size": 32, "epochs": 4, "validation_split": 0.1, "verbose": 0} | settings
    return model.fit(x, y, **settings)


# What it computes


def test_it_trains_as_its_built_in_twin() -> None:
    ours, theirs = mine(), built_in()
    ours_history, theirs_history = fitted(ours).history, fitted(theirs).history
    assert ours_history.keys() == theirs_history.keys()
    for name in ours_history:
        np.testing.assert_allclose(ours_history[name], theirs_history[name], rtol=0, atol=1e-5)
    x, y = blobs(100, n_features=20, seed=3)
    np.testing.assert_allclose(ours.predict(x), theirs.predict(x), rtol=0, atol=1e-5)
    np.testing.assert_allclose(
        ours.evaluate(x, y, verbose=0), theirs.evaluate(x, y, verbose=0), rtol=0, atol=1e-5
    )


def test_it_sees_the_first_layer_and_the_last() -> None:
    """Its inputs are the data, its outputs the predictions."""
    x, _ = blobs(50, n_features=6)
    first, last = DenseTanh(5), DenseTanh(3)
    model = fnn.Sequential([layers.Input((6,)), first, last])
    model.compile("sgd", "mse")
    (w1, b1), (w2, b2) = first.get_weights(), last.get_weights()
    wanted = np.tanh(np.tanh(x @ w1 + b1) @ w2 + b2)
    np.testing.assert_allclose(model.predict(x), wanted, atol=1e-6)
    before = model.evaluate(x, 0.5 * wanted, verbose=0)
    model.fit(x, 0.5 * wanted, epochs=20, verbose=0)
    assert model.evaluate(x, 0.5 * wanted, verbose=0) < 0.9 * before


def test_gradients_meet_in_a_graph() -> None:
    """One layer used twice, an output that several read: gradients add up, as the twin's do."""

    def make(kind: Any) -> Any:
        inputs = layers.Input((7,))
        shared = kind()
        first = shared(inputs)
        second = shared(first)
        joined = layers.Concatenate()([layers.Add()([first, second]), layers.ReLU()(first)])
        model = fnn.Model(inputs, [layers.Dense(3)(joined), second])
        set_seeded_weights(model)
        model.compile("sgd", ["mse", "mae"], loss_weights=[1.0, 0.3])
        return model

    ours = make(lambda: DenseTanh(7))
    theirs = make(lambda: layers.Dense(7, "tanh"))
    random = np.random.default_rng(0)
    x, y, z = (random.normal(size=(64, n)).astype(np.float32) for n in (7, 3, 7))
    for model in (ours, theirs):
        fnn.utils.set_random_seed(1)
        model.fit(x, [y, z], epochs=5, verbose=0)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)


def test_arrays_have_the_layers_shape() -> None:
    shapes: list[tuple[int, ...]] = []

    class Seen(Square):
        def forward(self, x: Any) -> Any:
            shapes.append(x.shape)
            assert x.flags.c_contiguous and x.dtype == np.float32
            with pytest.raises(ValueError, match="read-only"):
                x[:] = 0
            return super().forward(x)

    model = fnn.Sequential([layers.Input((4, 6)), Seen(), layers.Flatten(), layers.Dense(2)])
    x = np.random.default_rng(0).normal(size=(5, 4, 6)).astype(np.float32)
    kernel, bias = model.get_weights()
    np.testing.assert_allclose(
        model.predict(x), (x * x).reshape(5, -1) @ kernel + bias, rtol=1e-5, atol=1e-5
    )
    assert shapes == [(5, 4, 6)]


def test_a_frozen_layer_hands_gradients_on() -> None:
    below, frozen = layers.Dense(6), DenseTanh(5)
    model = fnn.Sequential([layers.Input((20,)), below, frozen, layers.Dense(4, "softmax")])
    frozen.trainable = False
    model.compile("sgd", "sparse_categorical_crossentropy")
    before = [layer.get_weights() for layer in (below, frozen)]
    fitted(model, epochs=1)
    assert_same_bits(frozen.get_weights(), before[1])
    assert np.abs(below.get_weights()[0] - before[0][0]).max() > 0


def test_a_weight_that_is_not_trained_is_handed_over_only() -> None:
    class Scaled(layers.NumPyLayer):
        def create_weights(self, input_shape: Any) -> None:
            self.add_weight((1,), "ones", "gain")
            self.add_weight((input_shape[1],), lambda s: np.arange(s[0]), "fixed", trainable=False)

        def forward(self, x: Any, gain: Any, fixed: Any) -> Any:
            return x * gain * fixed

        def backward(self, x: Any, y: Any, dy: Any, gain: Any, fixed: Any) -> Any:
            return dy * gain * fixed, np.array([(dy * x * fixed).sum()])

    layer = Scaled()
    model = fnn.Sequential([layers.Input((20,)), layer, layers.Dense(4, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    fitted(model, epochs=1)
    gain, fixed = layer.get_weights()
    assert gain[0] != 1
    np.testing.assert_array_equal(fixed, np.arange(20))


def test_same_bits_for_any_number_of_threads() -> None:
    outcomes = []
    for n in (1, 2, 3):
        fnn.set_num_threads(n)
        model = classifier(layers.Dense(300, "relu"), DenseTanh(37), layers.Dense(100, "gelu"))
        history = fitted(model, epochs=2).history
        x, _ = blobs(300, n_features=20)
        losses = np.array([history["loss"], history["val_loss"]])
        outcomes.append([*model.get_weights(), losses, model.predict(x)])
    assert_same_bits(outcomes[1], outcomes[0])
    assert_same_bits(outcomes[2], outcomes[0])


def test_python_threads_predict_at_once() -> None:
    from concurrent.futures import ThreadPoolExecutor

    model = mine()
    x, _ = blobs(300, n_features=20)
    wanted = model.predict(x)
    with ThreadPoolExecutor(4) as pool:
        for result in pool.map(lambda _: model.predict(x), range(20)):
            np.testing.assert_array_equal(result, wanted)


def test_a_function_may_use_another_model() -> None:
    """A run inside a run."""
    inner = fnn.Sequential([layers.Input((20,)), layers.Dense(20, "relu")])

    class Inner(Square):
        def forward(self, x: Any) -> Any:
            return inner.predict(x)

        def backward(self, x: Any, y: Any, dy: Any) -> Any:
            return (dy * (y > 0)) @ inner.get_weights()[0].T

    fnn.set_num_threads(2)
    ours = classifier(layers.Dense(20, "tanh"), Inner())
    twin = classifier(layers.Dense(20, "tanh"), layers.Dense(20, "relu"))
    weights = ours.get_weights()
    twin.set_weights([*weights[:2], *inner.get_weights(), *weights[2:]])
    twin.layers[1].trainable = False
    twin.compile("adam", "sparse_categorical_crossentropy")
    fitted(ours, epochs=2)
    fitted(twin, epochs=2)
    np.testing.assert_allclose(ours.get_weights()[0], twin.get_weights()[0], atol=1e-5)


# What goes wrong


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("where", ["forward", "backward"])
def test_an_exception_leaves_the_model_before_the_batch(where: str, threads: int) -> None:
    fnn.set_num_threads(threads)
    x, y = blobs(320, n_features=20)
    model = classifier(layers.Dense(300, "relu"), Failing(4, where))
    stepped = classifier(layers.Dense(300, "relu"), Failing(10**9))
    with pytest.raises(RuntimeError, match="mine"):
        model.fit(x, y, batch_size=32, shuffle=False, verbose=0)
    for start in range(0, 96, 32):
        stepped.train_on_batch(x[start : start + 32], y[start : start + 32])
    assert int(model.optimizer.iterations) == 3
    assert_same_bits(model.get_weights(), stepped.get_weights())
    # and it goes on
    model.train_on_batch(x[96:128], y[96:128])
    stepped.train_on_batch(x[96:128], y[96:128])
    assert_same_bits(model.get_weights(), stepped.get_weights())


def test_an_exception_in_predict_and_evaluate() -> None:
    x, y = blobs(40, n_features=20)
    for work in (lambda m: m.predict(x), lambda m: m.evaluate(x, y, verbose=0)):
        model = classifier(Failing(1))
        with pytest.raises(RuntimeError, match="mine"):
            work(model)
        work(model)


def test_an_interrupt_inside_a_function() -> None:
    x, y = blobs(320, n_features=20)
    model = classifier(layers.Dense(30, "relu"), Failing(4, fault=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y, verbose=0)
    assert int(model.optimizer.iterations) == 3
    model.fit(x, y, verbose=0)
    assert int(model.optimizer.iterations) == 13


def test_ctrl_c_while_a_function_takes_long() -> None:
    run("""
from test_numpy_layer import Square
from fastnn import layers
class Slow(Square):
    def forward(self, x):
        for _ in range(300):
            time.sleep(0.1)
        return x
model = fnn.Sequential([layers.Input((64,)), layers.Dense(64), Slow(), layers.Dense(4, "softmax")])
model.compile("sgd", "sparse_categorical_crossentropy")
before = model.get_weights()
threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
start = time.perf_counter()
try:
    model.fit(x, y, verbose=0)
except KeyboardInterrupt:
    assert time.perf_counter() - start < 5
else:
    sys.exit("not interrupted")
assert_same_bits(model.get_weights(), before)
""")


@needs_fork
def test_a_forked_child_trains_with_it() -> None:
    """There the engine's own thread calls the function."""
    run("""
import test_numpy_layer
def train():
    model = test_numpy_layer.mine()
    test_numpy_layer.fitted(model)
    return model.get_weights()
wanted = train()
reader, writer = os.pipe()
child = os.fork()
if child == 0:
    try:
        assert_same_bits(train(), wanted)
        failing = test_numpy_layer.classifier(test_numpy_layer.Failing(2))
        try:
            test_numpy_layer.fitted(failing)
        except RuntimeError:
            os.write(writer, b"same")
    finally:
        os._exit(0)
os.close(writer)
assert os.read(reader, 10) == b"same"
os.waitpid(child, 0)
assert_same_bits(train(), wanted)
""")


def bad(forward: Any = None, backward: Any = None) -> Any:
    class Bad(Square):
        pass

    if forward is not None:
        Bad.forward = lambda self, x: forward(x)  # type: ignore[method-assign]
    if backward is not None:
        Bad.backward = lambda self, x, y, dy: backward(dy)  # type: ignore[method-assign]
    return Bad(name="odd")


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (bad(lambda x: x[:, 1:]), r"'odd'.*forward.*\(32, 5\).*\(32, 4\)"),
        (bad(lambda x: x[1:]), r"'odd'.*forward.*\(32, 5\).*\(31, 5\)"),
        (bad(lambda x: x.astype(complex)), "'odd'.*forward.*real numbers.*complex128"),
        (bad(lambda x: None), "'odd'.*forward.*real numbers.*object"),
        (bad(backward=lambda dy: dy.sum()), r"'odd'.*backward.*dx.*\(32, 5\).*\(\)"),
        (bad(backward=lambda dy: (dy, dy)), "'odd'.*backward.*gradients of x, got 2"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_the_functions_return_is_checked(layer: Any, message: str) -> None:
    model = classifier(layers.Dense(5), layer)
    before = model.get_weights()
    with pytest.raises(ValueError, match=message):
        fitted(model)
    assert_same_bits(model.get_weights(), before)


def test_what_is_declared_is_checked() -> None:
    class NoBackward(layers.NumPyLayer):
        def forward(self, x: Any) -> Any:
            return x

    with pytest.raises(TypeError, match="backward"):
        NoBackward()  # type: ignore[abstract]

    class BadShape(Square):
        def compute_output_shape(self, input_shape: Any) -> Any:
            return (7, 3)

    with pytest.raises(ValueError, match=r"compute_output_shape.*\(7, 3\)"):
        BadShape()(layers.Input((3,)))
    square = Square(name="square")
    square(layers.Input((3,)))
    with pytest.raises(ValueError, match=r"'square' \(Square\) was built for.*\(None, 3\).*4"):
        square(layers.Input((4,)))


# As part of a model


def test_summary_names_it(capsys: pytest.CaptureFixture[str]) -> None:
    mine().summary()
    assert "(DenseTanh)" in capsys.readouterr().out


def test_saved_and_loaded(tmp_path: Path) -> None:
    x, y = blobs(64, n_features=20)
    model = mine()
    fitted(model)
    model.save(tmp_path / "m.safetensors")
    again = fnn.load_model(tmp_path / "m.safetensors", custom_objects={"DenseTanh": DenseTanh})
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
    for each in (model, again):
        each.train_on_batch(x, y)
    assert_same_bits(again.get_weights(), model.get_weights())
    with pytest.raises(ValueError, match="unknown layer 'DenseTanh'"):
        fnn.load_model(tmp_path / "m.safetensors")
    with pytest.raises(ValueError, match="unknown layer 'DenseTanh'"):
        fnn.load_model(tmp_path / "m.safetensors", custom_objects={"DenseTanh": dict})
    with pytest.raises(TypeError, match="custom_objects"):
        fnn.load_model(tmp_path / "m.safetensors", custom_objects=[DenseTanh])


def test_a_functional_model_is_loaded_with_it(tmp_path: Path) -> None:
    inputs = layers.Input((6,))
    model = fnn.Model(inputs, layers.Dense(2)(DenseTanh(3)(inputs)))
    model.save(tmp_path / "m.safetensors")
    again = fnn.load_model(tmp_path / "m.safetensors", {"DenseTanh": DenseTanh})
    x, _ = blobs(10, n_features=6)
    np.testing.assert_array_equal(again.predict(x), model.predict(x))


def test_a_model_that_its_layer_knows_is_freed() -> None:
    """Model, executable and function refer to each other; nothing else keeps them."""

    class Knows(Square):
        model: Any = None

    layer = Knows()
    layer.model = model = classifier(layer)
    fitted(model, epochs=1)
    dead = weakref.ref(model)
    del layer, model
    gc.collect()
    assert dead() is None


def test_nothing_is_leaked() -> None:
    """Neither functions nor what they return."""
    made: list[weakref.ref[Any]] = []

    class Tagged(np.ndarray):
        pass

    class Returns(Square):
        def forward(self, x: Any) -> Any:
            result = x.copy().view(Tagged)
            made.append(weakref.ref(result))
            return result

    model = classifier(Returns())
    fitted(model, epochs=1)
    layer = model.layers[0]
    gc.collect()
    before = sys.getrefcount(layer)
    fitted(model, epochs=1)
    gc.collect()
    assert sys.getrefcount(layer) == before
    gc.collect()
    assert made and all(reference() is None for reference in made)
