"""Nets on (batch, ..., features): gradients and outputs against a float64 tape, the same bits on
any team, and what losses and statistics say of them.

A gradient is off by float32's rounding of sums of at most some thousand terms, after some layers:
1e-5 of the largest number in it, and of the weight that a step of SGD takes it from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from nets import assert_same_bits, set_seeded_weights
from tape import Tape

import fastnn as fnn
from fastnn import layers
from fastnn.kernels import levels
from fastnn.models import executables

CLOSE = 1e-5
ROWS = 21
RNG = np.random.default_rng(3)


@pytest.fixture(autouse=True)
def threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = fnn.get_num_threads()
    monkeypatch.setattr(executables, "_WORK_PER_THREAD", 1)
    fnn.set_num_threads(2)
    yield
    fnn.set_num_threads(before)


Tensor = Any
Body = Callable[[Tensor], Tensor]


def stack(*inner: Callable[[], Any]) -> Body:
    def body(x: Tensor) -> Tensor:
        for make in inner:
            x = make()(x)
        return x

    return body


def dense(units: int, activation: str | None = "tanh", **settings: Any) -> Callable[[], Any]:
    return lambda: layers.Dense(units, activation, **settings)


def merged(kind: str, n: int = 3, **settings: Any) -> Body:
    """Branches that come in lines of different lengths, and one of them twice."""

    def body(x: Tensor) -> Tensor:
        branches = [
            layers.Dense(6)(x),
            layers.Reshape((7, 6))(layers.Dense(42, "tanh")(layers.Flatten()(x))),
            layers.Dense(6, "tanh")(x),
        ][:n]
        y = getattr(layers, kind)(**settings)(branches)
        return layers.Dense(3)(layers.Add()([y, y]))

    return body


def shared(x: Tensor) -> Tensor:
    """Several readers, one of which wants other lines; a merge of a value with itself."""
    y = layers.Dense(6, "tanh")(x)
    squared = layers.Multiply()([y, y])
    largest = layers.Maximum()([y, y])
    turned = layers.Permute((2, 1))(layers.Permute((2, 1))(y))
    flat = layers.Dense(42)(layers.Flatten()(y))
    return layers.Add()([squared, largest, turned, layers.Reshape((7, 6))(flat)])


NETS: dict[str, tuple[tuple[int, ...], Body]] = {
    "dense": ((7, 5), stack(dense(20), dense(3, None))),
    "dense, one position": ((1, 5), stack(dense(20), dense(3, None))),
    "dense, rank 4": ((3, 4, 5), stack(dense(18, "relu"), dense(33, "gelu"), dense(4, "sigmoid"))),
    "reshaped": (
        (35,),
        stack(
            lambda: layers.Reshape((7, 5)), dense(20, "relu"), lambda: layers.Reshape((14, 10)),
            dense(17), layers.Flatten, dense(2, None),
        ),
    ),
    "many positions": ((50, 3), stack(dense(35, "relu"), dense(2, None))),
    "batchnorm": (
        (7, 5),
        stack(dense(19, None), layers.BatchNormalization, layers.ReLU, dense(4, None)),
    ),
    "batchnorm, rank 4, axis 1": (
        (6, 3, 4),
        stack(dense(5), lambda: layers.BatchNormalization(axis=1), layers.ELU, dense(4, None)),
    ),
    "layernorm": (
        (7, 5), stack(dense(18), layers.LayerNormalization, layers.ReLU, dense(4, None)),
    ),
    "layernorm, two axes": (
        (3, 7, 5), stack(dense(6), lambda: layers.LayerNormalization([-1, -2]), dense(4, None)),
    ),
    "layernorm, all axes": (
        (3, 4, 5), stack(dense(6), lambda: layers.LayerNormalization([1, 2, 3]), dense(4, None)),
    ),
    "groupnorm": (
        (7, 5),
        stack(dense(18, None), lambda: layers.GroupNormalization(3), layers.ReLU, dense(4, None)),
    ),
    "groupnorm, rank 2": (
        (5,), stack(dense(20), lambda: layers.GroupNormalization(4), dense(4, None)),
    ),
    "groupnorm, axis 1": (
        (6, 3, 4), stack(dense(5), lambda: layers.GroupNormalization(2, axis=1), dense(4, None)),
    ),
    "instance norm": (
        (3, 4, 5), stack(dense(17), lambda: layers.GroupNormalization(-1), dense(4, None)),
    ),
    "softmax": ((7, 5), stack(dense(18, None), layers.Softmax, dense(4, None))),
    "softmax, axis 1": ((7, 5), stack(dense(6), lambda: layers.Softmax(1), dense(4, None))),
    "permute": (
        (3, 4, 5),
        stack(dense(6), lambda: layers.Permute((3, 1, 2)), dense(17), layers.Flatten, dense(2)),
    ),
    "residual": (
        (7, 5),
        stack(
            lambda: layers.Residual([layers.Dense(20, "relu"), layers.Dense(5)]),
            lambda: layers.Residual([layers.LayerNormalization(), layers.Dense(5, "tanh")]),
            dense(4, None),
        ),
    ),
    "shared": ((7, 5), shared),
    **{
        kind: ((7, 5), merged(kind))
        for kind in ("Add", "Average", "Multiply", "Maximum", "Minimum", "Concatenate")
    },
    "Subtract": ((7, 5), merged("Subtract", 2)),
    "Concatenate, axis 1": ((7, 5), merged("Concatenate", axis=1)),
    "Concatenate, axis 2 of 3": (
        (3, 7, 5),
        lambda x: layers.Dense(2)(
            layers.Concatenate(axis=2)([layers.Dense(4)(x), layers.Dense(4, "tanh")(x)])
        ),
    ),
}  # fmt: skip

NOISY: dict[str, tuple[tuple[int, ...], Body]] = {
    "dropout": (
        (7, 5), stack(dense(18), lambda: layers.Dropout(0.4, seed=5), dense(4, None)),
    ),
    "dropout in a rectifier": (
        (7, 5), stack(dense(18, "relu"), lambda: layers.Dropout(0.4, seed=5), dense(4, None)),
    ),
    "dropout in a frozen norm": (
        (7, 5),
        stack(
            dense(18, None), layers.LayerNormalization, layers.ReLU,
            lambda: layers.Dropout(0.4, seed=5), dense(4, None),
        ),
    ),
    "spatial dropout 1d": (
        (7, 5), stack(dense(18, "relu"), lambda: layers.SpatialDropout1D(0.4, seed=5), dense(4)),
    ),
    "spatial dropout 2d": (
        (3, 4, 5), stack(dense(35), lambda: layers.SpatialDropout2D(0.4, seed=5), dense(4)),
    ),
    "dropconnect": ((7, 5), stack(dense(18, dropconnect=0.3, dropconnect_seed=4), dense(4))),
}  # fmt: skip


def made(name: str, optimizer: Any = None) -> tuple[Any, Any, Any]:
    """The model with its data; SGD with a step of 1, so that a step is the gradient."""
    shape, body = (NETS | NOISY)[name]
    fnn.utils.set_random_seed(1)
    x = layers.Input(shape)
    model = set_seeded_weights(fnn.Model(x, body(x)))
    model.compile(optimizer or fnn.optimizers.SGD(1.0), "mse")
    data = RNG.standard_normal((ROWS, *shape)).astype(np.float32)
    return model, data, RNG.standard_normal((ROWS, *model.output_shape[1:])).astype(np.float32)


@pytest.mark.parametrize("name", NETS | NOISY)
def test_gradients_and_outputs(name: str) -> None:
    model, x, y = made(name)
    before = {v.path: v.numpy() for v in model.weights}
    step = Tape(before).run(model, [x], [y])
    if name in NETS and "batchnorm" not in name:
        found = model.predict(x)
        wanted = step.outputs[model.nodes[-1].layer.name]
        np.testing.assert_allclose(found, wanted, rtol=CLOSE, atol=CLOSE)
    model.fit(x, y, batch_size=ROWS, epochs=1, shuffle=False, verbose=0)
    for variable in model.trainable_weights:
        wanted = step.gradients[variable.path].reshape(variable.shape)
        found = before[variable.path].astype(np.float64) - variable.numpy()
        scale = np.abs(wanted).max() + np.abs(before[variable.path]).max()
        np.testing.assert_allclose(found, wanted, atol=CLOSE * scale, rtol=0, err_msg=variable.path)


@pytest.mark.parametrize("level", levels.levels())
@pytest.mark.parametrize("name", NETS | NOISY)
def test_any_team_gives_the_same_bits(name: str, level: str) -> None:
    before = levels.level()
    levels.use(level)
    model, x, y = made(name, "adam")
    start = model.get_weights()
    found = []
    try:
        for threads in (1, 2, 3):
            fnn.set_num_threads(threads)
            model.set_weights(start)
            model.compile("adam", "mse")
            model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0)
            found.append([*model.get_weights(), model.predict(x)])
    finally:
        levels.use(before)
    assert_same_bits(found[0], found[1])
    assert_same_bits(found[0], found[2])
