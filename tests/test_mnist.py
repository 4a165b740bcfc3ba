"""Real MNIST, end to end, with an accuracy floor."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn as fnn
from fastnn import datasets, layers, optimizers


@pytest.fixture(scope="module")
def mnist() -> Any:
    return datasets.mnist.load_data()


@pytest.fixture(scope="module")
def trained(mnist: Any) -> tuple[Any, Any]:
    """(model, history) of 784-128-10 after two epochs; about 97.3 % is usual."""
    (x, y), _ = mnist
    fnn.utils.set_random_seed(0)
    model = fnn.Sequential(
        [
            layers.Input((28, 28)),
            layers.Rescaling(1 / 255),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(
        optimizer=optimizers.Adam(0.001),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model, model.fit(x, y, batch_size=32, epochs=2, validation_split=0.1, verbose=0)


def test_the_data_set(mnist: Any) -> None:
    (x, y), (xt, yt) = mnist
    assert x.shape == (60000, 28, 28) and xt.shape == (10000, 28, 28)
    assert y.shape == (60000,) and yt.shape == (10000,)
    assert {a.dtype for a in (x, y, xt, yt)} == {np.dtype("uint8")}
    np.testing.assert_array_equal(
        np.bincount(y), [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    )
    np.testing.assert_array_equal(
        np.bincount(yt), [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    )
    assert x.sum(dtype=np.int64) == 1_567_298_545
    assert xt.sum(dtype=np.int64) == 264_923_200


def test_accuracy_floor(trained: Any, mnist: Any) -> None:
    model, _ = trained
    _, (xt, yt) = mnist
    loss, accuracy = model.evaluate(xt, yt, verbose=0)
    assert accuracy >= 0.965
    assert loss <= 0.12


def test_history(trained: Any) -> None:
    model, history = trained
    assert history.history["val_accuracy"][-1] >= 0.965
    assert history.history["loss"][1] < 0.5 * history.history["loss"][0]
    assert model.count_params() == 101_770


def test_predictions(trained: Any, mnist: Any) -> None:
    model, _ = trained
    _, (xt, yt) = mnist
    probabilities = model.predict(xt, verbose=0)
    assert probabilities.shape == (10000, 10) and probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert probabilities.min() >= 0
    accuracy = np.mean(probabilities.argmax(axis=1) == yt)
    assert model.evaluate(xt, yt, verbose=0)[1] == pytest.approx(accuracy, abs=1e-6)
    single = model.predict(xt[:1], verbose=0)
    np.testing.assert_allclose(single, probabilities[:1], rtol=1e-5, atol=1e-7)
