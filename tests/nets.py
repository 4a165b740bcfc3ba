"""Small nets and data sets that the end-to-end tests share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastnn as fnn
from fastnn import layers


def mlp(widths: list[int], hidden: Any = "relu", output: Any = "softmax", seed: int = 0) -> Any:
    """Sequential of Dense layers through ``widths`` with seeded weights; not compiled."""
    dense = [layers.Dense(width, activation=hidden) for width in widths[1:-1]]
    model = fnn.Sequential(
        [layers.Input((widths[0],)), *dense, layers.Dense(widths[-1], activation=output)]
    )
    return set_seeded_weights(model, seed)


def set_seeded_weights(model: Any, seed: int = 0) -> Any:
    """Give every weight of ``model`` seeded values: Glorot's range, biases within 0.1, factors
    and variances within 0.1 of 1."""
    random = np.random.default_rng(seed)
    weights = []
    for variable in model.weights:
        limit = np.sqrt(6 / sum(variable.shape)) if len(variable.shape) == 2 else 0.1
        middle = float(variable.name in ("gamma", "variance", "moving_variance"))
        values = middle + random.uniform(-limit, limit, variable.shape)
        weights.append(values.astype(np.float32))
    model.set_weights(weights)
    return model


def classifier(
    widths: list[int] | None = None,
    optimizer: Any = "adam",
    metrics: Any = ("accuracy",),
    seed: int = 0,
    **settings: Any,
) -> Any:
    """A compiled softmax classifier, 9-16-4 unless ``widths`` say otherwise."""
    model = mlp(widths or [9, 16, 4], seed=seed)
    model.compile(
        optimizer=optimizer,
        loss="sparse_categorical_crossentropy",
        metrics=None if metrics is None else list(metrics),
        **settings,
    )
    return model


def blobs(
    n: int = 60, n_features: int = 9, n_classes: int = 4, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Normal clouds around one centre a class: x (n, n_features) float32, y (n,) int64."""
    random = np.random.default_rng(seed)
    y = random.integers(0, n_classes, n)
    x = random.normal(size=(n_classes, n_features))[y] + 0.3 * random.normal(size=(n, n_features))
    return x.astype(np.float32), y


def assert_same_bits(first: list[NDArray], second: list[NDArray]) -> None:
    """Every array of ``first`` equals its partner in ``second`` to the last bit."""
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype
