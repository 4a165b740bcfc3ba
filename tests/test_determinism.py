"""Same bits for any number of threads, for repeated runs, and however the steps are bundled."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nets import assert_same_bits, blobs, mlp, set_seeded_weights

import fastnn as fnn
from fastnn import datasets, layers, optimizers

Data = tuple[np.ndarray, np.ndarray]


@pytest.fixture(autouse=True)
def keep_threads() -> Iterator[None]:
    n = fnn.get_num_threads()
    yield
    fnn.set_num_threads(n)


def mnist_uint8() -> Data:
    """400 real digits, four fifths of the pixels zero."""
    (x, y), _ = datasets.mnist.load_data()
    return x[:400], y[:400]


def mnist_float32() -> Data:
    x, y = mnist_uint8()
    return np.float32(x.reshape(-1, 784)) / np.float32(255), y


def dense() -> Data:
    return blobs(400, n_features=784, n_classes=10)


def narrow() -> Data:
    return blobs(333, n_features=5, n_classes=10)


def wide_targets() -> Data:
    return blobs(200, n_features=37, n_classes=10)


def net(hidden: list[int], **settings: Any) -> Callable[[np.ndarray], Any]:
    """A maker of a softmax classifier of 10 classes, given its x."""

    def make(x: np.ndarray) -> Any:
        first: list[Any] = [layers.Input(x.shape[1:])]
        if x.dtype == np.uint8:
            first += [layers.Rescaling(1 / 255), layers.Flatten()]
        dense = [layers.Dense(w, activation=settings.get("activation", "relu")) for w in hidden]
        model = fnn.Sequential([*first, *dense, layers.Dense(10, activation="softmax")])
        return compiled(set_seeded_weights(model), settings.get("optimizer", "adam"))

    return make


def compiled(model: Any, optimizer: Any) -> Any:
    model.compile(
        optimizer=optimizer() if callable(optimizer) else optimizer,
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def residual(x: np.ndarray) -> Any:
    inputs = layers.Input(x.shape[1:])
    h = layers.Dense(33, activation="relu")(inputs)
    h = layers.Add()([h, layers.Dense(33, activation="gelu")(h)])
    h = layers.Concatenate()([h, inputs])
    return compiled(
        set_seeded_weights(fnn.Model(inputs, layers.Dense(10, activation="softmax")(h))), "adam"
    )


def normalized(x: np.ndarray) -> Any:
    """Batch and layer normalization, fused and not."""
    inputs = layers.Input(x.shape[1:])
    h = layers.Activation("relu")(layers.BatchNormalization()(layers.Dense(130)(inputs)))
    h = layers.Activation("gelu")(layers.LayerNormalization()(layers.Dense(50)(h)))
    f = layers.Activation("silu")(layers.BatchNormalization()(h))
    h = layers.LayerNormalization()(layers.Add()([h, f, layers.Dense(50)(f)]))
    return compiled(
        set_seeded_weights(fnn.Model(inputs, layers.Dense(10, activation="softmax")(h))), "adam"
    )


# name: (data, model, batch size)
NETS: dict[str, tuple[Callable[[], Data], Callable[[np.ndarray], Any], int]] = {
    "mnist-uint8-784-64-10-batch-32": (mnist_uint8, net([64]), 32),
    "mnist-uint8-784-10-batch-7": (mnist_uint8, net([]), 7),
    "mnist-float32-784-100-50-10-batch-128": (mnist_float32, net([100, 50]), 128),
    "mnist-float32-784-300-10-batch-400": (mnist_float32, net([300]), 400),
    "mnist-float32-784-64-10-batch-33": (mnist_float32, net([64]), 33),
    "dense-784-64-10-batch-32": (dense, net([64]), 32),
    "dense-784-129-10-batch-100": (dense, net([129]), 100),
    "dense-784-512-10-batch-256": (dense, net([512]), 256),
    "narrow-5-3-10-batch-1": (narrow, net([3]), 1),
    "narrow-5-1-1-10-batch-17": (narrow, net([1, 1], activation="tanh"), 17),
    "narrow-5-40-40-40-10-batch-64": (narrow, net([40, 40, 40], activation="selu"), 64),
    "softmax-hidden-batch-20": (wide_targets, net([23], activation="softmax"), 20),
    "momentum-batch-32": (
        wide_targets, net([70], optimizer=lambda: optimizers.SGD(0.1, momentum=0.9)), 32,
    ),
    "muon-batch-32": (wide_targets, net([70, 90], optimizer="muon"), 32),
    "rmsprop-batch-32": (wide_targets, net([70], optimizer="rmsprop"), 32),
    "adamw-amsgrad-batch-32": (
        wide_targets, net([70], optimizer=lambda: optimizers.AdamW(amsgrad=True)), 32,
    ),
    "residual-concatenate-batch-29": (wide_targets, residual, 29),
    "normalized-batch-29": (wide_targets, normalized, 29),
    "normalized-784-batch-300": (dense, normalized, 300),
    "normalized-mnist-batch-64": (mnist_float32, normalized, 64),
}  # fmt: skip


def outcome(name: str, threads: int, **options: Any) -> list[np.ndarray]:
    """Weights, history, evaluation and predictions after two shuffled epochs."""
    data, make, batch_size = NETS[name]
    x, y = data()
    fnn.set_num_threads(threads)
    fnn.utils.set_random_seed(11)
    model = make(x)
    history = model.fit(
        x, y, batch_size=batch_size, epochs=2, validation_split=0.1, verbose=0, **options
    )
    return [
        *model.get_weights(),
        *(np.array(values) for _, values in sorted(history.history.items())),
        np.array(model.evaluate(x, y, batch_size=batch_size, verbose=0)),
        model.predict(x, batch_size=batch_size, verbose=0),
    ]


@pytest.mark.parametrize("name", NETS)
def test_same_bits_for_1_2_3_threads_and_again(name: str) -> None:
    one = outcome(name, threads=1)
    assert all(np.isfinite(values).all() for values in one)
    for threads in (2, 3, 1):
        assert_same_bits(outcome(name, threads), one)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_same_bits_for_one_long_step(optimizer: str, threads: int) -> None:
    """A batch of 3,000 rows: sums long enough to be cut in parts."""
    x, y = blobs(3000, n_features=20, n_classes=3)

    def train(n: int) -> list[np.ndarray]:
        fnn.set_num_threads(n)
        model = mlp([20, 48, 3])
        model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy")
        losses = [model.train_on_batch(x, y) for _ in range(3)]
        return [*model.get_weights(), np.array(losses)]

    assert_same_bits(train(threads), train(2))


def test_same_bits_by_fit_and_by_train_on_batch() -> None:
    """The fit may skip zeros that it found in the data; a lone batch may not know of them."""
    x, y = mnist_float32()
    make = net([48])
    fitted, stepped = make(x), make(x)
    fitted.fit(x, y, batch_size=64, shuffle=False, verbose=0)
    for start in range(0, len(x), 64):
        stepped.train_on_batch(x[start : start + 64], y[start : start + 64])
    assert_same_bits(fitted.get_weights(), stepped.get_weights())


def test_same_bits_for_uint8_and_float32_rows() -> None:
    x, y = mnist_uint8()

    def train(rows: np.ndarray) -> list[np.ndarray]:
        model = net([48])(x)
        model.fit(rows, y, batch_size=64, shuffle=False, verbose=0)
        return model.get_weights()

    assert_same_bits(train(x), train(np.float32(x)))


def test_other_work_in_between_changes_no_bit() -> None:
    """State left over by another model, or by a larger batch, must not show."""
    x, y = dense()
    make = net([64])
    alone, disturbed = make(x), make(x)
    alone.fit(x, y, epochs=2, shuffle=False, verbose=0)
    disturbed.fit(x, y, shuffle=False, verbose=0)
    disturbed.predict(x * np.float32(3), batch_size=400, verbose=0)
    disturbed.evaluate(x[:5], y[:5], batch_size=3, verbose=0)
    net([200, 7])(x).fit(x, y, batch_size=50, verbose=0)
    disturbed.fit(x, y, epochs=2, initial_epoch=1, shuffle=False, verbose=0)
    assert_same_bits(alone.get_weights(), disturbed.get_weights())


SCRIPT = """
import hashlib
import fastnn as fnn
from test_determinism import outcome
digest = hashlib.sha256()
for values in outcome("mnist-float32-784-100-50-10-batch-128", fnn.get_num_threads()):
    digest.update(values.tobytes())
print(fnn.get_num_threads(), digest.hexdigest())
"""


def run_script(**environment: str) -> list[str]:
    """The words that SCRIPT prints in a fresh process."""
    inherited = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    folder = str(Path(__file__).parent)
    path = os.pathsep.join([folder, *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env=inherited | {"PYTHONPATH": path} | environment,
        check=True, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    return done.stdout.split()


def test_same_bits_in_another_process_and_thread_variables() -> None:
    digest = hashlib.sha256()
    for values in outcome("mnist-float32-784-100-50-10-batch-128", threads=2):
        digest.update(values.tobytes())
    here = digest.hexdigest()
    assert run_script(FASTNN_NUM_THREADS="1", OMP_NUM_THREADS="3") == ["1", here]
    assert run_script(OMP_NUM_THREADS="3") == ["3", here]


def test_same_bits_with_a_weight_that_is_not_finite() -> None:
    """The last row may be alone in its member's share: zero times infinity is NaN there too."""
    x = np.ones((97, 784), np.float32)
    x[:, 3] = 0
    model = fnn.Sequential([layers.Input((784,)), layers.Dense(10)])
    kernel, bias = model.get_weights()
    kernel[3, 2] = np.inf
    model.set_weights([kernel, bias])
    predictions = []
    for n in (1, 2, 3):
        fnn.set_num_threads(n)
        predictions.append(model.predict(x))
    assert np.isnan(predictions[0][:, 2]).all()
    assert_same_bits(predictions[:1] * 2, predictions[1:])
