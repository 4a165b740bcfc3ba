"""From a case to a compiled model and its data."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

import fastnn as fnn
from bench.health.grid import Case
from fastnn import initializers, layers, losses, optimizers
from fastnn.initializers import InitializerLike
from fastnn.layers.base import Layer
from fastnn.optimizers.base import Optimizer

FEATURES, CLASSES = 784, 10
MEAN, DEVIATION = 0.1307, 0.3081
"""Of MNIST's training images over 255."""

_NORMALIZATIONS = {"batch": layers.BatchNormalization, "layer": layers.LayerNormalization}


def mnist(rows: int, test_rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """uint8 images (rows, 784) and labels (rows,): the first to train on, and test rows spread
    evenly over the test set, whose second half is easier than the first."""
    (x, y), (xt, yt) = _mnist()
    spread = np.linspace(0, len(xt) - 1, test_rows).astype(int)
    return x[:rows].reshape(-1, FEATURES), y[:rows], xt[spread].reshape(-1, FEATURES), yt[spread]


@lru_cache(maxsize=1)
def _mnist() -> Any:
    from fastnn.datasets import mnist

    return mnist.load_data()


def inputs(case: Any, images: np.ndarray) -> np.ndarray:
    """What the case's net is fed: uint8 for "raw", else float32; in the shape of ``images``."""
    if case.inputs == "raw":
        return images
    unit = images / np.float32(255)
    if case.inputs == "unit":
        return unit
    if case.inputs == "standard":
        return (unit - np.float32(MEAN)) / np.float32(DEVIATION)
    return unit * np.float32(case.inputs.removeprefix("x"))


def targets(case: Case, labels: np.ndarray) -> np.ndarray:
    """Labels (rows,), or one-hot float32 rows where the loss takes a difference."""
    return np.eye(CLASSES, dtype=np.float32)[labels] if case.loss == "mse" else labels


def build(case: Case, order: int = 0) -> fnn.Sequential:
    """The compiled model, always with the same weights and the same order of examples after it, one
    of ten.

    Layers are called dense_1, norm_1, activation_1, residual_2, ..., output.
    """
    seed = case.seed * 100_000 + case.index
    fnn.utils.set_random_seed(seed)
    stack: list[Layer] = []
    for number in range(1, case.depth + 1):
        block = _block(case, number)
        shortcut = case.residual and number > 1
        stack += [layers.Residual(block, name=f"residual_{number}")] if shortcut else block
    activation = "softmax" if case.loss in ("softmax", "double_softmax") else None
    stack.append(
        layers.Dense(CLASSES, activation, kernel_initializer=initializer(case), name="output")
    )
    model = fnn.Sequential([layers.Input((FEATURES,)), *stack], name="net")
    model.compile(optimizer(case), loss(case), metrics=["accuracy"])
    if order:
        fnn.utils.set_random_seed(seed + 10_000 * order)
    return model


def _block(case: Case, number: int) -> list[Layer]:
    dense = layers.Dense(case.width, kernel_initializer=initializer(case), name=f"dense_{number}")
    activation = layers.Activation(case.activation, name=f"activation_{number}")
    if case.normalization == "none":
        return [dense, activation]
    norm = _NORMALIZATIONS[case.normalization](name=f"norm_{number}")
    return [dense, norm, activation]


def initializer(case: Any) -> InitializerLike:
    """Of all kernels; see ``Case.initializer``."""
    kind, _, number = case.initializer.partition(" ")
    if kind == "normal":
        return initializers.RandomNormal(stddev=float(number))
    if kind == "scale":
        return initializers.VarianceScaling(float(number))
    name: str = case.initializer
    return name


def optimizer(case: Any) -> Optimizer:
    """The case's, at its learning rate."""
    if case.optimizer == "momentum":
        return optimizers.SGD(case.learning_rate, momentum=0.9)
    made: dict[str, Any] = {
        "sgd": optimizers.SGD, "rmsprop": optimizers.RMSprop, "adam": optimizers.Adam,
    }  # fmt: skip
    result: Optimizer = made[case.optimizer](case.learning_rate)
    return result


def loss(case: Any) -> losses.Loss:
    """The case's; see ``Case.loss``."""
    if case.loss == "mse":
        return losses.MeanSquaredError()
    from_logits = case.loss in ("logits", "double_softmax")
    return losses.SparseCategoricalCrossentropy(from_logits=from_logits)
