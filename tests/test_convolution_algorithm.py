"""The switch between algorithms of convolutions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fastnn as fnn
from fastnn import layers

X = np.random.default_rng(0).standard_normal((20, 9, 8, 16)).astype(np.float32)
Y = np.arange(20) % 3


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    yield
    fnn.set_convolution_algorithm("auto")


def net() -> fnn.Sequential:
    fnn.utils.set_random_seed(0)
    model = fnn.Sequential([
        layers.Input((9, 8, 16)),
        layers.Conv2D(20, 3, padding="same", activation="relu"), layers.Conv2D(33, 3),
        layers.GlobalAveragePooling2D(), layers.Dense(3, activation="softmax"),
    ])  # fmt: skip
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def bits(model: fnn.Model) -> list[bytes]:
    model.fit(X, Y, batch_size=8, shuffle=False, verbose=0)
    return [model.predict(X).tobytes(), *(w.tobytes() for w in model.get_weights())]


def test_a_change_takes_effect_at_the_next_call() -> None:
    assert fnn.get_convolution_algorithm() == "auto"
    models = {}
    results: dict[str, list[bytes]] = {}
    for algorithm in ("auto", "direct"):
        fnn.set_convolution_algorithm(algorithm)
        assert fnn.get_convolution_algorithm() == algorithm
        models[algorithm] = net()
        results[algorithm] = bits(models[algorithm])
    assert all(a != b for a, b in zip(*results.values(), strict=True) if len(a) > 400)
    changed = net()
    fnn.set_convolution_algorithm("auto")
    before = changed.get_weights()
    assert bits(changed) == results["auto"]
    changed.set_weights(before)
    fnn.set_convolution_algorithm("direct")
    assert bits(changed) == results["direct"]
    # Few rows go another way.
    few = changed.predict(X[:2])
    fnn.set_convolution_algorithm("auto")
    assert not np.array_equal(changed.predict(X[:2]), few)
    np.testing.assert_allclose(changed.predict(X[:2]), few, rtol=1e-5)


def test_predictions_do_not_depend_on_the_batch() -> None:
    model = net()
    whole = model.predict(X, batch_size=20)
    for size in (1, 7):
        np.testing.assert_array_equal(model.predict(X, batch_size=size), whole)


@pytest.mark.parametrize(
    "settings",
    [{}, {"strides": 2}, {"strides": (1, 2)}, {"dilation_rate": 2}, {"padding": "valid"}],
    ids=str,
)
def test_gradients_are_those_of_the_direct_product(settings: dict[str, Any]) -> None:
    """Of a convolution with so many channels that Winograd's algorithm is chosen where it can be.
    Sums of some thousand products, in float32 in two orders: off by 1e-5 of the largest."""
    x = np.random.default_rng(1).standard_normal((6, 11, 10, 32)).astype(np.float32)
    steps = {}
    for algorithm in ("auto", "direct"):
        fnn.set_convolution_algorithm(algorithm)
        fnn.utils.set_random_seed(2)
        model = fnn.Sequential([
            layers.Input((11, 10, 32)), layers.Conv2D(32, 1),
            layers.Conv2D(48, 3, **{"padding": "same", **settings}), layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ])  # fmt: skip
        model.compile(fnn.optimizers.SGD(1.0), "sparse_categorical_crossentropy")
        before = model.get_weights()
        model.train_on_batch(x, Y[:6])
        steps[algorithm] = [a - b for a, b in zip(model.get_weights(), before, strict=True)]
    for ours, theirs in zip(*steps.values(), strict=True):
        assert np.abs(ours - theirs).max() <= 1e-5 * np.abs(theirs).max()


def test_the_kernels_are_transformed_before_anything_else() -> None:
    """Once, for which the team waits once: the forward pass is a band from first to last."""
    model = net()
    with model._executables.predictors(8).lend() as executable:
        program = executable.program
    names = [op.name for op in program.ops]
    assert names[:2] == ["winograd_kernel"] * 2
    assert [op.wait for op in program.ops[:3]] == [False, False, True]
    assert program.ops[2].band >= 3


@pytest.mark.parametrize("algorithm", ["winograd", "", None, 3])
def test_an_unknown_algorithm_is_refused(algorithm: Any) -> None:
    with pytest.raises(ValueError, match='must be "auto" or "direct"'):
        fnn.set_convolution_algorithm(algorithm)
    assert fnn.get_convolution_algorithm() == "auto"
