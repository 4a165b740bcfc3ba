"""Flatten before Dense: the product reads a picture where it lies, and nothing is copied."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn as fnn
from fastnn import layers, optimizers
from fastnn.lowering import fuse
from fastnn.lowering.lower import lower
from fastnn.lowering.program import Program
from fastnn.lowering.trace import trace

X = np.random.default_rng(0).standard_normal((40, 6, 7, 3)).astype(np.float32)
Y = np.arange(40) % 5

Stack = Callable[[], list[layers.Layer]]


def conv(filters: int = 16, activation: str | None = "relu") -> layers.Conv2D:
    return layers.Conv2D(filters, 3, padding="same", activation=activation)


def of_two_readers() -> fnn.Model:
    x = layers.Input((6, 7, 3))
    y = conv(32)(x)
    z = layers.Dense(9, "tanh")(layers.Flatten()(y))
    both = layers.Concatenate()([z, layers.GlobalAveragePooling2D()(y)])
    return fnn.Model(x, layers.Dense(5, "softmax")(both))


STACKS: dict[str, Stack] = {
    "pooled": lambda: [conv(), layers.MaxPooling2D(2), layers.Flatten(), layers.Dense(33, "relu")],
    "through relu": lambda: [conv(32), layers.Flatten(), layers.Dense(10)],
    "through what reads its input": lambda: [conv(16, "gelu"), layers.Flatten(), layers.Dense(7)],
    "dropped weights": lambda: [conv(), layers.Flatten(), layers.Dense(8, "relu", dropconnect=0.5)],
    "Dense before and after": lambda: [
        conv(), layers.Dense(48, "tanh"), layers.Flatten(), layers.Dense(9, "elu"),
    ],
    "several lines": lambda: [conv(), layers.Reshape((6, 112)), layers.Dense(8), layers.Flatten()],
    "two products": lambda: [
        conv(), layers.Flatten(), layers.Residual([layers.Dense(64)]), layers.Dense(5),
    ],
}  # fmt: skip


def trained(stack: Stack | None, threads: int, **settings: Any) -> list[bytes]:
    """Weights after some steps, and predictions."""
    fnn.utils.set_random_seed(7)
    if stack is None:
        model = of_two_readers()
    else:
        model = fnn.Sequential(
            [layers.Input((6, 7, 3)), *stack(), layers.Dense(5, activation="softmax")]
        )
    model.compile(optimizers.Adam(0.01, **settings), "sparse_categorical_crossentropy")
    before = fnn.get_num_threads()
    fnn.set_num_threads(threads)
    try:
        model.fit(X, Y, batch_size=17, epochs=2, verbose=0)
        predicted = model.predict(X, verbose=0)
    finally:
        fnn.set_num_threads(before)
    assert np.isfinite(predicted).all()
    return [predicted.tobytes(), *(w.tobytes() for w in model.get_weights())]


def copying(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Flatten make a matrix."""
    monkeypatch.setattr(fuse, "_regrouping_into_dense", lambda trace, node: None)


@pytest.mark.parametrize("settings", [{}, {"global_clipnorm": 0.1}], ids=str)
@pytest.mark.parametrize("name", [*STACKS, "two readers"])
def test_bits_are_those_of_a_copy(
    name: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = STACKS.get(name)
    found = [trained(stack, threads, **settings) for threads in (1, 2, 3)]
    copying(monkeypatch)
    assert found == 3 * [trained(stack, 1, **settings)]


def test_norms_of_gradients_that_are_not_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    def stack() -> list[layers.Layer]:
        return [conv(64), layers.Flatten(), layers.Dense(128, "relu")]

    names = [op.name for op in program(stack(), global_clipnorm=0.1).ops]
    assert "product_norms" in names and "regroup" not in names
    found = trained(stack, 2, global_clipnorm=0.1)
    copying(monkeypatch)
    assert found == trained(stack, 1, global_clipnorm=0.1)


@pytest.mark.parametrize("batch_size", [1, 2, 4])
def test_few_rows_have_their_maxima(batch_size: int) -> None:
    """Of the gradient of a wide picture there are more panels than of its channels."""
    for filters, settings in ((128, {}), (512, {"nonfinite": "skip"})):
        names = [
            op.name
            for op in program([conv(filters), layers.Flatten(), layers.Dense(1)], **settings).ops
        ]
        assert "regroup" not in names
        fnn.utils.set_random_seed(0)
        model = fnn.Sequential(
            [layers.Input((6, 7, 3)), conv(filters), layers.Flatten(), layers.Dense(1)]
        )
        model.compile(optimizers.SGD(1e-3, **settings), "mse")
        model.fit(X[:9], Y[:9], batch_size=batch_size, verbose=0)
        assert all(np.isfinite(weight).all() for weight in model.get_weights())


@pytest.mark.parametrize("fused", [True, False])
def test_a_gradient_that_overflows_below_stops_the_step(
    fused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sum over all positions is what is proved to be finite, not that over rows."""
    if not fused:
        copying(monkeypatch)
    model = fnn.Sequential([
        layers.Input((28, 28, 1)), conv(activation=None), layers.Flatten(), layers.Dense(1),
    ])  # fmt: skip
    model.compile(optimizers.Adam(1e-3), "mae")
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([np.full_like(kernel, 5e17), bias])
    before = model.get_weights()
    with pytest.raises(fnn.NonFiniteGradientError):
        model.fit(np.ones((4, 28, 28, 1)), np.zeros(4), batch_size=4, epochs=4, verbose=0)
    for ours, theirs in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("filters, copies", [(16, 0), (64, 0), (20, 2)])
def test_nothing_is_copied_of_whole_blocks(filters: int, copies: int) -> None:
    """Forward and backward; where channels end within a block of 16, blocks of the kernel don't."""
    ops = program([conv(filters), layers.Flatten(), layers.Dense(5)]).ops
    assert [op.name for op in ops].count("regroup") == copies


def program(stack: list[layers.Layer], **settings: Any) -> Program:
    """The training program of a net that ends so."""
    model = fnn.Sequential([layers.Input((6, 7, 3)), *stack])
    model.compile(optimizers.Adam(**settings), "mse")
    found = trace(model.inputs, model.outputs, model.nodes)
    return lower(found, 17, model._objectives(), model._updates())
