"""The convolutional net that several recipes train."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from recipe import CLASSES

import fastnn as fnn
from fastnn import layers, losses, optimizers


def convolution(filters: int, window: int) -> list[layers.Layer]:
    return [
        layers.Conv2D(
            filters, window, padding="same", use_bias=False, kernel_initializer="he_normal"
        ),
        layers.BatchNormalization(momentum=0.9),
        layers.ReLU(),
    ]


def build(
    steps: int,
    changes: Callable[[], list[layers.Layer]] = list,
    dropout: Sequence[float] = (0.1, 0.2, 0.3, 0.5),
    max_learning_rate: float = 3e-3,
) -> fnn.Sequential:
    """The net for 28 x 28 pixels, compiled.

    ``changes`` makes the layers that alter pictures; ``dropout`` has the rates behind the three
    poolings and before the last layer.
    """
    first, second, third, last = dropout
    model = fnn.Sequential(
        [
            layers.Input((28, 28)),
            layers.Reshape((28, 28, 1)),
            *changes(),
            layers.Rescaling(1 / 255),
            *convolution(32, 5),
            layers.MaxPooling2D(),
            layers.Dropout(first),
            *convolution(64, 3),
            *convolution(64, 3),
            layers.MaxPooling2D(),
            layers.Dropout(second),
            *convolution(128, 3),
            *convolution(128, 3),
            layers.MaxPooling2D(),
            layers.Dropout(third),
            layers.Flatten(),
            layers.Dense(128, use_bias=False, kernel_initializer="he_normal"),
            layers.BatchNormalization(momentum=0.9),
            layers.ReLU(),
            layers.Dropout(last),
            layers.Dense(CLASSES, activation="softmax"),
        ]
    )
    up_and_down = optimizers.schedules.OneCycle(max_learning_rate, steps)
    model.compile(
        optimizers.AdamW(up_and_down, weight_decay=0.01),
        loss=losses.CategoricalCrossentropy(label_smoothing=0.1),
        metrics=["accuracy"],
    )
    return model
