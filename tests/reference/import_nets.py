"""Nets that Keras and fastnn make by the same calls, and their twins in PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

EPSILON = 1e-5
"""PyTorch's, of its normalizations."""


def keras_mlp(framework: Any) -> Any:
    """For (5, 7): named layers, one without a bias, a BatchNormalization without gamma."""
    layers = framework.layers
    return framework.Sequential([
        layers.Input((7,)), layers.Dense(6, activation="relu", name="first"),
        layers.BatchNormalization(scale=False, name="norm"), layers.Dropout(0.5),
        layers.Dense(6, activation="tanh", use_bias=False, name="second"),
        layers.LayerNormalization(name="layer_norm"),
        layers.Dense(3, activation="softmax", name="third"),
    ])  # fmt: skip


def keras_convnet(framework: Any) -> Any:
    """For (5, 9, 8, 4), functional: every layer of pictures with weights, names of its own."""
    layers = framework.layers
    x = framework.Input((9, 8, 4))
    y = layers.Conv2D(6, 3, padding="same", activation="relu")(x)
    y = layers.BatchNormalization()(y)
    left = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2)(y)
    right = layers.SeparableConv2D(12, 3, padding="same", use_bias=False)(y)
    y = layers.Add()([left, right])
    y = layers.GroupNormalization(4)(y)
    y = layers.MaxPooling2D(2)(y)
    y = layers.Conv2D(4, 3, groups=2, activation="elu")(y)
    y = layers.Flatten()(y)
    return framework.Model(x, [layers.Dense(3)(y), layers.Dense(3, activation="softmax")(y)])


def torch_convnet(nn: Any) -> Any:
    """The twin of ``convnet_of_torch``."""
    return nn.Sequential(
        nn.Conv2d(4, 6, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(6),
        nn.Conv2d(6, 12, 3, padding=1, groups=6, bias=False), nn.GroupNorm(4, 12),
        nn.MaxPool2d(2), nn.Conv2d(12, 4, 3, groups=2), nn.ELU(),
        nn.Flatten(), nn.Dropout(0.5), nn.LayerNorm(16), nn.Linear(16, 5), nn.GELU(),
        nn.Linear(5, 3), nn.Softmax(1),
    )  # fmt: skip


def convnet_of_torch(framework: Any) -> Any:
    """For (5, 9, 8, 4); in PyTorch (5, 4, 9, 8)."""
    layers = framework.layers
    return framework.Sequential([
        layers.Input((9, 8, 4)), layers.Conv2D(6, 3, padding="same", activation="relu"),
        layers.BatchNormalization(epsilon=EPSILON),
        layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, use_bias=False),
        layers.GroupNormalization(4, epsilon=EPSILON), layers.MaxPooling2D(2),
        layers.Conv2D(4, 3, groups=2, activation="elu"), layers.Flatten(), layers.Dropout(0.5),
        layers.LayerNormalization(epsilon=EPSILON), layers.Dense(5, activation="gelu"),
        layers.Dense(3, activation="softmax"),
    ])  # fmt: skip


def torch_signals(torch: Any) -> Any:
    """The twin of ``signals_of_torch``: modules with names, in another order than they run."""
    nn = torch.nn

    class Signals(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(31, 3)
            self.body = nn.ModuleDict({
                "norm": nn.BatchNorm1d(28), "depthwise": nn.Conv1d(4, 4, 1, groups=4),
                "first": nn.Conv1d(3, 4, 3),
            })  # fmt: skip

        def forward(self, x: Any) -> Any:
            y = self.body["depthwise"](self.body["first"](x).relu())
            line = self.body["norm"](y.flatten(1))
            return self.head(torch.cat([line, x.mean(2)], 1))

    return Signals()


def signals_of_torch(framework: Any) -> Any:
    """For (5, 9, 3); in PyTorch (5, 3, 9)."""
    layers = framework.layers
    x = framework.Input((9, 3))
    y = layers.Conv1D(4, 3, activation="relu", name="first")(x)
    y = layers.DepthwiseConv1D(1, name="depthwise")(y)
    y = layers.BatchNormalization(epsilon=EPSILON, name="norm")(layers.Flatten()(y))
    y = layers.Concatenate()([y, layers.GlobalAveragePooling1D()(x)])
    return framework.Model(x, layers.Dense(3, name="head")(y))


def pictures() -> NDArray[np.float32]:
    """(5, 9, 8, 4)"""
    return np.random.default_rng(7).normal(size=(5, 9, 8, 4)).astype(np.float32)


def signals() -> NDArray[np.float32]:
    """(5, 9, 3)"""
    return np.random.default_rng(9).normal(size=(5, 9, 3)).astype(np.float32)


def rows() -> NDArray[np.float32]:
    """(5, 7)"""
    return np.random.default_rng(8).normal(size=(5, 7)).astype(np.float32)


def drawn(shapes: list[tuple[int, ...]], positive: list[bool], seed: int) -> list[Any]:
    """Weights, so large that each of them matters; variances are positive."""
    random = np.random.default_rng(seed)
    return [
        (random.uniform(0.5, 1.5, shape) if above else random.normal(0, 0.4, shape)).astype(
            np.float32
        )
        for shape, above in zip(shapes, positive, strict=True)
    ]
